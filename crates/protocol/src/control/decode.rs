//! Documents to messages.

use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::borrow::Cow;

use simopen_packet::{SeqNumber, Ttl};

use super::{
    Accept, Accepted, Action, Connect, ConnectionRequest, ControlError, ErrorName, Head, LoggedIn,
    Login, MAX_SYN_BYTES, Message, Notification, Observed, Outcome, OutcomeState, Presence, Probe,
    Reply, Request, Response, SynBytes, SynReport, TransactionId,
};
use crate::cause::Cause;
use crate::document::{Attribute, Element, MAX_ATTRIBUTES};
use crate::greeting::Greetings;
use crate::identity::UserId;
use crate::token::Token;

impl Message {
    /// Reads one document. Unknown elements and attributes are ignored.
    ///
    /// # Errors
    ///
    /// [`ControlError`] says what is wrong, and lets a broker answer the request all the same.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let root = Element::parse(bytes)?;
        match &*root.name {
            "PBReq" => request(&root).map(Self::Request),
            "PBResp" => response(&root).map(Self::Response),
            "PBNotify" => notification(&root).map(Self::Notification),
            _ => Err(ControlError::UnknownRoot),
        }
    }
}

fn request(root: &Element<'_>) -> Result<Request, ControlError> {
    let fields = Fields::of(root, "PBReq", root);
    let id = TransactionId(fields.value("ID")?);
    let action = match fields.text("Action")? {
        "Login" => Action::Login(Login { user: fields.user()?, secret: fields.token("Secret")? }),
        "Probe" => Action::Probe(Probe {
            peer: fields.value("PeerID")?,
            secret: fields.token("Secret")?,
            port: fields.value("Port")?,
            sequence: fields.optional("Sequence")?.map(SeqNumber),
        }),
        "Connect" => Action::Connect(Connect {
            to: fields.user()?,
            technique: fields.value("Technique")?,
            port: fields.value("Port")?,
            syn: fields.packet()?,
        }),
        "Accept" => Action::Accept(Accept {
            session: fields.value("SessionID")?,
            port: fields.value("Port")?,
            syn: fields.packet()?,
            private: fields.optional("PrivateAddress")?,
        }),
        "Syn" => Action::Syn(SynReport {
            session: fields.value("SessionID")?,
            syn: fields.packet()?.ok_or_else(|| fields.missing("Packet"))?,
        }),
        "Outcome" => Action::Outcome(fields.outcome()?),
        "Ping" => Action::Ping,
        _ => {
            return Err(ControlError::UnknownAction(Head {
                attributes: root.attributes.iter().map(kept).collect(),
            }));
        }
    };
    Ok(Request { id, action, unknown: fields.unread().map(kept).collect() })
}

fn response(root: &Element<'_>) -> Result<Response, ControlError> {
    let fields = Fields::of(root, "PBResp", root);
    let error = fields.text("Error")?;
    let head = Head {
        attributes: root.attributes.iter().filter(|(name, _)| name != "Error").map(kept).collect(),
    };
    let result =
        if error == "0" { Ok(reply(root, head.action())?) } else { Err(ErrorName(error.into())) };
    Ok(Response { head, result })
}

fn reply(root: &Element<'_>, action: Option<&str>) -> Result<Reply, ControlError> {
    match action {
        Some("Login") => logged_in(root).map(Reply::LoggedIn),
        Some("Probe") => {
            let fields = Fields::child(root, "Observed")?;
            let ttl = Ttl(fields.value("TTL")?);
            Ok(Reply::Observed(Observed { endpoint: fields.endpoint()?, ttl }))
        }
        Some("Connect") => {
            let fields = Fields::child(root, "Session")?;
            let private = match fields.optional("PrivateAddress")? {
                Some(address) => Some(SocketAddr::new(address, fields.value("PrivatePort")?)),
                None => None,
            };
            Ok(Reply::Accepted(Accepted {
                session: fields.value("SessionID")?,
                peer: fields.value("PeerID")?,
                endpoint: fields.endpoint()?,
                round_trip: fields.microseconds("RoundTrip")?,
                greetings: fields.greetings()?,
                private,
            }))
        }
        _ => Ok(Reply::Done),
    }
}

fn logged_in(root: &Element<'_>) -> Result<LoggedIn, ControlError> {
    let presences = root.children.iter().filter(|child| child.name == "PeerPresence");
    Ok(LoggedIn {
        peer: Fields::child(root, "Session")?.value("PeerID")?,
        probe_secret: Fields::of(root, "PBResp", root).token("ProbeSecret")?,
        online: presences.map(|child| presence(root, child)).collect::<Result<_, _>>()?,
    })
}

fn notification(root: &Element<'_>) -> Result<Notification, ControlError> {
    if let Some(child) = root.child("ConnReq") {
        let fields = Fields::of(child, "ConnReq", root);
        return Ok(Notification::ConnectionRequest(ConnectionRequest {
            session: fields.value("SessionID")?,
            peer: fields.value("PeerID")?,
            user: fields.user()?,
            technique: fields.value("Technique")?,
            endpoint: fields.endpoint()?,
            round_trip: fields.microseconds("RoundTrip")?,
            greetings: fields.greetings()?,
        }));
    }
    if let Some(child) = root.child("PeerPresence") {
        return presence(root, child).map(Notification::Presence);
    }
    let fields = Fields::child(root, "PeerOutcome")?;
    fields.outcome().map(Notification::PeerOutcome)
}

fn presence(root: &Element<'_>, child: &Element<'_>) -> Result<Presence, ControlError> {
    let fields = Fields::of(child, "PeerPresence", root);
    Ok(Presence {
        peer: fields.value("PeerID")?,
        user: fields.user()?,
        online: fields.value::<u8>("Online")? != 0,
    })
}

/// One element's fields, with the words for an error.
struct Fields<'a> {
    element: &'a Element<'a>,
    name: &'static str,
    root: &'a Element<'a>,
    /// The attributes that were read, one bit each, the first one lowest.
    read: Cell<u64>,
}

// A bit for each attribute.
const _: () = assert!(MAX_ATTRIBUTES <= u64::BITS as usize);

impl<'a> Fields<'a> {
    const fn of(element: &'a Element<'a>, name: &'static str, root: &'a Element<'a>) -> Self {
        Self { element, name, root, read: Cell::new(0) }
    }

    fn child(root: &'a Element<'a>, name: &'static str) -> Result<Self, ControlError> {
        let element =
            root.child(name).ok_or_else(|| Self::of(root, "document", root).missing(name))?;
        Ok(Self::of(element, name, root))
    }

    fn missing(&self, what: &'static str) -> ControlError {
        let head = Head { attributes: self.root.attributes.iter().map(kept).collect() };
        ControlError::Missing { element: self.name, what, head }
    }

    fn attribute(&self, name: &str) -> Option<&'a str> {
        let attributes = &self.element.attributes;
        let place = attributes.iter().position(|(key, _)| key == name)?;
        self.read.set(self.read.get() | 1 << place);
        Some(&attributes[place].1)
    }

    /// The attributes that nobody asked for.
    fn unread(&self) -> impl Iterator<Item = &'a (Cow<'a, str>, Cow<'a, str>)> {
        let read = self.read.get();
        let numbered = self.element.attributes.iter().enumerate();
        numbered.filter(move |(place, _)| read >> place & 1 == 0).map(|(_, attribute)| attribute)
    }

    fn text(&self, name: &'static str) -> Result<&'a str, ControlError> {
        self.attribute(name).ok_or_else(|| self.missing(name))
    }

    fn value<T: FromStr>(&self, name: &'static str) -> Result<T, ControlError> {
        self.text(name)?.parse().map_err(|_| self.missing(name))
    }

    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ControlError> {
        match self.attribute(name) {
            Some(_) => self.value(name).map(Some),
            None => Ok(None),
        }
    }

    fn microseconds(&self, name: &'static str) -> Result<Duration, ControlError> {
        self.value(name).map(Duration::from_micros)
    }

    fn user(&self) -> Result<UserId, ControlError> {
        UserId::new(self.text("UserID")?).map_err(|_| self.missing("UserID"))
    }

    fn endpoint(&self) -> Result<SocketAddr, ControlError> {
        Ok(SocketAddr::new(self.value::<IpAddr>("Address")?, self.value("Port")?))
    }

    fn token(&self, name: &'static str) -> Result<Token, ControlError> {
        let text = self.element.child(name).map(|child| &*child.text);
        text.and_then(|text| Token::parse(text).ok()).ok_or_else(|| self.missing(name))
    }

    fn greetings(&self) -> Result<Greetings, ControlError> {
        Ok(Greetings { own: self.token("OwnGreeting")?, peer: self.token("PeerGreeting")? })
    }

    fn packet(&self) -> Result<Option<SynBytes>, ControlError> {
        let Some(child) = self.element.child("Packet") else {
            return Ok(None);
        };
        let bytes = hexadecimal(&child.text).ok_or_else(|| self.missing("Packet"))?;
        Ok(Some(SynBytes(bytes)))
    }

    fn outcome(&self) -> Result<Outcome, ControlError> {
        let state = match self.text("State")? {
            "confirmed" => OutcomeState::Confirmed,
            "failed" => OutcomeState::Failed(
                self.attribute("Cause")
                    .map_or(Cause::Unspecified, |word| word.parse().unwrap_or(Cause::Unspecified)),
            ),
            _ => return Err(self.missing("State")),
        };
        Ok(Outcome { session: self.value("SessionID")?, state })
    }
}

fn kept((name, value): &(Cow<'_, str>, Cow<'_, str>)) -> Attribute {
    (name.to_string().into(), value.to_string())
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MAX_SYN_BYTES || text.len() % 2 == 1 {
        return None;
    }
    let digit = |letter: u8| char::from(letter).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}
