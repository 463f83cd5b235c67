//! What the documents on a control link mean (seed 001 ¶144-150).
//!
//! A peer sends `<PBReq Action=… ID=…>`; the broker answers `<PBResp Error=… …>` with all the
//! request's attributes repeated (¶147), and sends `<PBNotify>` on its own account (¶150).
//! Secrets travel in child elements, never in attributes.

mod account;
mod community;
mod decode;
mod encode;
mod meeting;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use simopen_packet::{SeqNumber, Ttl};
use thiserror::Error;

use crate::cause::Cause;
use crate::document::{Attribute, DocumentError};
use crate::greeting::Greetings;
use crate::identity::{DeviceName, NoteId, PeerId, SessionId, UserId};
use crate::technique::Technique;
use crate::token::Token;

pub use self::account::{
    Certificate, Join, Joined, KeyFingerprint, LoggedIn, Login, MAX_CERTIFICATE_BYTES,
    MAX_KEY_BYTES, PublicKey, Reachable,
};
pub use self::community::{
    MAX_NOTE_BYTES, MAX_SUBJECT_BYTES, Member, Note, NoteSend, PAGE, Recipient, Share, ShareId,
    Team, TeamId, TeamMember,
};
pub use self::meeting::{Destination, MAX_RELAY_ADDRESSES, Meeting, Proxy};

/// One document on a control link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Peer to broker.
    Request(Request),
    /// Broker to peer, in answer to a request.
    Response(Response),
    /// Broker to peer, unsolicited.
    Notification(Notification),
}

/// Tells identical requests of one link apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// `<PBReq>`: something that a peer asks of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Comes back in the response.
    pub id: TransactionId,
    /// What is asked.
    pub action: Action,
    /// Attributes that this version does not know; they are repeated in the response.
    pub unknown: Vec<Attribute>,
}

impl Request {
    /// A request with nothing in it but what this version knows.
    #[must_use]
    pub const fn new(id: TransactionId, action: Action) -> Self {
        Self { id, action, unknown: Vec::new() }
    }

    /// What a response to this request repeats.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { attributes: encode::request_attributes(self) }
    }
}

/// What a peer asks. May grow; an unknown action is answered with `unknown-action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Opens a session on this link.
    Login(Login),
    /// Proves the endpoint of the very connection that carries it.
    Probe(Probe),
    /// Asks for a connection to another user (seed 001 ¶167).
    Connect(Connect),
    /// Accepts a connection request (¶168).
    Accept(Accept),
    /// Reports a captured initial SYN (¶170).
    Syn(SynReport),
    /// Says what became of a session on this side.
    Outcome(Outcome),
    /// Measures the round trip and shows that the link lives.
    Ping,
    /// Makes this device a user's, by an invitation.
    Join(Join),
    /// Ends the session on this link in good order.
    Logout,
    /// Asks for a new certificate for the key that this device has.
    Certificate,
    /// Broker to relay: two values that will be presented (seed 001 ¶177).
    Proxy(Proxy),
    /// Broker to relay: this pair is to end.
    ProxyEnd(SessionId),
    /// Sends a note (¶136).
    NoteSend(NoteSend),
    /// Deletes a note for the user who asks; others who got it keep it.
    NoteDelete(NoteId),
    /// Makes a team whose owner is the user who asks (¶126).
    TeamCreate(TeamId),
    /// Ends a team; its owner's.
    TeamDelete(TeamId),
    /// Adds a member; the owner's.
    TeamAdd(TeamMember),
    /// Removes a member; the owner's, or that of the member itself.
    TeamRemove(TeamMember),
    /// Announces a share (¶126-129).
    ShareAdd(ShareId),
    /// Withdraws it.
    ShareDrop(ShareId),
}

impl Action {
    /// The `Action` attribute.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "Login",
            Self::Probe(_) => "Probe",
            Self::Connect(_) => "Connect",
            Self::Accept(_) => "Accept",
            Self::Syn(_) => "Syn",
            Self::Outcome(_) => "Outcome",
            Self::Ping => "Ping",
            Self::Join(_) => "Join",
            Self::Logout => "Logout",
            Self::Certificate => "Certificate",
            Self::Proxy(_) => "Proxy",
            Self::ProxyEnd(_) => "ProxyEnd",
            Self::NoteSend(_) => "NoteSend",
            Self::NoteDelete(_) => "NoteDelete",
            Self::TeamCreate(_) => "TeamCreate",
            Self::TeamDelete(_) => "TeamDelete",
            Self::TeamAdd(_) => "TeamAdd",
            Self::TeamRemove(_) => "TeamRemove",
            Self::ShareAdd(_) => "ShareAdd",
            Self::ShareDrop(_) => "ShareDrop",
        }
    }
}

/// Proves an endpoint: sent as the first request on a connection opened *from the local port that
/// will be used*. The sequence number is that of this connection's own SYN; only who made it or
/// captured it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Whose endpoint it is.
    pub peer: PeerId,
    /// The probe secret from that peer's login.
    pub secret: Token,
    /// The local port, as the peer sees it.
    pub port: u16,
    /// The initial sequence number of this connection's SYN as it left. A peer that may not capture
    /// its own SYN leaves it out: the endpoint is then observed, but not proven.
    pub sequence: Option<SeqNumber>,
}

/// Asks for a connection to another user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connect {
    /// Whom to reach.
    pub to: UserId,
    /// Which of that user's devices; without it the one that logged in last.
    pub device: Option<DeviceName>,
    /// How.
    pub technique: Technique,
    /// The originator's local port, proven before (PA in seed 001 ¶167); 0 where both meet at a
    /// relay.
    pub port: u16,
    /// The whole initial SYN that the originator commits to, where it makes its own.
    pub syn: Option<SynBytes>,
}

/// Accepts a connection request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accept {
    /// Which request.
    pub session: SessionId,
    /// The responder's local port, proven before (PB in seed 001 ¶168); 0 where both meet at a
    /// relay.
    pub port: u16,
    /// The responder's initial SYN, where it is out already.
    pub syn: Option<SynBytes>,
    /// The responder's own address in its network, where it listens there on `port`.
    pub private: Option<IpAddr>,
}

/// Reports an initial SYN, first or retransmitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SynReport {
    /// Which session it belongs to.
    pub session: SessionId,
    /// The packet.
    pub syn: SynBytes,
}

/// A whole initial SYN as its host sent it, IP header first. At most 100 bytes.
///
/// On the wire it is lower-case hexadecimal. It is not parsed here: the broker judges it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SynBytes(pub Vec<u8>);

/// The longest SYN on the wire, in bytes: an IPv6 header and the longest TCP header.
pub const MAX_SYN_BYTES: usize = 100;

/// What became of a session on one side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Which session.
    pub session: SessionId,
    /// What became of it.
    pub state: OutcomeState,
}

/// What became of a session on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeState {
    /// The connection stands and the other side has shown who it is.
    Confirmed,
    /// It is over, without a connection.
    Failed(Cause),
}

/// The request's attributes, repeated in its response (seed 001 ¶147).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Head {
    pub(crate) attributes: Vec<Attribute>,
}

impl Head {
    /// The transaction that is answered, if the request named one.
    #[must_use]
    pub fn id(&self) -> Option<TransactionId> {
        self.attribute("ID").and_then(|text| text.parse().ok()).map(TransactionId)
    }

    /// The action that is answered.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.attribute("Action")
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `<PBResp>`: the broker's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Response {
    /// The request's attributes.
    pub head: Head,
    /// The data elements, or the string that names the failure.
    pub result: Result<Reply, ErrorName>,
}

/// The `Error` attribute of a failed request: a [`Cause`]'s word, or one of the protocol's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorName(pub String);

impl From<Cause> for ErrorName {
    fn from(cause: Cause) -> Self {
        Self(cause.word().into())
    }
}

impl ErrorName {
    /// The cause that it names.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.0.parse().unwrap_or(Cause::Unspecified)
    }
}

/// The data elements of a response that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// To `Login`.
    LoggedIn(LoggedIn),
    /// To `Probe`.
    Observed(Observed),
    /// To `Connect`: the acknowledgement (seed 001 ¶168).
    Accepted(Accepted),
    /// To `Join`.
    Joined(Joined),
    /// To `Certificate`. The machine leaves it out, the service that signs puts it in.
    Certified(Option<Certificate>),
    /// To `NoteSend`: it is kept.
    NoteKept(NoteId),
    /// To every other action.
    Done,
}

/// A peer that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Presence {
    /// The device.
    pub peer: PeerId,
    /// Whose it is.
    pub user: UserId,
    /// What the user calls it, where it joined under a name.
    pub device: Option<DeviceName>,
    /// Whether it is there.
    pub online: bool,
}

/// How a probe connection looked when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Source address and port.
    pub endpoint: SocketAddr,
    /// TTL or hop limit of the SYN.
    pub ttl: Ttl,
}

/// The acknowledgement of a connection request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// The session.
    pub session: SessionId,
    /// The responder.
    pub peer: PeerId,
    /// What its user calls it, where it joined under a name.
    pub device: Option<DeviceName>,
    /// Where it is reached.
    pub destination: Destination,
    /// The responder's round trip to the broker.
    pub round_trip: Duration,
    /// What the two sides say first.
    pub greetings: Greetings,
    /// The responder's endpoint in its own network: only where both peers have the same observed
    /// public address, and so perhaps one network.
    pub private: Option<SocketAddr>,
    /// By what this side shows on the connection who it is: good for ten minutes at most. The
    /// machine leaves it out, the service that signs puts it in.
    pub certificate: Option<Certificate>,
}

/// `<PBNotify>`: one change that the broker tells of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// Somebody asks for a connection (seed 001 ¶167, ¶178).
    ConnectionRequest(ConnectionRequest),
    /// A peer came or went (¶150).
    Presence(Presence),
    /// What became of a session on the other side.
    PeerOutcome(Outcome),
    /// Who is in a common community; one by one after the login, then what changes.
    Member(Member),
    /// A team that the user is in, new or changed.
    Team(Team),
    /// A team that is no more, or that the user is no longer in.
    DropTeam(TeamId),
    /// A share that is available to the user (seed 001 ¶150).
    AddShare(Share),
    /// A share that is no longer available.
    DropShare(Share),
    /// A note for the user.
    Note(Note),
    /// A note that was deleted by another device of the user.
    DropNote(NoteId),
    /// A user or a device may no longer be talked to: links to it are to be closed.
    Revoked {
        /// Whose.
        user: UserId,
        /// Which device; without it all of that user's.
        device: Option<DeviceName>,
    },
    /// The broker goes away for a while; the link will end.
    Restarting {
        /// When it is to be tried again, in whole seconds.
        within: Duration,
    },
    /// Is anybody there? Any request answers it, a `Ping` at best (seed 004).
    Verify,
    /// All that there was to be told after the login has been told.
    Listed,
    /// Several of them, none of this kind, at most [`PAGE`].
    Several(Vec<Self>),
}

/// Somebody asks for a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionRequest {
    /// The session.
    pub session: SessionId,
    /// The originator's device.
    pub peer: PeerId,
    /// The originator.
    pub user: UserId,
    /// What the originator's user calls that device, where it joined under a name.
    pub device: Option<DeviceName>,
    /// How to connect.
    pub technique: Technique,
    /// Where the originator is reached.
    pub destination: Destination,
    /// The originator's round trip to the broker, so that both can dial at one moment.
    pub round_trip: Duration,
    /// What the two sides say first.
    pub greetings: Greetings,
    /// By what this side shows on the connection who it is: good for ten minutes at most. The
    /// machine leaves it out, the service that signs puts it in.
    pub certificate: Option<Certificate>,
}

/// Why a document is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// It breaks a rule of [`crate::document`].
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The root element is none of the three.
    #[error("the root element is none of PBReq, PBResp and PBNotify")]
    UnknownRoot,
    /// A request that this version does not know. The head lets a broker answer it.
    #[error("unknown action")]
    UnknownAction(Head),
    /// An element or attribute is missing or has no value of its kind.
    #[error("{element} lacks {what}, or it has no proper value")]
    Missing {
        /// Where.
        element: &'static str,
        /// What.
        what: &'static str,
        /// The request's attributes, so that a broker can answer it.
        head: Head,
    },
}

impl ControlError {
    /// The `Error` attribute with which a broker answers.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        ErrorName(
            match self {
                Self::Document(_) | Self::UnknownRoot => "malformed",
                Self::UnknownAction(_) => "unknown-action",
                Self::Missing { .. } => "incomplete",
            }
            .into(),
        )
    }

    /// The attributes to repeat in that answer.
    #[must_use]
    pub fn into_head(self) -> Head {
        match self {
            Self::UnknownAction(head) | Self::Missing { head, .. } => head,
            Self::Document(_) | Self::UnknownRoot => Head::default(),
        }
    }
}
