//! Why an attempt failed: one word on the wire, one sentence for a person.

use core::fmt;
use core::str::FromStr;

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $sentence:literal;)*) => {
        /// The one cause of a failed attempt.
        ///
        /// May grow: a receiver takes an unknown word as [`Cause::Unspecified`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Cause { $($(#[$doc])* $variant,)* }

        impl Cause {
            /// All causes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in one clause.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

causes! {
    /// At least two SYNs of each side that dials went out, and nothing came back.
    NoAnswer = "no-answer", "SYNs went out again and again, and nothing came back";
    /// An RST answered the SYN.
    Refused = "refused", "an RST answered the SYN, and the socket was refused";
    /// An ICMP error of the kind host unreachable or time exceeded ended the dial.
    Unreachable = "unreachable", "an ICMP error ended the dial (host unreachable or time exceeded)";
    /// An ICMP error of the kind administratively prohibited ended the dial.
    Prohibited = "prohibited", "an ICMP error ended the dial (administratively prohibited)";
    /// The connection stood, but the other end did not present the session's greeting.
    NotConfirmed = "not-confirmed", "the connection stood, but the other end did not greet with this session's value";
    /// The connection stood, and an RST ended it before the other end had greeted.
    Reset = "reset", "the connection stood, and an RST ended it before the other end had shown who it is";
    /// A peer or user that does not exist, is not online, or shares no community.
    UnknownPeer = "unknown-peer", "no such peer is online in a common community";
    /// The named port was not proven to the broker within the last 30 seconds.
    NotProven = "not-proven", "the local port was not proven to the broker by a probe within the last 30 s";
    /// The SYN that left is not the SYN that arrived.
    ProxiedOrRewritten = "proxied-or-rewritten", "a proxy or a box that rewrites sequence numbers stands on the way to the broker";
    /// The broker has forging switched off.
    ForgingOff = "forging-off", "the broker does not forge: its operator has not switched forging on";
    /// The SYN carries TCP-MD5, which nobody can forge.
    TcpMd5 = "tcp-md5", "a SYN is signed with TCP-MD5, which cannot be answered in another's name";
    /// The SYN carries TCP-AO, which nobody can forge.
    TcpAo = "tcp-ao", "a SYN is signed with TCP-AO, which cannot be answered in another's name";
    /// A consent rule forbids the packet or the target.
    ConsentRefused = "consent-refused", "a consent rule forbids it";
    /// The broker has no relay, or it does not answer.
    NoRelay = "no-relay", "the broker has no relay that answers";
    /// The relay could not be reached, neither straight nor through a proxy.
    RelayUnreachable = "relay-unreachable", "the relay could not be reached";
    /// An HTTP proxy on the way refused; its own words are in the log of that side.
    ProxyRefused = "proxy-refused", "the HTTP proxy on the way refused";
    /// The relay closed without joining the two sides: the value was too late, or used.
    NotPaired = "not-paired", "the relay closed before the other side had come";
    /// The user or the device was revoked.
    Revoked = "revoked", "the user or the device was revoked";
    /// The other side declined.
    Declined = "declined", "the other side declined";
    /// The broker or the other side did not say what it had to say in time.
    SignallingTimeout = "signalling-timeout", "the broker or the other side did not answer in time";
    /// The control link broke.
    LinkLost = "link-lost", "the control link to the broker broke";
    /// A system call failed on this side.
    LocalError = "local-error", "a system call failed on one side";
    /// A cause that this version does not know.
    Unspecified = "unspecified", "a cause that this version does not know";
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for Cause {
    type Err = core::convert::Infallible;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(Self::ALL
            .iter()
            .copied()
            .find(|cause| cause.word() == word)
            .unwrap_or(Self::Unspecified))
    }
}
