//! What the operator has laid down.

use alloc::vec::Vec;
use core::time::Duration;

use simopen_protocol::address::HostPort;
use simopen_protocol::identity::BrokerName;

use crate::arrival::ArrivalConfig;
use crate::consent::ConsentPolicy;
use crate::limits::Limits;

/// What the operator has laid down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerConfig {
    /// Whether and for whom packets are forged.
    pub consent: ConsentPolicy,
    /// The allowances in the timing of forged packets.
    pub arrival: ArrivalConfig,
    /// What the broker calls itself towards devices that join.
    pub name: BrokerName,
    /// How long a peer may be silent before it is asked whether it is still there; it then has
    /// half as long to answer. Seed 004 has 10, 20 or 30 s. `None` asks nobody.
    pub alive: Option<Duration>,
    /// Where the relay listens for peers, best first; empty where there is none.
    pub relay: Vec<HostPort>,
    /// Whether the operator may make pairs for unmodified clients.
    pub rendezvous: Rendezvous,
    /// How much is held.
    pub limits: Limits,
}

impl Default for BrokerConfig {
    /// A broker that forges nothing, asks nobody whether it is there, and has no relay.
    #[expect(clippy::expect_used, reason = "the name is a constant")]
    fn default() -> Self {
        Self {
            consent: ConsentPolicy::default(),
            arrival: ArrivalConfig::default(),
            name: BrokerName::new("broker").expect("the constant is a proper name"),
            alive: None,
            relay: Vec::new(),
            rendezvous: Rendezvous::default(),
            limits: Limits::default(),
        }
    }
}

/// Whether the operator may make pairs for clients that know nothing of this protocol: what they
/// send is not encrypted end to end, and whoever sees the value can take a side's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rendezvous {
    /// No.
    #[default]
    Off,
    /// Yes.
    Allowed,
}
