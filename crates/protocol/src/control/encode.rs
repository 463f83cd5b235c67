//! Messages to documents.

use core::net::SocketAddr;

use super::{
    Accepted, Action, ConnectionRequest, LoggedIn, Message, Notification, Outcome, OutcomeState,
    Presence, Reply, Request, Response, SynBytes,
};
use crate::document::{Attribute, Element};
use crate::greeting::Greetings;

impl Message {
    /// Writes the document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request_element(request),
            Self::Response(response) => response_element(response),
            Self::Notification(notification) => notification_element(notification),
        }
        .to_bytes()
    }
}

/// All attributes of a request, known and unknown: no secret is among them.
pub(super) fn request_attributes(request: &Request) -> Vec<Attribute> {
    let head = Element::new("PBReq").with("Action", request.action.name()).with("ID", request.id.0);
    let head = match &request.action {
        Action::Login(login) => head.with("UserID", &login.user),
        Action::Probe(probe) => {
            let head = head.with("PeerID", probe.peer).with("Port", probe.port);
            match probe.sequence {
                Some(sequence) => head.with("Sequence", sequence.0),
                None => head,
            }
        }
        Action::Connect(connect) => head
            .with("UserID", &connect.to)
            .with("Technique", connect.technique)
            .with("Port", connect.port),
        Action::Accept(accept) => {
            let head = head.with("SessionID", accept.session).with("Port", accept.port);
            match accept.private {
                Some(address) => head.with("PrivateAddress", address),
                None => head,
            }
        }
        Action::Syn(report) => head.with("SessionID", report.session),
        Action::Outcome(outcome) => with_outcome(head, outcome),
        Action::Ping => head,
    };
    let known = head.attributes.into_iter().map(|(name, value)| (name, value.into_owned()));
    known.chain(request.unknown.iter().cloned()).collect()
}

fn request_element(request: &Request) -> Element<'static> {
    let attributes = request_attributes(request).into_iter();
    let mut element = Element::new("PBReq");
    element.attributes = attributes.map(|(name, value)| (name, value.into())).collect();
    match &request.action {
        Action::Login(login) => element.with_text_child("Secret", login.secret.reveal()),
        Action::Probe(probe) => element.with_text_child("Secret", probe.secret.reveal()),
        Action::Connect(connect) => with_packet(element, connect.syn.as_ref()),
        Action::Accept(accept) => with_packet(element, accept.syn.as_ref()),
        Action::Syn(report) => with_packet(element, Some(&report.syn)),
        Action::Outcome(_) | Action::Ping => element,
    }
}

fn response_element(response: &Response) -> Element<'_> {
    let error = response.result.as_ref().map_or_else(|name| name.0.as_str(), |_| "0");
    let mut element = Element::new("PBResp").with("Error", error);
    for (name, value) in &response.head.attributes {
        element.push((&**name).into(), value.into());
    }
    match &response.result {
        Ok(Reply::LoggedIn(login)) => with_login(element, login),
        Ok(Reply::Observed(observed)) => element.with_child(
            with_endpoint(Element::new("Observed"), observed.endpoint).with("TTL", observed.ttl.0),
        ),
        Ok(Reply::Accepted(accepted)) => with_accepted(element, accepted),
        Ok(Reply::Done) | Err(_) => element,
    }
}

fn notification_element(notification: &Notification) -> Element<'static> {
    let child = match notification {
        Notification::ConnectionRequest(request) => connection_request(request),
        Notification::Presence(presence) => presence_element(presence),
        Notification::PeerOutcome(outcome) => with_outcome(Element::new("PeerOutcome"), outcome),
    };
    Element::new("PBNotify").with_child(child)
}

fn with_login<'text>(element: Element<'text>, login: &LoggedIn) -> Element<'text> {
    let session = Element::new("Session").with("PeerID", login.peer);
    let element =
        element.with_child(session).with_text_child("ProbeSecret", login.probe_secret.reveal());
    login.online.iter().fold(element, |element, one| element.with_child(presence_element(one)))
}

fn presence_element(presence: &Presence) -> Element<'static> {
    Element::new("PeerPresence")
        .with("PeerID", presence.peer)
        .with("UserID", &presence.user)
        .with("Online", u8::from(presence.online))
}

fn with_accepted<'text>(element: Element<'text>, accepted: &Accepted) -> Element<'text> {
    let session = Element::new("Session")
        .with("SessionID", accepted.session)
        .with("PeerID", accepted.peer)
        .with("RoundTrip", accepted.round_trip.as_micros());
    let session = with_endpoint(session, accepted.endpoint);
    let session = match accepted.private {
        Some(private) => {
            session.with("PrivateAddress", private.ip()).with("PrivatePort", private.port())
        }
        None => session,
    };
    element.with_child(with_greetings(session, &accepted.greetings))
}

fn connection_request(request: &ConnectionRequest) -> Element<'static> {
    let element = Element::new("ConnReq")
        .with("SessionID", request.session)
        .with("PeerID", request.peer)
        .with("UserID", &request.user)
        .with("Technique", request.technique)
        .with("RoundTrip", request.round_trip.as_micros());
    with_greetings(with_endpoint(element, request.endpoint), &request.greetings)
}

fn with_outcome<'text>(element: Element<'text>, outcome: &Outcome) -> Element<'text> {
    let element = element.with("SessionID", outcome.session);
    match outcome.state {
        OutcomeState::Confirmed => element.with("State", "confirmed"),
        OutcomeState::Failed(cause) => element.with("State", "failed").with("Cause", cause),
    }
}

fn with_endpoint<'text>(element: Element<'text>, endpoint: SocketAddr) -> Element<'text> {
    element.with("Address", endpoint.ip()).with("Port", endpoint.port())
}

fn with_greetings<'text>(element: Element<'text>, greetings: &Greetings) -> Element<'text> {
    element
        .with_text_child("OwnGreeting", greetings.own.reveal())
        .with_text_child("PeerGreeting", greetings.peer.reveal())
}

fn with_packet<'text>(element: Element<'text>, syn: Option<&SynBytes>) -> Element<'text> {
    match syn {
        Some(syn) => element.with_text_child("Packet", hexadecimal(&syn.0)),
        None => element,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}
