//! What came of an attempt: the record that all worlds make, and what only this one knows.

use std::time::Duration;

use simopen_protocol::technique::Technique;
use simopen_scenario::run::{Outcome, RunRecord};
use simopen_traversal::Failure;

use crate::lateness::LatenessMeter;

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// What every world would tell.
    pub record: RunRecord,
    /// What was tried.
    pub technique: Technique,
    /// Whether the broker sent its forged packets.
    pub forging: bool,
    /// Whether bytes still went both ways at the end of the time for which the connection was held;
    /// `None` where it was not held.
    pub held: Option<bool>,
    /// What the originator, then the responder, reported.
    pub failures: [Option<Failure>; 2],
    /// How late the fabric's thread was.
    pub lateness: LatenessMeter,
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
    /// Whether authenticated bytes went both ways, directly or through the relay.
    #[must_use]
    pub fn connected(&self) -> bool {
        matches!(self.record.outcome, Outcome::Connected | Outcome::Relayed)
    }

    /// Why it failed, in words.
    #[must_use]
    pub const fn cause(&self) -> Option<&str> {
        match &self.record.outcome {
            Outcome::Failed { words, .. } => Some(words.as_str()),
            Outcome::Connected | Outcome::Relayed | _ => None,
        }
    }

    /// Whether the run means anything.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.record.is_valid()
    }

    /// Whether the journal proves a forged open: no bare SYN reached `a` or `b`, and each got
    /// exactly one SYN-ACK, which entered the network at the broker's port.
    #[must_use]
    pub fn proves_forged_open(&self) -> bool {
        self.is_valid()
            && self
                .record
                .delivered
                .iter()
                .all(|host| host.syns == 0 && host.syn_acks == 1 && host.syn_acks_from_broker == 1)
    }
}
