//! What came of an attempt.

use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_traversal::Failure;

pub use crate::evidence::Delivered;
use crate::lateness::LatenessMeter;
use crate::timeline::TimelineEntry;

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// What was tried.
    pub technique: Technique,
    /// Whether the broker sent its forged packets.
    pub forging: bool,
    /// Whether authenticated bytes went both ways.
    pub connected: bool,
    /// Whether bytes still flowed after the broker was cut off; `None` without a connection.
    pub direct: Option<bool>,
    /// When the originator asked.
    pub requested: Timestamp,
    /// From the request until both kernels said ESTABLISHED.
    pub established: Option<Duration>,
    /// The same in one-way trips between two hosts.
    pub legs: Option<f64>,
    /// What the originator, then the responder, reported.
    pub failures: [Option<Failure>; 2],
    /// Why it failed, in words.
    pub cause: Option<String>,
    /// What the journal says was delivered to `a` and `b` on their flow.
    pub delivered: [Delivered; 2],
    /// What happened.
    pub timeline: Vec<TimelineEntry>,
    /// How late the fabric's thread was.
    pub lateness: LatenessMeter,
    /// Packets that a TUN device dropped: any makes the run void.
    pub tun_drops: u64,
    /// Journal lines that did not fit: any makes the counts void.
    pub events_lost: u64,
    /// The latest packet between the request and the verdict.
    pub worst_lateness: Duration,
    /// One way between two hosts.
    pub leg: Duration,
    /// Runs before this one that were void and were repeated.
    pub voided: u32,
    /// How long the topology took to build.
    pub built_in: Duration,
}

impl AttemptResult {
    /// Whether the run means anything: the journal is whole, no port dropped a packet, and until
    /// the verdict no packet was later than a quarter of a leg. What came of the attempt does not
    /// enter into it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.tun_drops == 0 && self.events_lost == 0 && self.worst_lateness <= self.leg / 4
    }

    /// Whether the journal proves a forged open: no bare SYN reached `a` or `b`, and each got
    /// exactly one SYN-ACK, which entered the fabric at the broker's port.
    #[must_use]
    pub fn proves_forged_open(&self) -> bool {
        self.is_valid()
            && self
                .delivered
                .iter()
                .all(|host| host.syns == 0 && host.syn_acks == 1 && host.syn_acks_from_broker == 1)
    }
}
