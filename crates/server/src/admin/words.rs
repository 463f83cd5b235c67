//! The lines on an operator's socket, as serde writes and reads them.

use serde::{Deserialize, Serialize};

/// What an operator asks. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Word {
    /// Adds a user.
    AddUser {
        /// Who.
        user: String,
        /// The first communities.
        #[serde(default)]
        communities: Vec<String>,
    },
    /// Removes a user with everything that is known of the name.
    RemoveUser {
        /// Who.
        user: String,
    },
    /// Lists the users.
    Users {},
    /// Makes a user a member of a community, which comes to be by that.
    AddMember {
        /// Which community.
        community: String,
        /// Who.
        user: String,
    },
    /// Takes a user out of a community.
    RemoveMember {
        /// Which community.
        community: String,
        /// Who.
        user: String,
    },
    /// Invites a device of a user.
    Invite {
        /// Whose.
        user: String,
        /// The user is made a member of these, and is added where there is no such user yet.
        #[serde(default)]
        communities: Vec<String>,
        /// How long the invitation is good.
        seconds: u64,
    },
    /// Invites a relay.
    InviteRelay {
        /// How long the invitation is good.
        seconds: u64,
    },
    /// Revokes a user, or one device of a user.
    Revoke {
        /// Who.
        user: String,
        /// Which device; all of them and the user too where it is left out.
        #[serde(default)]
        device: Option<String>,
    },
    /// Lists devices.
    Devices {
        /// Whose; everybody's where it is left out.
        #[serde(default)]
        user: Option<String>,
    },
    /// Lists who is logged in.
    Peers {},
    /// Lists the open sessions.
    Sessions {},
    /// Lists the teams.
    Teams {},
    /// Makes two values by which two clients meet at the relay that know nothing of simopen.
    Rendezvous {},
    /// Asks for the figures.
    Stats {},
}

/// One line in answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Ok(Told),
    /// It is not.
    Error(Refused),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For programs.
    pub word: String,
    /// For people: what, and what to do about it.
    pub message: String,
}

/// What an operator is told. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Told {
    /// Nothing else.
    Done {},
    /// To `invite` and `invite-relay`.
    Invited(Invited),
    /// To `users`.
    Users(Vec<UserView>),
    /// To `devices`.
    Devices(Vec<DeviceView>),
    /// To `peers`.
    Peers(Vec<PeerView>),
    /// To `sessions`.
    Sessions(Vec<SessionView>),
    /// To `teams`.
    Teams(Vec<TeamView>),
    /// To `rendezvous`.
    Rendezvous(Rendezvous),
    /// To `stats`.
    Stats(Vec<Count>),
}

/// An invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The whole line: whoever has it can join, once.
    pub line: String,
    /// Until when: seconds since 1970 (UTC).
    pub until: u64,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Invited(… until {})", self.until)
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Who.
    pub user: String,
    /// Where a member.
    pub communities: Vec<String>,
    /// Whether the user was revoked.
    pub revoked: bool,
    /// Devices in good standing.
    pub devices: usize,
    /// How many are logged in.
    pub online: usize,
    /// Notes that wait.
    pub notes: usize,
}

/// A device that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Whose.
    pub user: String,
    /// Which.
    pub device: String,
    /// `peer` or `relay`.
    pub kind: String,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it joined: seconds since 1970 (UTC).
    pub joined: u64,
    /// The SHA-256 of its public key.
    pub fingerprint: String,
}

/// A logged-in device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its number.
    pub peer: u64,
    /// Whose.
    pub user: String,
    /// Which, where it joined.
    pub device: Option<String>,
    /// Where its control link comes from.
    pub remote: String,
    /// The shortest round trip seen, in microseconds.
    pub round_trip_us: u64,
    /// For how many seconds it has been logged in.
    pub seconds: u64,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its number, as logs have it.
    pub session: u64,
    /// How the two are to be connected.
    pub technique: String,
    /// Who asked.
    pub originator: String,
    /// Who was asked.
    pub responder: String,
    /// For how many seconds it has been open.
    pub seconds: u64,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamView {
    /// In which community.
    pub community: String,
    /// Its name there.
    pub team: String,
    /// Who made it.
    pub owner: String,
    /// Who is in it, the owner too.
    pub members: Vec<String>,
}

/// Two values for two clients.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendezvous {
    /// Where the relay listens.
    pub relay: Vec<String>,
    /// What each asks the relay for by CONNECT: host and port.
    pub hosts: [String; 2],
}

impl std::fmt::Debug for Rendezvous {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rendezvous(… at {:?})", self.relay)
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Its name, as metrics have it.
    pub name: String,
    /// What is told apart, and which of it this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<[String; 2]>,
    /// How many.
    pub value: u64,
}
