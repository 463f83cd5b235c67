//! Documents to messages.

use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::borrow::Cow;

use simopen_packet::{SeqNumber, Ttl};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{
    Accept, Accepted, Action, Certificate, Connect, ConnectionRequest, ControlError, Destination,
    ErrorName, Head, Join, Joined, LoggedIn, Login, MAX_CERTIFICATE_BYTES, MAX_KEY_BYTES,
    MAX_NOTE_BYTES, MAX_RELAY_ADDRESSES, MAX_SUBJECT_BYTES, MAX_SYN_BYTES, Meeting, Member,
    Message, Note, NoteSend, Notification, Observed, Outcome, OutcomeState, PAGE, Presence, Probe,
    Proxy, PublicKey, Reachable, Recipient, Reply, Request, Response, Share, ShareId, SynBytes,
    SynReport, Team, TeamId, TeamMember, TransactionId,
};
use crate::cause::Cause;
use crate::document::{Attribute, Element, MAX_ATTRIBUTES};
use crate::greeting::Greetings;
use crate::token::Token;

/// The `Scheme` of a connection by a relay (seed 001 ¶178).
pub(super) const SCHEME_PROXY: &str = "PeerConnSchemeProxy";

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
        "Login" => Action::Login(Login {
            user: fields.value("UserID")?,
            secret: fields.optional_token("Secret")?,
            reachable: match fields.optional::<u8>("Reachable")? {
                Some(0) => Reachable::No,
                Some(_) | None => Reachable::Yes,
            },
        }),
        "Probe" => Action::Probe(Probe {
            peer: fields.value("PeerID")?,
            secret: fields.token("Secret")?,
            port: fields.value("Port")?,
            sequence: fields.optional("Sequence")?.map(SeqNumber),
        }),
        "Connect" => Action::Connect(Connect {
            to: fields.value("UserID")?,
            device: fields.optional("Device")?,
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
        "Join" => Action::Join(Join {
            device: fields.value("Device")?,
            secret: fields.token("Secret")?,
            key: PublicKey(fields.bytes("PublicKey", MAX_KEY_BYTES)?),
        }),
        "Logout" => Action::Logout,
        "Certificate" => Action::Certificate,
        "Proxy" => {
            let mut values = root.children.iter().filter(|child| child.name == "Value");
            let mut value = || {
                let text = values.next().map(|child| &*child.text);
                text.and_then(|text| Token::parse(text).ok()).ok_or_else(|| fields.missing("Value"))
            };
            let values = [value()?, value()?];
            Action::Proxy(Proxy { session: fields.value("SessionID")?, values })
        }
        "ProxyEnd" => Action::ProxyEnd(fields.value("SessionID")?),
        "NoteSend" => Action::NoteSend(note_send(&fields)?),
        "NoteDelete" => Action::NoteDelete(fields.value("NoteID")?),
        "TeamCreate" => Action::TeamCreate(fields.team()?),
        "TeamDelete" => Action::TeamDelete(fields.team()?),
        "TeamAdd" => Action::TeamAdd(fields.team_member()?),
        "TeamRemove" => Action::TeamRemove(fields.team_member()?),
        "ShareAdd" => Action::ShareAdd(fields.share_id()?),
        "ShareDrop" => Action::ShareDrop(fields.share_id()?),
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
                device: fields.optional("Device")?,
                destination: fields.destination()?,
                round_trip: fields.microseconds("RoundTrip")?,
                greetings: fields.greetings()?,
                private,
                certificate: fields.certificate("Certificate")?,
            }))
        }
        Some("Join") => {
            let fields = Fields::child(root, "Joined")?;
            Ok(Reply::Joined(Joined {
                user: fields.value("UserID")?,
                broker: fields.value("Broker")?,
                authority: fields.certificate("Authority")?,
                certificate: fields.certificate("Certificate")?,
            }))
        }
        Some("Certificate") => {
            let fields = Fields::of(root, "PBResp", root);
            Ok(Reply::Certified(fields.certificate("Certificate")?))
        }
        Some("NoteSend") => Ok(Reply::NoteKept(Fields::child(root, "Kept")?.value("NoteID")?)),
        _ => Ok(Reply::Done),
    }
}

fn logged_in(root: &Element<'_>) -> Result<LoggedIn, ControlError> {
    let presences = root.children.iter().filter(|child| child.name == "PeerPresence");
    let session = Fields::child(root, "Session")?;
    Ok(LoggedIn {
        peer: session.value("PeerID")?,
        alive: session.optional("Alive")?.map(Duration::from_secs),
        probe_secret: Fields::of(root, "PBResp", root).token("ProbeSecret")?,
        online: presences.map(|child| presence(root, child)).collect::<Result<_, _>>()?,
    })
}

/// Elements that this version does not know are passed over; a document without any that it knows
/// is an empty list.
fn notification(root: &Element<'_>) -> Result<Notification, ControlError> {
    let mut known = Vec::new();
    for child in &root.children {
        if let Some(notification) = notified(root, child)? {
            if known.len() == PAGE {
                return Err(Fields::of(root, "PBNotify", root).missing("an end"));
            }
            known.push(notification);
        }
    }
    Ok(match known.len() {
        1 => known.remove(0),
        _ => Notification::Several(known),
    })
}

fn notified(root: &Element<'_>, child: &Element<'_>) -> Result<Option<Notification>, ControlError> {
    Ok(Some(match &*child.name {
        "ConnReq" => Notification::ConnectionRequest(connection_request(root, child)?),
        "PeerPresence" => Notification::Presence(presence(root, child)?),
        "PeerOutcome" => {
            Notification::PeerOutcome(Fields::of(child, "PeerOutcome", root).outcome()?)
        }
        "Member" => {
            let fields = Fields::of(child, "Member", root);
            Notification::Member(Member {
                community: fields.value("Community")?,
                user: fields.value("UserID")?,
                is_member: fields.value::<u8>("Is")? != 0,
            })
        }
        "Team" => Notification::Team(team(root, child)?),
        "DropTeam" => Notification::DropTeam(Fields::of(child, "DropTeam", root).team()?),
        "AddShare" => Notification::AddShare(share(&Fields::of(child, "AddShare", root))?),
        "DropShare" => Notification::DropShare(share(&Fields::of(child, "DropShare", root))?),
        "Note" => Notification::Note(note(&Fields::of(child, "Note", root))?),
        "DropNote" => Notification::DropNote(Fields::of(child, "DropNote", root).value("NoteID")?),
        "Revoked" => {
            let fields = Fields::of(child, "Revoked", root);
            Notification::Revoked {
                user: fields.value("UserID")?,
                device: fields.optional("Device")?,
            }
        }
        "Restarting" => {
            let within = Fields::of(child, "Restarting", root).value("Within")?;
            Notification::Restarting { within: Duration::from_secs(within) }
        }
        "Verify" => Notification::Verify,
        "Listed" => Notification::Listed,
        _ => return Ok(None),
    }))
}

fn connection_request(
    root: &Element<'_>,
    child: &Element<'_>,
) -> Result<ConnectionRequest, ControlError> {
    let fields = Fields::of(child, "ConnReq", root);
    Ok(ConnectionRequest {
        session: fields.value("SessionID")?,
        peer: fields.value("PeerID")?,
        user: fields.value("UserID")?,
        device: fields.optional("Device")?,
        technique: fields.value("Technique")?,
        destination: fields.destination()?,
        round_trip: fields.microseconds("RoundTrip")?,
        greetings: fields.greetings()?,
        certificate: fields.certificate("Certificate")?,
    })
}

fn team(root: &Element<'_>, child: &Element<'_>) -> Result<Team, ControlError> {
    let fields = Fields::of(child, "Team", root);
    let members = child.children.iter().filter(|child| child.name == "Member");
    Ok(Team {
        id: fields.team()?,
        owner: fields.value("OwnerID")?,
        members: members
            .map(|member| Fields::of(member, "Member", root).value("UserID"))
            .collect::<Result<_, _>>()?,
    })
}

fn share(fields: &Fields<'_>) -> Result<Share, ControlError> {
    Ok(Share {
        id: fields.share_id()?,
        peer: fields.value("PeerID")?,
        user: fields.value("UserID")?,
        device: fields.optional("Device")?,
    })
}

fn note_send(fields: &Fields<'_>) -> Result<NoteSend, ControlError> {
    let to = match fields.optional("UserID")? {
        Some(user) => Recipient::Member(user),
        None => Recipient::Team(fields.team()?),
    };
    Ok(NoteSend {
        to,
        subject: fields.child_text("Subject", MAX_SUBJECT_BYTES)?,
        text: fields.child_text("Text", MAX_NOTE_BYTES)?,
    })
}

fn note(fields: &Fields<'_>) -> Result<Note, ControlError> {
    Ok(Note {
        id: fields.value("NoteID")?,
        from: fields.value("UserID")?,
        team: fields.optional_team()?,
        sent: fields.value("Sent")?,
        subject: fields.child_text("Subject", MAX_SUBJECT_BYTES)?,
        text: fields.child_text("Text", MAX_NOTE_BYTES)?,
    })
}

fn presence(root: &Element<'_>, child: &Element<'_>) -> Result<Presence, ControlError> {
    let fields = Fields::of(child, "PeerPresence", root);
    Ok(Presence {
        peer: fields.value("PeerID")?,
        user: fields.value("UserID")?,
        device: fields.optional("Device")?,
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

    fn team(&self) -> Result<TeamId, ControlError> {
        Ok(TeamId { community: self.value("Community")?, team: self.value("Team")? })
    }

    fn optional_team(&self) -> Result<Option<TeamId>, ControlError> {
        if self.attribute("Team").is_some() { self.team().map(Some) } else { Ok(None) }
    }

    fn team_member(&self) -> Result<TeamMember, ControlError> {
        Ok(TeamMember { team: self.team()?, user: self.value("UserID")? })
    }

    fn share_id(&self) -> Result<ShareId, ControlError> {
        Ok(ShareId { team: self.team()?, name: self.value("Share")? })
    }

    fn destination(&self) -> Result<Destination, ControlError> {
        if self.attribute("Scheme").is_none() {
            return self.endpoint().map(Destination::Endpoint);
        }
        if self.text("Scheme")? != SCHEME_PROXY {
            return Err(self.missing("Scheme"));
        }
        let mut relay = Vec::new();
        for address in self.text("Relay")?.split(',').take(MAX_RELAY_ADDRESSES) {
            relay.push(address.parse().map_err(|_| self.missing("Relay"))?);
        }
        Ok(Destination::Meeting(Meeting { relay, value: self.token("Value")? }))
    }

    /// A child's text, which may be empty, and the child missing.
    fn child_text(&self, name: &'static str, limit: usize) -> Result<String, ControlError> {
        let text = self.element.child(name).map(|child| &*child.text).unwrap_or_default();
        if text.len() > limit { Err(self.missing(name)) } else { Ok(text.to_owned()) }
    }

    fn optional_bytes(
        &self,
        name: &'static str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, ControlError> {
        let Some(child) = self.element.child(name) else {
            return Ok(None);
        };
        // Four letters for three bytes.
        let text = Some(&*child.text).filter(|text| text.len() <= limit.div_ceil(3) * 4);
        let bytes =
            text.and_then(|text| BASE64.decode(text).ok()).filter(|bytes| bytes.len() <= limit);
        bytes.ok_or_else(|| self.missing(name)).map(Some)
    }

    fn bytes(&self, name: &'static str, limit: usize) -> Result<Vec<u8>, ControlError> {
        self.optional_bytes(name, limit)?.ok_or_else(|| self.missing(name))
    }

    fn certificate(&self, name: &'static str) -> Result<Option<Certificate>, ControlError> {
        Ok(self.optional_bytes(name, MAX_CERTIFICATE_BYTES)?.map(Certificate))
    }

    fn optional_token(&self, name: &'static str) -> Result<Option<Token>, ControlError> {
        self.element.child(name).map(|_| self.token(name)).transpose()
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
