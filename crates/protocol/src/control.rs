//! What the documents on a control link mean (seed 001 ¶144-150).
//!
//! A peer sends `<PBReq Action=… ID=…>`; the broker answers `<PBResp Error=… …>` with all the
//! request's attributes repeated (¶147), and sends `<PBNotify>` on its own account (¶150).
//! Secrets travel in child elements, never in attributes.

mod decode;
mod encode;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use simopen_packet::{SeqNumber, Ttl};
use thiserror::Error;

use crate::cause::Cause;
use crate::document::{Attribute, DocumentError};
use crate::greeting::Greetings;
use crate::identity::{PeerId, SessionId, UserId};
use crate::technique::Technique;
use crate::token::Token;

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
        }
    }
}

/// Opens a session on this link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// Who logs in.
    pub user: UserId,
    /// What only that user and the broker know.
    pub secret: Token,
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
    /// How.
    pub technique: Technique,
    /// The originator's local port, proven before (PA in seed 001 ¶167).
    pub port: u16,
    /// The whole initial SYN that the originator commits to, where it makes its own.
    pub syn: Option<SynBytes>,
}

/// Accepts a connection request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Accept {
    /// Which request.
    pub session: SessionId,
    /// The responder's local port, proven before (PB in seed 001 ¶168).
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
    /// To every other action.
    Done,
}

/// The session that a login opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoggedIn {
    /// This device's number until it logs out.
    pub peer: PeerId,
    /// Ties probe connections to this session.
    pub probe_secret: Token,
    /// Who of the common communities is online.
    pub online: Vec<Presence>,
}

/// A peer that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Presence {
    /// The device.
    pub peer: PeerId,
    /// Whose it is.
    pub user: UserId,
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
    /// The responder's endpoint as the broker observed it.
    pub endpoint: SocketAddr,
    /// The responder's round trip to the broker.
    pub round_trip: Duration,
    /// What the two sides say first.
    pub greetings: Greetings,
    /// The responder's endpoint in its own network: only where both peers have the same observed
    /// public address, and so perhaps one network.
    pub private: Option<SocketAddr>,
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
    /// How to connect.
    pub technique: Technique,
    /// The originator's endpoint as the broker observed it.
    pub endpoint: SocketAddr,
    /// The originator's round trip to the broker, so that both can dial at one moment.
    pub round_trip: Duration,
    /// What the two sides say first.
    pub greetings: Greetings,
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
