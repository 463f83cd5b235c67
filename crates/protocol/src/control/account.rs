//! How a device comes to belong to a user: joining, certificates, login.

use core::fmt;
use core::time::Duration;

use sha2::{Digest, Sha256};

use super::Presence;
use crate::identity::{BrokerName, DeviceName, PeerId, UserId};
use crate::token::Token;

/// The longest public key on the wire, in bytes of its DER form.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest certificate on the wire, in bytes of its DER form.
pub const MAX_CERTIFICATE_BYTES: usize = 4096;

/// Makes this device one of the user for whom the invitation was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Join {
    /// What the device is to be called; one of a kind among the user's.
    pub device: DeviceName,
    /// The invitation's secret, good once.
    pub secret: Token,
    /// The device's key, whose private part never leaves the device.
    pub key: PublicKey,
}

/// A public key as DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). On the wire it is base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub Vec<u8>);

impl PublicKey {
    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint(Sha256::digest(&self.0).into())
    }
}

/// The SHA-256 of a public key's DER form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

impl fmt::Display for KeyFingerprint {
    /// In lower-case hexadecimal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An X.509 certificate as DER (RFC 5280). On the wire it is base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate(pub Vec<u8>);

/// What a device gets when it has joined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Joined {
    /// Whose device it is now.
    pub user: UserId,
    /// What the broker calls itself.
    pub broker: BrokerName,
    /// The broker's certificate authority.
    pub authority: Option<Certificate>,
    /// The device's certificate. The machine leaves it out, the service that signs puts it in.
    pub certificate: Option<Certificate>,
}

/// Opens a session on this link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// Who logs in. A client certificate has to be this user's.
    pub user: UserId,
    /// What only that user and the broker know: where links are plain text. Over TLS the client
    /// certificate takes its place.
    pub secret: Option<Token>,
    /// Whether other peers may ask this one for connections.
    pub reachable: Reachable,
}

/// Whether other peers may ask a peer for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reachable {
    /// It is among the devices that are asked.
    #[default]
    Yes,
    /// It only asks others.
    No,
}

/// The session that a login opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoggedIn {
    /// This device's number until it logs out.
    pub peer: PeerId,
    /// Ties probe connections to this session.
    pub probe_secret: Token,
    /// How long the peer may be silent before the broker asks whether it is still there: whole
    /// seconds (seed 004: 10, 20 or 30 s). `None` where the broker does not ask.
    pub alive: Option<Duration>,
    /// Who of the common communities is online, at most [`super::PAGE`] of them; the others follow
    /// in notifications.
    pub online: Vec<Presence>,
}
