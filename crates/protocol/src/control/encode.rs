//! Messages to documents.

use core::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decode::SCHEME_PROXY;
use super::{
    Accepted, Action, Certificate, ConnectionRequest, Destination, Joined, LoggedIn, Member,
    Message, Note, Notification, Outcome, OutcomeState, Presence, Reachable, Recipient, Reply,
    Request, Response, Share, ShareId, SynBytes, Team, TeamId, TeamMember,
};
use crate::document::{Attribute, Element};
use crate::greeting::Greetings;
use crate::identity::DeviceName;

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
        Action::Login(login) => {
            let head = head.with("UserID", &login.user);
            match login.reachable {
                Reachable::Yes => head,
                Reachable::No => head.with("Reachable", 0),
            }
        }
        Action::Probe(probe) => {
            let head = head.with("PeerID", probe.peer).with("Port", probe.port);
            match probe.sequence {
                Some(sequence) => head.with("Sequence", sequence.0),
                None => head,
            }
        }
        Action::Connect(connect) => {
            with_device(head.with("UserID", &connect.to), connect.device.as_ref())
                .with("Technique", connect.technique)
                .with("Port", connect.port)
        }
        Action::Accept(accept) => {
            let head = head.with("SessionID", accept.session).with("Port", accept.port);
            match accept.private {
                Some(address) => head.with("PrivateAddress", address),
                None => head,
            }
        }
        Action::Syn(report) => head.with("SessionID", report.session),
        Action::Outcome(outcome) => with_outcome(head, outcome),
        Action::Join(join) => head.with("Device", &join.device),
        Action::Proxy(proxy) => head.with("SessionID", proxy.session),
        Action::ProxyEnd(session) => head.with("SessionID", session),
        Action::NoteSend(note) => match &note.to {
            Recipient::Member(user) => head.with("UserID", user),
            Recipient::Team(team) => with_team(head, team),
        },
        Action::NoteDelete(note) => head.with("NoteID", note),
        Action::TeamCreate(team) | Action::TeamDelete(team) => with_team(head, team),
        Action::TeamAdd(TeamMember { team, user })
        | Action::TeamRemove(TeamMember { team, user }) => {
            with_team(head, team).with("UserID", user)
        }
        Action::ShareAdd(share) | Action::ShareDrop(share) => with_share_id(head, share),
        Action::Ping | Action::Logout | Action::Certificate => head,
    };
    let known = head.attributes.into_iter().map(|(name, value)| (name, value.into_owned()));
    known.chain(request.unknown.iter().cloned()).collect()
}

fn request_element(request: &Request) -> Element<'_> {
    let attributes = request_attributes(request).into_iter();
    let mut element = Element::new("PBReq");
    element.attributes = attributes.map(|(name, value)| (name, value.into())).collect();
    match &request.action {
        Action::Login(login) => match &login.secret {
            Some(secret) => element.with_text_child("Secret", secret.reveal()),
            None => element,
        },
        Action::Join(join) => element
            .with_text_child("Secret", join.secret.reveal())
            .with_text_child("PublicKey", BASE64.encode(&join.key.0)),
        Action::Proxy(proxy) => proxy
            .values
            .iter()
            .fold(element, |element, value| element.with_text_child("Value", value.reveal())),
        Action::NoteSend(note) => element
            .with_text_child("Subject", note.subject.as_str())
            .with_text_child("Text", note.text.as_str()),
        Action::Probe(probe) => element.with_text_child("Secret", probe.secret.reveal()),
        Action::Connect(connect) => with_packet(element, connect.syn.as_ref()),
        Action::Accept(accept) => with_packet(element, accept.syn.as_ref()),
        Action::Syn(report) => with_packet(element, Some(&report.syn)),
        Action::Outcome(_)
        | Action::Ping
        | Action::Logout
        | Action::Certificate
        | Action::ProxyEnd(_)
        | Action::NoteDelete(_)
        | Action::TeamCreate(_)
        | Action::TeamDelete(_)
        | Action::TeamAdd(_)
        | Action::TeamRemove(_)
        | Action::ShareAdd(_)
        | Action::ShareDrop(_) => element,
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
        Ok(Reply::Joined(joined)) => element.with_child(joined_element(joined)),
        Ok(Reply::Certified(certificate)) => {
            with_certificate(element, "Certificate", certificate.as_ref())
        }
        Ok(Reply::NoteKept(note)) => element.with_child(Element::new("Kept").with("NoteID", note)),
        Ok(Reply::Done) | Err(_) => element,
    }
}

fn notification_element(notification: &Notification) -> Element<'_> {
    let element = Element::new("PBNotify");
    let Notification::Several(several) = notification else {
        return element.with_child(notified_element(notification));
    };
    several.iter().fold(element, |element, one| element.with_child(notified_element(one)))
}

fn notified_element(notification: &Notification) -> Element<'_> {
    match notification {
        Notification::ConnectionRequest(request) => connection_request(request),
        Notification::Presence(presence) => presence_element(presence),
        Notification::PeerOutcome(outcome) => with_outcome(Element::new("PeerOutcome"), outcome),
        Notification::Member(member) => member_element(member),
        Notification::Team(team) => team_element(team),
        Notification::DropTeam(team) => with_team(Element::new("DropTeam"), team),
        Notification::AddShare(share) => share_element("AddShare", share),
        Notification::DropShare(share) => share_element("DropShare", share),
        Notification::Note(note) => note_element(note),
        Notification::DropNote(note) => Element::new("DropNote").with("NoteID", note),
        Notification::Revoked { user, device } => {
            with_device(Element::new("Revoked").with("UserID", user), device.as_ref())
        }
        Notification::Restarting { within } => {
            Element::new("Restarting").with("Within", within.as_secs())
        }
        Notification::Verify => Element::new("Verify"),
        Notification::Listed => Element::new("Listed"),
        // A list is of single ones; what stands in a list of a list is left out.
        Notification::Several(_) => Element::new("Listed"),
    }
}

fn joined_element(joined: &Joined) -> Element<'static> {
    let element =
        Element::new("Joined").with("UserID", &joined.user).with("Broker", &joined.broker);
    let element = with_certificate(element, "Authority", joined.authority.as_ref());
    with_certificate(element, "Certificate", joined.certificate.as_ref())
}

fn member_element(member: &Member) -> Element<'static> {
    Element::new("Member")
        .with("Community", &member.community)
        .with("UserID", &member.user)
        .with("Is", u8::from(member.is_member))
}

fn team_element(team: &Team) -> Element<'static> {
    let element = with_team(Element::new("Team"), &team.id).with("OwnerID", &team.owner);
    team.members.iter().fold(element, |element, member| {
        element.with_child(Element::new("Member").with("UserID", member))
    })
}

fn share_element(name: &'static str, share: &Share) -> Element<'static> {
    let element = with_share_id(Element::new(name), &share.id)
        .with("PeerID", share.peer)
        .with("UserID", &share.user);
    with_device(element, share.device.as_ref())
}

fn note_element(note: &Note) -> Element<'_> {
    let element = Element::new("Note").with("NoteID", note.id).with("UserID", &note.from);
    let element = match &note.team {
        Some(team) => with_team(element, team),
        None => element,
    };
    element
        .with("Sent", note.sent)
        .with_text_child("Subject", note.subject.as_str())
        .with_text_child("Text", note.text.as_str())
}

fn with_team<'text>(element: Element<'text>, team: &TeamId) -> Element<'text> {
    element.with("Community", &team.community).with("Team", &team.team)
}

fn with_share_id<'text>(element: Element<'text>, share: &ShareId) -> Element<'text> {
    with_team(element, &share.team).with("Share", &share.name)
}

fn with_device<'text>(element: Element<'text>, device: Option<&DeviceName>) -> Element<'text> {
    match device {
        Some(device) => element.with("Device", device),
        None => element,
    }
}

fn with_certificate<'text>(
    element: Element<'text>,
    name: &'static str,
    certificate: Option<&Certificate>,
) -> Element<'text> {
    match certificate {
        Some(certificate) => element.with_text_child(name, BASE64.encode(&certificate.0)),
        None => element,
    }
}

fn with_destination<'text>(element: Element<'text>, destination: &Destination) -> Element<'text> {
    match destination {
        Destination::Endpoint(endpoint) => with_endpoint(element, *endpoint),
        Destination::Meeting(meeting) => {
            let relay: Vec<String> = meeting.relay.iter().map(ToString::to_string).collect();
            element
                .with("Scheme", SCHEME_PROXY)
                .with("Relay", relay.join(","))
                .with_text_child("Value", meeting.value.reveal())
        }
    }
}

fn with_login<'text>(element: Element<'text>, login: &LoggedIn) -> Element<'text> {
    let session = Element::new("Session").with("PeerID", login.peer);
    let session = match login.alive {
        Some(alive) => session.with("Alive", alive.as_secs()),
        None => session,
    };
    let element =
        element.with_child(session).with_text_child("ProbeSecret", login.probe_secret.reveal());
    login.online.iter().fold(element, |element, one| element.with_child(presence_element(one)))
}

fn presence_element(presence: &Presence) -> Element<'static> {
    let element =
        Element::new("PeerPresence").with("PeerID", presence.peer).with("UserID", &presence.user);
    with_device(element, presence.device.as_ref()).with("Online", u8::from(presence.online))
}

fn with_accepted<'text>(element: Element<'text>, accepted: &Accepted) -> Element<'text> {
    let session =
        Element::new("Session").with("SessionID", accepted.session).with("PeerID", accepted.peer);
    let session = with_device(session, accepted.device.as_ref())
        .with("RoundTrip", accepted.round_trip.as_micros());
    let session = with_destination(session, &accepted.destination);
    let session = match accepted.private {
        Some(private) => {
            session.with("PrivateAddress", private.ip()).with("PrivatePort", private.port())
        }
        None => session,
    };
    let session = with_greetings(session, &accepted.greetings);
    element.with_child(with_certificate(session, "Certificate", accepted.certificate.as_ref()))
}

fn connection_request(request: &ConnectionRequest) -> Element<'static> {
    let element = Element::new("ConnReq")
        .with("SessionID", request.session)
        .with("PeerID", request.peer)
        .with("UserID", &request.user);
    let element = with_device(element, request.device.as_ref())
        .with("Technique", request.technique)
        .with("RoundTrip", request.round_trip.as_micros());
    let element = with_destination(element, &request.destination);
    let element = with_greetings(element, &request.greetings);
    with_certificate(element, "Certificate", request.certificate.as_ref())
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
