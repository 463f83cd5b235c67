//! Why a forger did not do what it was asked.

use std::fmt;

use simopen_broker::consent::Violation;

/// Declares the refusals once: variant, number on the wire, name in logs and counters.
macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a forger did not do what it was asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[$doc])* $variant,)* }

        impl Refusal {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number that stands for it between broker and forger.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Its name, as logs and counters have it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

refusals! {
    /// The request cannot be read.
    Malformed = 1, "malformed";
    /// There are too few or too many descriptors with it.
    WrongDescriptors = 2, "wrong-descriptors";
    /// A descriptor is no TCP socket.
    NotTcp = 3, "not-tcp";
    /// A socket lives in another network namespace, where the broker may be master of all addresses.
    ForeignNamespace = 4, "foreign-namespace";
    /// A socket's connection is not established, or no more.
    NotEstablished = 5, "not-established";
    /// The kernel has no SYN of it: this host dialled it, or somebody has read its SYN before.
    NoSyn = 6, "no-syn";
    /// The SYN is between other endpoints than the socket.
    SynOfAnother = 7, "syn-of-another";
    /// The SYN has another sequence number than the peer named: a proxy, or a box that rewrites.
    NumberDiffers = 8, "number-differs";
    /// The socket never proved its endpoint here.
    NotProven = 9, "not-proven";
    /// It did so too long ago.
    ProofExpired = 10, "proof-expired";
    /// The packet is no bare SYN-ACK over TCP.
    NotASynAck = 11, "not-a-syn-ack";
    /// It carries data.
    Payload = 12, "payload";
    /// It carries an option other than 2, 3, 4 and 8.
    ForeignOption = 13, "foreign-option";
    /// A checksum is wrong.
    WrongChecksum = 14, "wrong-checksum";
    /// Something else is in it that no forged SYN-ACK has: an IP option, padding, an urgent pointer.
    NotCanonical = 15, "not-canonical";
    /// Its source is not the endpoint of the peer in whose name it would go.
    SourceDiffers = 16, "source-differs";
    /// Its destination is not the endpoint of the peer that would receive it.
    DestinationDiffers = 17, "destination-differs";
    /// Its numbers are not those of the packets before it between these two peers.
    NumbersChanged = 18, "numbers-changed";
    /// Source and destination are one endpoint.
    SameEndpoint = 19, "same-endpoint";
    /// One is an address of the broker.
    OwnAddress = 20, "own-address";
    /// One is a loopback or unspecified address.
    Loopback = 21, "loopback";
    /// One is a multicast or broadcast address.
    Multicast = 22, "multicast";
    /// One is a link-local address.
    LinkLocal = 23, "link-local";
    /// One is private, in no network that the operator named.
    Private = 24, "private";
    /// One is a port below 1024.
    LowPort = 25, "low-port";
    /// As many packets as may go from the one peer to the other have gone.
    TooManyForPair = 26, "too-many-for-pair";
    /// As many as one session may ask for have gone.
    TooManyForSession = 27, "too-many-for-session";
    /// As many as one address may get within a second have gone there.
    TooManyTowards = 28, "too-many-towards";
    /// As many as may go within a second have gone.
    TooMany = 29, "too-many";
    /// The system did not send it.
    NotSent = 30, "not-sent";
    /// The forger has ended; nothing is forged until the broker is started anew.
    Gone = 31, "gone";
    /// More requests wait for the forger than it may have.
    Busy = 32, "busy";
    /// The broker no longer holds a peer's connection.
    NoConnection = 33, "no-connection";
}

impl Refusal {
    /// Reads the number of a refusal.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
    }
}

impl From<Violation> for Refusal {
    /// Of the rules that look at endpoints only; the others are not asked here.
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::SameEndpoint => Self::SameEndpoint,
            Violation::OwnAddress => Self::OwnAddress,
            Violation::Loopback => Self::Loopback,
            Violation::Multicast => Self::Multicast,
            Violation::LinkLocal => Self::LinkLocal,
            Violation::Private => Self::Private,
            Violation::LowPort => Self::LowPort,
            Violation::ForgingOff
            | Violation::NotOnline
            | Violation::NoCommonCommunity
            | Violation::NotAccepted
            | Violation::SessionExpired
            | Violation::Withdrawn
            | Violation::DestinationNotProven
            | Violation::SourceNotProven
            | Violation::NotASyn
            | Violation::SynMismatch
            | Violation::ChangedSyn
            | Violation::NoObservation
            | Violation::TooManyRepeats
            | _ => Self::NotProven,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_number_and_a_name_of_its_own() {
        for (nth, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(usize::from(refusal.code()), nth + 1);
            assert_eq!(Refusal::from_code(refusal.code()), Some(*refusal));
            let namesakes = Refusal::ALL.iter().filter(|other| other.name() == refusal.name());
            assert_eq!(namesakes.count(), 1);
        }
        assert_eq!(Refusal::from_code(0), None);
    }
}
