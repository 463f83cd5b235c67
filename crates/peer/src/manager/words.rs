//! What is said on the manager's socket: JSON objects, each behind its length in 4 bytes, big-endian.
//!
//! A command opens a connection, says one [`Order`], and reads [`Answer`]s. After
//! [`Answer::Connected`], and after the answer to [`Order::Take`], the socket itself is the stream:
//! what is written goes to the other peer, and closing one direction closes that one alone.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ManagerError;

/// The longest word: a status with thousands of members and notes of 16 KiB.
const MAX_WORD_BYTES: u64 = 64 * 1024 * 1024;

/// What a command asks of the manager. May grow: what it does not know is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Order {
    /// What is known of all brokers.
    Status,
    /// A connection to a service of another peer.
    Connect(ConnectOrder),
    /// Offers a service, as long as this connection stands.
    Listen {
        /// Its name.
        service: String,
    },
    /// Takes a connection that came to a service: this socket becomes its stream.
    Take {
        /// Its number, from [`Answer::Incoming`].
        connection: u64,
    },
    /// Whether a stream came to its end in good order: a socket's end does not tell. Answered when
    /// it has ended. The end of what this side sends has to be told here too from now on, by
    /// [`Order::Finished`], before the stream's socket is shut down; else the stream broke.
    Watch {
        /// Its number, from [`Route`] or [`Incoming`].
        connection: u64,
    },
    /// Behind [`Order::Watch`]: all is sent, and what ends now ends in good order.
    Finished,
    /// Behind [`Order::Watch`]: the stream broke at this side.
    Broken,
    /// Something that the broker keeps or passes on.
    Do(Deed),
}

/// A connection to a service of another peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectOrder {
    /// To whom: a [`super::PeerName`].
    pub to: String,
    /// To which service.
    pub service: String,
}

/// Something that a broker keeps or passes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Deed {
    /// Makes a team: a [`super::TeamPath`].
    TeamCreate {
        /// Which.
        team: String,
    },
    /// Deletes a team.
    TeamDelete {
        /// Which.
        team: String,
    },
    /// Adds a user to a team.
    TeamAdd {
        /// Which.
        team: String,
        /// Whom.
        user: String,
    },
    /// Takes a user out of a team.
    TeamRemove {
        /// Which.
        team: String,
        /// Whom.
        user: String,
    },
    /// Sends a note.
    NoteSend {
        /// To whom: a [`super::NoteTo`].
        to: String,
        /// What it is about.
        subject: String,
        /// What it says.
        text: String,
    },
    /// Deletes a note.
    NoteDelete {
        /// Its number.
        note: u64,
        /// At which broker; without it the one that has such a note.
        broker: Option<String>,
    },
    /// Shares something with a team, as long as this device is logged in.
    ShareAdd {
        /// What.
        share: String,
        /// With whom.
        team: String,
    },
    /// Shares it no longer.
    ShareDrop {
        /// What.
        share: String,
        /// With whom.
        team: String,
    },
}

/// What the manager says. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// To [`Order::Status`].
    Status(Status),
    /// To [`Order::Connect`]; the stream follows.
    Connected(Route),
    /// To [`Order::Listen`].
    Listening,
    /// Somebody came to the service of this connection's [`Order::Listen`].
    Incoming(Incoming),
    /// To [`Order::Take`]; the stream follows. To [`Order::Do`]: it is done.
    Done {
        /// The number of a note that was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<u64>,
    },
    /// It was not done.
    Refused(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub why: String,
    /// Whether it was tried.
    pub kind: RefusalKind,
    /// Ways to another peer that were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// Whether something that was not done was tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// It was tried, and it failed.
    Failed,
    /// It could not be tried.
    NotTried,
}

/// A way that was tried and did not lead to the other peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The technique.
    pub technique: String,
    /// Why not.
    pub why: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// How a connection came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The stream's number, for [`Order::Watch`].
    pub connection: u64,
    /// To whom: user and device.
    pub peer: String,
    /// By which broker.
    pub broker: String,
    /// To which service.
    pub service: String,
    /// The technique that opened it.
    pub technique: String,
    /// Whether it goes by a relay.
    pub relayed: bool,
    /// Whether the link to that peer stood already.
    pub reused: bool,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// What was tried before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// A connection that came to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Its number, for [`Order::Take`] and [`Order::Watch`].
    pub connection: u64,
    /// From whom: user and device.
    pub peer: String,
    /// By which broker.
    pub broker: String,
    /// The technique that opened the link.
    pub technique: String,
}

/// What is known of all brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether `simopen peer` runs on this device.
    pub manager: bool,
    /// One for each broker.
    pub brokers: Vec<BrokerStatus>,
}

/// What is known of one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// What it is called on this device.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Whose device this is.
    pub user: String,
    /// What it is called.
    pub device: String,
    /// The link to it.
    pub link: LinkStatus,
    /// Who can be reached.
    pub communities: Vec<CommunityStatus>,
    /// The teams that this user is in.
    pub teams: Vec<TeamStatus>,
    /// What is shared with this user, and by this user.
    pub shares: Vec<ShareStatus>,
    /// Notes that this user has not deleted.
    pub notes: Vec<NoteStatus>,
    /// Links to other peers.
    pub links: Vec<PeerLinkStatus>,
}

/// The link to a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LinkStatus {
    /// It stands.
    Up {
        /// This device's number there.
        peer: u64,
    },
    /// It is sought.
    Down {
        /// What kept it from standing, in words.
        why: String,
    },
}

/// A community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommunityStatus {
    /// Its name.
    pub community: String,
    /// Who is in it.
    pub members: Vec<MemberStatus>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Who.
    pub user: String,
    /// The devices that are online.
    pub online: Vec<OnlineDevice>,
}

/// A device that is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineDevice {
    /// Its number.
    pub peer: u64,
    /// What its user calls it.
    pub device: Option<String>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamStatus {
    /// Of which community.
    pub community: String,
    /// Its name.
    pub team: String,
    /// Who owns it.
    pub owner: String,
    /// Who is in it.
    pub members: Vec<String>,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// What.
    pub share: String,
    /// Of which community.
    pub community: String,
    /// With which team.
    pub team: String,
    /// Who shares it.
    pub user: String,
    /// On which device.
    pub device: Option<String>,
    /// That device's number.
    pub peer: u64,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteStatus {
    /// Its number.
    pub note: u64,
    /// From whom.
    pub from: String,
    /// To which team it was sent, if to one.
    pub team: Option<String>,
    /// When the broker took it: seconds since 1970 (UTC).
    pub sent: u64,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// A link to another peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLinkStatus {
    /// To whom: user and device.
    pub peer: String,
    /// The technique that opened it.
    pub technique: String,
    /// Whether it goes by a relay.
    pub relayed: bool,
}

/// Says one word.
///
/// # Errors
///
/// [`ManagerError::Socket`] where the other end is gone.
pub async fn say<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    word: &T,
) -> Result<(), ManagerError> {
    stream.write_all(&in_bytes(word)?).await.map_err(ManagerError::Socket)
}

/// One word as it goes over the socket.
pub(super) fn in_bytes<T: Serialize>(word: &T) -> Result<Vec<u8>, ManagerError> {
    let json = serde_json::to_vec(word).map_err(|_| ManagerError::NotUnderstood)?;
    let length = u32::try_from(json.len()).map_err(|_| ManagerError::NotUnderstood)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Hears one word, and reads not a byte beyond it: a stream may follow. `None` at the end.
///
/// # Errors
///
/// [`ManagerError::NotUnderstood`] for what is no such word, [`ManagerError::Socket`] where it
/// breaks.
pub async fn hear<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, ManagerError> {
    let length = match stream.read_u32().await {
        Ok(length) => u64::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(ManagerError::Socket(error)),
    };
    if length > MAX_WORD_BYTES {
        return Err(ManagerError::NotUnderstood);
    }
    let mut json = Vec::new();
    let read = stream.take(length).read_to_end(&mut json).await.map_err(ManagerError::Socket)?;
    if (read as u64) < length {
        return Err(ManagerError::Socket(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&json).map(Some).map_err(|_| ManagerError::NotUnderstood)
}
