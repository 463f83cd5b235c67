//! What happened at the broker, for logs and timelines, and how often.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::identity::{DeviceName, PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;

use crate::consent::Violation;
use crate::forge::ConsentRecord;
use crate::session::Party;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A device joined by an invitation.
    Joined {
        /// Whose it is.
        user: UserId,
        /// What it is called.
        device: DeviceName,
    },
    /// A device logged in.
    LoggedIn {
        /// Its number.
        peer: PeerId,
        /// Whose it is.
        user: UserId,
        /// What it is called, where it joined.
        device: Option<DeviceName>,
    },
    /// A login or a join was refused as a guess would be.
    EntryRefused {
        /// Where it came from.
        source: IpAddr,
    },
    /// A peer did not answer when it was asked whether it is there.
    Vanished {
        /// Its number.
        peer: PeerId,
    },
    /// A user, or one device, was revoked.
    Revoked {
        /// Who.
        user: UserId,
        /// Which device; without it all.
        device: Option<DeviceName>,
    },
    /// A device's control link is gone.
    LoggedOut {
        /// Its number.
        peer: PeerId,
        /// Whose it was.
        user: UserId,
        /// What it is called, where it joined.
        device: Option<DeviceName>,
    },
    /// A peer proved an endpoint.
    Proven {
        /// Whose.
        peer: PeerId,
        /// As seen here.
        endpoint: SocketAddr,
    },
    /// A connection was asked for.
    Asked {
        /// The new session.
        session: SessionId,
        /// How.
        technique: Technique,
        /// Who asked.
        originator: PeerId,
        /// Who is asked.
        responder: PeerId,
    },
    /// The responder accepted.
    Accepted {
        /// Which session.
        session: SessionId,
    },
    /// A side reported its initial SYN.
    SynReported {
        /// Which session.
        session: SessionId,
        /// Who.
        by: Party,
        /// 1 for the first report.
        observation: u8,
    },
    /// A forged packet left.
    Forged(ConsentRecord),
    /// A forged packet would have left, but forging is withheld.
    Withheld(ConsentRecord),
    /// A rule forbade a forged packet.
    Refused {
        /// Which session.
        session: SessionId,
        /// Towards whom it would have gone.
        towards: Party,
        /// The rule.
        violation: Violation,
    },
    /// Both sides have told how it went, and are connected.
    Connected {
        /// Which session.
        session: SessionId,
    },
    /// A session ended.
    Ended {
        /// Which session.
        session: SessionId,
        /// Why the two are not connected; `None` where one of them said that they are.
        cause: Option<Cause>,
    },
}

/// Figures since the start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Devices that joined.
    pub joined: u64,
    /// Logins.
    pub logins: u64,
    /// Peers that were asked whether they are still there.
    pub verified: u64,
    /// Peers that did not answer that, and were logged out.
    pub vanished: u64,
    /// Sessions that both sides confirmed.
    pub confirmed: u64,
    /// Sessions that failed, by cause.
    pub failed: BTreeMap<Cause, u64>,
    /// Pairs that the relay was asked to join.
    pub pairings: u64,
    /// Notes taken.
    pub notes: u64,
    /// Changes that the store kept.
    pub persisted: u64,
    /// Changes that the store did not keep.
    pub persist_failed: u64,
    /// Users and devices revoked.
    pub revoked: u64,
    /// Forged packets sent.
    pub forged: u64,
    /// Forged packets withheld.
    pub withheld: u64,
    /// Forged packets that a rule forbade, by rule.
    pub violations: BTreeMap<Violation, u64>,
    /// Requests answered with an error, by its word.
    pub refused: BTreeMap<String, u64>,
}

/// What is held at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gauges {
    /// Connections.
    pub links: usize,
    /// Logged-in devices.
    pub peers: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Pairs at the relay, as far as they are remembered.
    pub pairings: usize,
    /// Logins that are held back.
    pub held: usize,
    /// Changes that wait for the store.
    pub waiting: usize,
    /// Users, revoked ones too.
    pub users: usize,
    /// Devices, revoked ones too.
    pub devices: usize,
    /// Teams.
    pub teams: usize,
    /// Notes, each counted once.
    pub notes: usize,
}
