//! The ways to open a connection. Each has one name, used alike in code, flags and reports.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// One way to open a TCP connection between two peers.
///
/// May grow: a broker answers a request that names one which it does not know with `incomplete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Technique {
    /// The originator dials the responder, which listens.
    Direct,
    /// Both dial each other from known ports at an agreed moment (RFC 9293 §3.5).
    SimultaneousOpen,
    /// The same, with a first SYN that passes the own box and dies before the other side's.
    SimultaneousOpenLowTtl,
    /// The responder opens its own box by a SYN that dies on the way, then listens; the originator
    /// dials ("STUNT #2", Guha and Francis 2005).
    PunchAndListen,
    /// The broker answers each side's first SYN in the other side's name (seed 001 ¶164-174).
    ForgedSynAck(SynOwner),
    /// Both dial a relay and present a value each; it joins them (seed 001 ¶175-182).
    Relay(Carriage),
}

/// How a peer comes to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carriage {
    /// As each side is set up to: straight, or through its proxy.
    Any,
    /// By CONNECT through its HTTP proxy (seed 001 ¶179).
    Connect,
    /// By two HTTP exchanges with endless bodies, one up, one down (seed 000).
    Http,
}

/// Who makes the SYN that a forged SYN-ACK answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SynOwner {
    /// An ordinary kernel socket dials, and its SYN is captured.
    Kernel,
    /// The peer builds the SYN itself and installs the finished connection with TCP_REPAIR.
    Userspace,
}

impl Technique {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Direct,
        Self::SimultaneousOpen,
        Self::SimultaneousOpenLowTtl,
        Self::PunchAndListen,
        Self::ForgedSynAck(SynOwner::Kernel),
        Self::ForgedSynAck(SynOwner::Userspace),
        Self::Relay(Carriage::Any),
        Self::Relay(Carriage::Connect),
        Self::Relay(Carriage::Http),
    ];

    /// Those of which a direct connection comes.
    pub const WITHOUT_RELAY: [Self; 6] = [
        Self::Direct,
        Self::SimultaneousOpen,
        Self::SimultaneousOpenLowTtl,
        Self::PunchAndListen,
        Self::ForgedSynAck(SynOwner::Kernel),
        Self::ForgedSynAck(SynOwner::Userspace),
    ];

    /// Those that meet at a relay.
    pub const BY_RELAY: [Self; 3] =
        [Self::Relay(Carriage::Any), Self::Relay(Carriage::Connect), Self::Relay(Carriage::Http)];

    /// The one name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::SimultaneousOpen => "simultaneous-open",
            Self::SimultaneousOpenLowTtl => "simultaneous-open-low-ttl",
            Self::PunchAndListen => "punch-and-listen",
            Self::ForgedSynAck(SynOwner::Kernel) => "forged-syn-ack/kernel",
            Self::ForgedSynAck(SynOwner::Userspace) => "forged-syn-ack/userspace",
            Self::Relay(Carriage::Any) => "relay",
            Self::Relay(Carriage::Connect) => "relay-connect",
            Self::Relay(Carriage::Http) => "relay-http",
        }
    }

    /// The name without its variant: `forged-syn-ack` for both of its kinds.
    #[must_use]
    pub fn bare_name(self) -> &'static str {
        self.name().split('/').next().unwrap_or_default()
    }

    /// Reads names with commas between, as flags take them; a bare name means all its variants.
    /// What is named twice is listed once, where it stood first.
    ///
    /// ```
    /// use simopen_protocol::technique::{SynOwner, Technique};
    ///
    /// let list = Technique::parse_list("forged-syn-ack,direct")?;
    /// let forged = [SynOwner::Kernel, SynOwner::Userspace].map(Technique::ForgedSynAck);
    /// assert_eq!(list, [forged[0], forged[1], Technique::Direct]);
    /// # Ok::<(), simopen_protocol::technique::UnknownTechnique>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first word that is no technique's name.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, UnknownTechnique> {
        let mut techniques = Vec::new();
        for word in list.split(',').map(str::trim) {
            let is_meant = |known: &Self| known.name() == word || known.bare_name() == word;
            let meant: Vec<Self> = Self::ALL.into_iter().filter(is_meant).collect();
            if meant.is_empty() {
                return Err(UnknownTechnique { word: word.to_owned() });
            }
            for technique in meant {
                if !techniques.contains(&technique) {
                    techniques.push(technique);
                }
            }
        }
        Ok(techniques)
    }

    /// Whether the broker has to send packets with a foreign source address.
    #[must_use]
    pub const fn needs_forging(self) -> bool {
        matches!(self, Self::ForgedSynAck(_))
    }

    /// Whether the two sides meet at a relay, and need no local port that is proven.
    #[must_use]
    pub const fn meets_at_relay(self) -> bool {
        matches!(self, Self::Relay(_))
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Technique {
    type Err = UnknownTechnique;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| UnknownTechnique { word: name.to_owned() })
    }
}

/// A word that is no technique's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown technique {word:?}; known are {}", known_names())]
pub struct UnknownTechnique {
    /// The word.
    pub word: String,
}

/// All names, the bare ones of several variants too.
fn known_names() -> String {
    let mut names: Vec<&str> = Vec::new();
    for technique in Technique::ALL {
        for name in [technique.bare_name(), technique.name()] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_as_its_technique() {
        for technique in Technique::ALL {
            assert_eq!(technique.name().parse(), Ok(technique));
        }
    }

    #[test]
    fn each_technique_either_ends_direct_or_meets_at_a_relay() {
        let both = Technique::WITHOUT_RELAY.into_iter().chain(Technique::BY_RELAY);
        assert!(both.eq(Technique::ALL));
        assert!(
            Technique::ALL
                .iter()
                .all(|one| { one.meets_at_relay() == Technique::BY_RELAY.contains(one) })
        );
    }

    #[test]
    fn a_relay_by_no_carriage_of_its_own_does_not_mean_the_others() {
        let relay = vec![Technique::Relay(Carriage::Any)];
        assert_eq!(Technique::parse_list("relay"), Ok(relay));
    }

    #[test]
    fn a_bare_name_means_all_its_variants_and_nothing_is_listed_twice() {
        let forged = [SynOwner::Kernel, SynOwner::Userspace].map(Technique::ForgedSynAck);
        assert_eq!(
            Technique::parse_list("forged-syn-ack/userspace, direct,forged-syn-ack"),
            Ok(vec![forged[1], Technique::Direct, forged[0]])
        );
    }

    #[test]
    fn an_unknown_word_is_named_beside_all_known_ones() {
        let error = Technique::parse_list("direct,teleport").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown technique \"teleport\"; known are direct, simultaneous-open, \
             simultaneous-open-low-ttl, punch-and-listen, forged-syn-ack, \
             forged-syn-ack/kernel, forged-syn-ack/userspace, relay, relay-connect, relay-http"
        );
        assert!(Technique::parse_list("").is_err());
    }
}
