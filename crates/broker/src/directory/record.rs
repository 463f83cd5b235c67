//! What a directory is made of.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use sha2::{Digest, Sha256};
use simopen_protocol::control::{KeyFingerprint, PublicKey, TeamId};
use simopen_protocol::identity::{CommunityName, DeviceName, NoteId, UserId};
use simopen_protocol::token::Token;

/// One user, as an embedder writes it down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct User {
    /// What only the user and the broker know, for links in plain text. Without it the user logs
    /// in from devices that have joined.
    pub secret: Option<Token>,
    /// The communities that the user is a member of. Users without a common community cannot
    /// reach each other, nor learn that the other exists.
    pub communities: BTreeSet<CommunityName>,
}

/// Whether a user or a device may still be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Standing {
    /// It may.
    #[default]
    Good,
    /// It was revoked. It stays known, so that it is refused by name and nobody takes its place.
    Revoked,
}

/// One device that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    /// Whose it is; [`RELAY`] where it is a relay.
    pub user: UserId,
    /// What it is called; one of a kind among those of that user which were not revoked.
    pub name: DeviceName,
    /// By what it shows who it is.
    pub key: PublicKey,
    /// What it does.
    pub kind: DeviceKind,
    /// When it joined: seconds since 1970 (UTC).
    pub joined: u64,
    /// The invitation by which it joined. Whoever asks again with this secret and this key is the
    /// same device, which did not hear the answer.
    pub invited_by: Option<SecretHash>,
    /// Whether it may still log in.
    pub standing: Standing,
}

impl Device {
    /// By what it is found.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.key.fingerprint()
    }
}

/// The name under which relays join; no user can have it.
pub const RELAY: &str = "relay";

/// What a device is for. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A user logs in from it.
    Peer,
    /// It joins pairs for this broker, and logs in nowhere.
    Relay,
}

/// The SHA-256 of an invitation's secret: the secret itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Of that secret.
    #[must_use]
    pub fn of(secret: &Token) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// The right to join, once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Invitation {
    /// Of its secret.
    pub hash: SecretHash,
    /// For what.
    pub invited: Invited,
    /// Until when it is good: seconds since 1970 (UTC), that second included.
    pub until: u64,
}

/// For what an invitation is. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Invited {
    /// A device of this user.
    User(UserId),
    /// A relay of this broker.
    Relay,
}

/// Who is in a team.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TeamRecord {
    /// Who made it and may change it: a member too.
    pub owner: UserId,
    /// All members, the owner among them.
    pub members: BTreeSet<UserId>,
}

/// A note with those who have not deleted it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeptNote {
    /// Which.
    pub id: NoteId,
    /// Who sent it.
    pub from: UserId,
    /// The team that it was sent to.
    pub team: Option<TeamId>,
    /// When it was taken: seconds since 1970 (UTC).
    pub sent: u64,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// Who still has it; at least one.
    pub recipients: BTreeSet<UserId>,
}

impl KeptNote {
    /// What it costs a recipient's quota, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.subject.len() + self.text.len()
    }
}
