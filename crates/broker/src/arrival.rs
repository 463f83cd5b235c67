//! When forged packets leave, so that they arrive in an order that every box survives.
//!
//! The law (`docs/traversal.md`, measured as K16-K22, K40, K41):
//!
//! 1. a forged SYN-ACK never reaches a box before the SYN that it answers has left through it;
//! 2. both leave at one moment, unless 4 says otherwise;
//! 3. the responder's SYN-ACK has come in before the originator's first data reaches its box;
//! 4. that holds by itself while d(C,B) ≤ d(C,A) + d(A,B); beyond, the originator's packet waits.
//!
//! d(A,B) is not known to a broker before the two have spoken, so it is taken for zero: that costs
//! a near originator the difference of the two ways and never an attempt.

use core::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::technique::SynOwner;

use crate::link::PathEstimate;

/// The allowances of the law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArrivalConfig {
    /// What a peer may need between the acknowledgement and its SYN (m in K20: 5 ms, 80 of 80).
    pub turn_round: Duration,
    /// How much later than measured a packet may arrive.
    pub jitter: Duration,
}

impl ArrivalConfig {
    /// What peers on usual machines and paths need.
    pub const USUAL: Self =
        Self { turn_round: Duration::from_millis(5), jitter: Duration::from_millis(2) };
}

impl Default for ArrivalConfig {
    fn default() -> Self {
        Self::USUAL
    }
}

/// When the two forged packets of a session leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Departures {
    /// Towards the originator.
    pub originator: Timestamp,
    /// Towards the responder.
    pub responder: Timestamp,
}

/// The departures for a session whose second SYN became known at `now`.
///
/// A kernel's SYN has left before it can be reported, so both packets leave at once. A committed
/// SYN leaves when the acknowledgement, sent now, has reached the originator.
#[must_use]
pub fn departures(
    owner: SynOwner,
    now: Timestamp,
    originator: PathEstimate,
    responder: PathEstimate,
    config: &ArrivalConfig,
) -> Departures {
    match owner {
        SynOwner::Kernel => Departures { originator: now, responder: now },
        SynOwner::Userspace => {
            let leave = now + config.turn_round;
            let hold = (responder.one_way() + config.jitter).saturating_sub(originator.one_way());
            Departures { originator: leave + hold, responder: leave }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ArrivalConfig =
        ArrivalConfig { turn_round: Duration::from_millis(5), jitter: Duration::from_millis(2) };

    fn path(milliseconds: u64) -> PathEstimate {
        PathEstimate { round_trip: Duration::from_millis(2 * milliseconds) }
    }

    fn committed(originator: u64, responder: u64) -> Departures {
        departures(SynOwner::Userspace, Timestamp::ZERO, path(originator), path(responder), &CONFIG)
    }

    #[test]
    fn a_kernels_syns_are_answered_at_one_moment_without_delay() {
        let both = departures(SynOwner::Kernel, Timestamp::ZERO, path(1), path(100), &CONFIG);
        assert_eq!(both, Departures { originator: Timestamp::ZERO, responder: Timestamp::ZERO });
    }

    #[test]
    fn a_committed_syn_gets_the_turn_round_to_leave() {
        assert!(committed(20, 20).responder - Timestamp::ZERO >= CONFIG.turn_round);
        assert!(committed(20, 20).originator - Timestamp::ZERO >= CONFIG.turn_round);
    }

    #[test]
    fn the_originators_first_data_never_overtake_the_responders_syn_ack() {
        for (originator, responder) in [(5, 60), (60, 5), (10, 100), (100, 10), (20, 20), (0, 0)] {
            let leave = committed(originator, responder);
            // Even over a way of no length between the two.
            let first_data = leave.originator + Duration::from_millis(originator);
            let answer = leave.responder + Duration::from_millis(responder);
            assert!(answer + CONFIG.jitter <= first_data, "{originator} ms, {responder} ms");
        }
    }
}
