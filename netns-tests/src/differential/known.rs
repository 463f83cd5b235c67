//! Differences between the machine and the kernel that are as they are, each with the kernel's
//! reason and the shortest sequence that shows it.

use simopen_nat::{Filtering, MiddleboxSpec, Side};
use simopen_packet::TcpFlags;

use super::campaign::Difference;
use super::sequence::{Content, Sequence, Step};

/// A difference that is as it is.
#[derive(Clone, Debug)]
pub struct KnownDifference {
    /// Its name.
    pub name: &'static str,
    /// Why the kernel does otherwise.
    pub reason: &'static str,
    /// The shortest sequence; the last packet shows the difference.
    pub sequence: Sequence,
}

/// All known differences. They concern specifications that Linux only comes near to; where a
/// specification is Linux's own, there is none.
#[must_use]
pub fn known_differences() -> [KnownDifference; 3] {
    let dialled = step(Side::Inside, 0, TcpFlags::SYN, 1000, 0);
    let refused = step(Side::Outside, 0, RST_ACK, 0, 1001);
    [
        KnownDifference {
            name: UNANSWERED_RESET,
            reason: "conntrack deletes a connection at once whose only answer is an RST; under \
                     starts-close-timer it stays for the time of that timer",
            sequence: sequence([
                dialled.clone(),
                refused.clone(),
                step(Side::Inside, 0, TcpFlags::ACK, 1001, 1),
            ]),
        },
        KnownDifference {
            name: OPENED_ENDPOINT,
            reason: "endpoint-independent filtering is a set of inside endpoints that have spoken; \
                     an element goes by its own timer, not with the last connection",
            sequence: sequence([dialled, refused, step(Side::Outside, 1, TcpFlags::SYN, 5000, 0)]),
        },
        KnownDifference {
            name: HELD_SYN,
            reason: "no rule can hold a SYN for six seconds and answer it then (RFC 5382 REQ-4): \
                     it is dropped in silence",
            sequence: sequence([step(Side::Outside, 0, TcpFlags::SYN, 5000, 0)]),
        },
    ]
}

/// An unanswered connection and the RST that ends it.
pub const UNANSWERED_RESET: &str = "unanswered-reset";
/// A set of endpoints instead of mappings.
pub const OPENED_ENDPOINT: &str = "opened-endpoint-outlives-its-connections";
/// Silence instead of a late ICMP error.
pub const HELD_SYN: &str = "held-syn-is-never-answered";

const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

/// Whether a difference in a random sequence is [`OPENED_ENDPOINT`]: the kernel lets a stranger's
/// SYN in to an endpoint of which a connection was reset before, or closed, so that this very SYN
/// ends it. The other known differences do not show where the machine is what the router is.
#[must_use]
pub fn is_known(spec: &MiddleboxSpec, sequence: &Sequence, difference: &Difference) -> bool {
    let (before, from) = sequence.steps.split_at(difference.step);
    let Some(step) = from.first() else { return false };
    let ends = |earlier: &Step| has(earlier, TcpFlags::RST) || has(earlier, TcpFlags::FIN);
    let was_ended = before.iter().any(|earlier| earlier.inside == step.inside && ends(earlier));
    let let_in = difference.kernel.iter().all(|packet| packet.side == Side::Inside);
    spec.filtering == Filtering::EndpointIndependent
        && step.side == Side::Outside
        && has(step, TcpFlags::SYN)
        && !has(step, TcpFlags::ACK)
        && was_ended
        && difference.machine.is_empty()
        && let_in
}

fn has(step: &Step, wanted: TcpFlags) -> bool {
    match &step.content {
        Content::Segment { flags, .. } => flags.contains(wanted),
        Content::Error { .. } => false,
    }
}

fn sequence(steps: impl Into<Vec<Step>>) -> Sequence {
    Sequence { inside_port: 4000, steps: steps.into() }
}

fn step(side: Side, remote: u8, flags: TcpFlags, sequence: u32, acknowledgment: u32) -> Step {
    let content = Content::Segment {
        flags,
        sequence,
        acknowledgment,
        window: 64_240,
        options: Vec::new(),
        payload: 0,
    };
    Step { side, inside: 0, remote, content }
}
