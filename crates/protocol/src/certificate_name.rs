//! The names in the certificates that a broker's authority signs.
//!
//! One authority signs for the broker itself, its relays, devices, and single sessions. What a
//! certificate is good for is said by the DNS names in it (RFC 5280 §4.2.1.6), and whoever checks
//! one asks for exactly one of them.

use core::fmt::Write;

use sha2::{Digest, Sha256};

use crate::identity::{DeviceName, SessionId, UserId};

/// The name in the certificate with which a broker answers TLS. Each broker has an authority of its
/// own, so the name need not tell brokers apart.
pub const BROKER: &str = "broker.simopen";

/// The name in the certificate of a relay that runs apart from its broker.
pub const RELAY: &str = "relay.simopen";

/// Whose certificate of a session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionSide {
    /// Of the peer that asked; it is the TLS client.
    Originator,
    /// Of the peer that was asked; it is the TLS server.
    Responder,
}

/// `originator.SESSION.session.simopen` or `responder.SESSION.session.simopen`.
#[must_use]
pub fn of_session(session: SessionId, side: SessionSide) -> String {
    let side = match side {
        SessionSide::Originator => "originator",
        SessionSide::Responder => "responder",
    };
    format!("{side}.{session}.session.simopen")
}

/// The name of a user's device: the SHA-256 of `USER/DEVICE` in hexadecimal, as two labels, then
/// `device.simopen`. Users' and devices' names have dots and differ in case, DNS names do not; no
/// two devices have one name.
#[must_use]
pub fn of_device(user: &UserId, device: &DeviceName) -> String {
    let digest = Sha256::digest(format!("{user}/{device}"));
    let mut name = String::with_capacity(80);
    for half in digest.chunks(16) {
        for byte in half {
            write!(name, "{byte:02x}").expect("a string takes all that is written");
        }
        name.push('.');
    }
    name + "device.simopen"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(user: &str, device: &str) -> String {
        of_device(&UserId::new(user).unwrap(), &DeviceName::new(device).unwrap())
    }

    #[test]
    fn no_device_can_be_named_so_that_it_passes_for_another_users() {
        assert_ne!(name("b.c", "a"), name("c", "a.b"));
        assert_ne!(name("a", "b.c"), name("a.b", "c"));
        assert_ne!(name("Alice", "phone"), name("alice", "phone"));
    }

    #[test]
    fn the_names_are_those_of_the_documentation() {
        assert_eq!(of_session(SessionId(7), SessionSide::Responder), "responder.7.session.simopen");
        assert_eq!(
            name("alice", "phone"),
            "0e874dd395119c8d7f1205e40db62071.fa0257074328ded70bad00f8ef99151b.device.simopen"
        );
    }
}
