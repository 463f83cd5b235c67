//! What an operator asks of a broker.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use simopen_protocol::address::HostPort;
use simopen_protocol::control::Team;
use simopen_protocol::identity::{CommunityName, DeviceName, PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

use crate::directory::{Device, Standing};
use crate::event::{Gauges, Stats};

/// Tells one request from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminId(pub u64);

/// What an operator asks. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdminRequest {
    /// Adds a user, or one that was revoked again.
    AddUser {
        /// Who.
        user: UserId,
        /// The first communities.
        communities: Vec<CommunityName>,
    },
    /// Revokes a user, and forgets everything about the name.
    RemoveUser(UserId),
    /// Makes a user a member of a community, which comes to be by that.
    AddMember {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// Takes a user out of a community and its teams.
    RemoveMember {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// Invites a device of a user.
    Invite {
        /// Whose device.
        user: UserId,
        /// How long the invitation is good.
        lifetime: Duration,
    },
    /// Invites a relay.
    InviteRelay {
        /// How long the invitation is good.
        lifetime: Duration,
    },
    /// Revokes a user with all devices. Links, sessions and pairings end within this call.
    RevokeUser(UserId),
    /// Revokes one device, in the same way.
    RevokeDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device: DeviceName,
    },
    /// Lists the users.
    Users,
    /// Lists the devices of one user, or of all.
    Devices(Option<UserId>),
    /// Lists who is logged in.
    Peers,
    /// Lists the open sessions.
    Sessions,
    /// Lists the teams.
    Teams,
    /// Makes two values by which two clients meet that know nothing of this protocol.
    Rendezvous,
    /// Asks for the figures.
    Stats,
}

/// What an operator is answered. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdminReply {
    /// It is done and kept.
    Done,
    /// To `Invite` and `InviteRelay`.
    Invited {
        /// Good once.
        secret: Token,
        /// Until when: seconds since 1970 (UTC).
        until: u64,
    },
    /// To `Users`.
    Users(Vec<UserEntry>),
    /// To `Devices`.
    Devices(Vec<Device>),
    /// To `Peers`.
    Peers(Vec<PeerEntry>),
    /// To `Sessions`.
    Sessions(Vec<SessionEntry>),
    /// To `Teams`.
    Teams(Vec<Team>),
    /// To `Rendezvous`.
    Rendezvous {
        /// Where the relay listens.
        relay: Vec<HostPort>,
        /// One for each of the two.
        values: [Token; 2],
    },
    /// To `Stats`.
    Stats(Stats, Gauges),
}

/// A user as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserEntry {
    /// Who.
    pub user: UserId,
    /// Where a member.
    pub communities: Vec<CommunityName>,
    /// Whether revoked.
    pub standing: Standing,
    /// How many devices have joined and were not revoked.
    pub devices: usize,
    /// How many are logged in.
    pub online: usize,
    /// How many notes wait.
    pub notes: usize,
}

/// A logged-in device as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerEntry {
    /// Its number.
    pub peer: PeerId,
    /// Whose.
    pub user: UserId,
    /// Which, where it joined.
    pub device: Option<DeviceName>,
    /// Where its control link comes from.
    pub remote: SocketAddr,
    /// The shortest round trip seen.
    pub round_trip: Duration,
    /// How long it has been logged in.
    pub since: Duration,
}

/// An open session as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionEntry {
    /// Its number.
    pub session: SessionId,
    /// How.
    pub technique: Technique,
    /// Who asked.
    pub originator: UserId,
    /// Who was asked.
    pub responder: UserId,
    /// How long it has been open.
    pub age: Duration,
}

/// Why an operator's request was refused. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such user, or it was revoked.
    UnknownUser,
    /// There is no such device in good standing.
    UnknownDevice,
    /// The user exists.
    Exists,
    /// The name is kept for relays.
    Reserved,
    /// The store did not keep it, so nothing has changed.
    StorageFailed,
    /// Too many changes wait for the store.
    Busy,
    /// The configuration does not allow pairs for unmodified clients.
    RendezvousOff,
    /// The broker has no relay, or it does not answer.
    NoRelay,
}

impl AdminError {
    /// The one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown-user",
            Self::UnknownDevice => "unknown-device",
            Self::Exists => "exists",
            Self::Reserved => "reserved",
            Self::StorageFailed => "storage-failed",
            Self::Busy => "busy",
            Self::RendezvousOff => "rendezvous-off",
            Self::NoRelay => "no-relay",
        }
    }

    /// What it means, in one clause.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::UnknownUser => "there is no such user, or the user was revoked",
            Self::UnknownDevice => "the user has no such device, or it was revoked",
            Self::Exists => "there is such a user already",
            Self::Reserved => "the name is kept for relays; choose another one",
            Self::StorageFailed => {
                "the store did not keep it, and nothing has changed: see its log"
            }
            Self::Busy => "too many changes wait for the store; try again",
            Self::RendezvousOff => {
                "pairs for unmodified clients are not allowed by the configuration"
            }
            Self::NoRelay => "the broker has no relay that answers",
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence())
    }
}

impl core::error::Error for AdminError {}
