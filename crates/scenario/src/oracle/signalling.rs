//! Before anything is opened: whether a peer behind a box reaches the broker and can prove a port.

use std::time::Duration;

use simopen_nat::{
    InvalidOutbound, IsnRewriting, Mapping, MiddleboxSpec, Pairing, PortAllocation,
    PortOverloading, Role, SynProxy, TcpTracking, TimestampRewriting, WhenFull,
};
use simopen_protocol::technique::Technique;

/// The port of the broker in every world of this project.
pub const BROKER_PORT: u16 = 7000;
/// The port of its relay, on the same host.
pub const RELAY_PORT: u16 = 443;

/// The control connection and the proof of the port.
const TO_THE_BROKER: usize = 2;
/// The next port is proven as soon as one is used.
const SPARE: usize = 1;
/// Sessions that an attempt may open beside them.
const SESSIONS: usize = 3;
/// As long as connections to the broker may be idle.
const IDLE: Duration = Duration::from_secs(30);

/// What a peer behind a box can do before it opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has proven its port; so many sessions more may be opened.
    Proven { room: usize },
    /// It cannot.
    Hopeless(&'static str),
    /// The box forgets or moves what the attempt rests on, at a time that cannot be known.
    Unsteady,
}

/// What can be done behind the box before anything is opened.
pub(super) fn standing(spec: &MiddleboxSpec, technique: Technique) -> Standing {
    if spec.role == Role::Transparent {
        return Standing::Proven { room: usize::MAX };
    }
    if !spec.egress.permits(BROKER_PORT) {
        return Standing::Hopeless("opens no session to the broker's port");
    }
    if has_no_port(spec) {
        return Standing::Hopeless("has no port for a second session to the broker");
    }
    let most = [spec.limits.per_host, spec.limits.total].into_iter().flatten().min();
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let refuses = spec.limits.when_full == WhenFull::Refused;
    // What makes room is the control connection, which is the oldest.
    let evicts = !refuses && most <= TO_THE_BROKER + SPARE + SESSIONS;
    if most < TO_THE_BROKER && refuses {
        return Standing::Hopeless("opens too few sessions for the broker");
    }
    // What a box dials by itself it dials with the host's own number.
    let rewrites =
        spec.rewriting.isn != IsnRewriting::Kept && spec.rewriting.syn_proxy == SynProxy::Off;
    if technique.needs_forging() && rewrites {
        return Standing::Hopeless(
            "rewrites sequence numbers, so the port cannot be proven for forging",
        );
    }
    let is_full = most <= TO_THE_BROKER && refuses;
    // Towards a peer that dials as well, a box that dials by itself is one party too many.
    let meddles = spec.rewriting.syn_proxy != SynProxy::Off && technique != Technique::Direct;
    if evicts
        || meddles
        || forgets_the_punch(spec, technique)
        || is_erratic(spec)
        || forgets(spec)
        || (most <= TO_THE_BROKER + SPARE && !is_full)
    {
        return Standing::Unsteady;
    }
    Standing::Proven { room: most.saturating_sub(TO_THE_BROKER + SPARE) }
}

/// Whether the block of ports is too small for two connections to the broker.
fn has_no_port(spec: &MiddleboxSpec) -> bool {
    let has_other_addresses = spec.pool.addresses > 1 && spec.pool.pairing != Pairing::Paired;
    !has_other_addresses && block(spec).is_some_and(|ports| ports < TO_THE_BROKER)
}

/// Whether the block of ports is too small for the mappings that an attempt may ask for.
fn is_crowded(spec: &MiddleboxSpec) -> bool {
    let shares = spec.mapping == Mapping::EndpointIndependent
        && spec.port_overloading == PortOverloading::Off;
    block(spec).is_some_and(|ports| ports < TO_THE_BROKER + SPARE + usize::from(!shares))
}

/// Whether some segments leave with timestamps shifted and others as they came: which of them a
/// kernel takes for old depends on its clock.
pub(super) fn is_erratic(spec: &MiddleboxSpec) -> bool {
    spec.role == Role::Firewall
        && spec.invalid_outbound == InvalidOutbound::LeavesUntranslated
        && spec.rewriting.timestamps == TimestampRewriting::Rewritten
        && spec.tracking != TcpTracking::None
}

/// Whether the session of the SYN that opens the box may end while callers are waited for. Where
/// it has, another one is opened from outside, if the box lets strangers in; until then the
/// listener's SYN-ACK, which counts from another number, is held against it: which comes first is
/// chance.
fn forgets_the_punch(spec: &MiddleboxSpec, technique: Technique) -> bool {
    let lasts = match spec.tracking {
        TcpTracking::Strict => spec.timers.syn_sent,
        TcpTracking::Liberal | TcpTracking::None | _ => {
            spec.timers.syn_sent.min(spec.timers.unacknowledged)
        }
    };
    technique == Technique::PunchAndListen && lasts < IDLE
}

/// How many ports a host has, where it has a block of them.
pub(super) fn block(spec: &MiddleboxSpec) -> Option<usize> {
    let (PortAllocation::Block { size } | PortAllocation::RandomInBlock { size }) =
        spec.port_allocation
    else {
        return None;
    };
    (spec.role == Role::Nat).then(|| usize::from(size.max(1)))
}

/// Whether an idle connection to the broker, or the whole of a session, may be forgotten while it
/// is needed.
pub(super) fn forgets(spec: &MiddleboxSpec) -> bool {
    let timers = &spec.timers;
    let bounds = [timers.established, timers.unacknowledged, timers.retransmitting];
    let bounds = if spec.tracking == TcpTracking::None { &bounds[..1] } else { &bounds[..] };
    let kills = spec.idle_killer.is_some_and(|killer| killer.after < IDLE);
    let crowded = is_crowded(spec);
    kills || crowded || bounds.iter().any(|bound| *bound < IDLE)
}
