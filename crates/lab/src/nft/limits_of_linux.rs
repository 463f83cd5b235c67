//! Which values of a specification a Linux router has, and which it only comes near to.

use serde::Serialize;
use simopen_nat::{
    EarlyPacket, Filtering, Hairpin, IsnRewriting, Mapping, MiddleboxSpec, OnIcmpError, OnReset,
    OptionRewriting, PortAllocation, PortOverloading, PortParity, Refresh, Role, SynProxy,
    TcpTracking, TimestampRewriting, UdpHandling, UnsolicitedSyn, WhenFull,
};

use super::{Approximation, NotExpressible, Placement, rules, sysctls, translation};

/// The most inside hosts of which each gets a rule of its own.
const MAX_HOSTS: u64 = 65_536;

/// Names the first value that Linux does not have.
pub(super) fn check(spec: &MiddleboxSpec, at: &Placement<'_>) -> Result<(), NotExpressible> {
    if spec.role == Role::Transparent {
        return Ok(());
    }
    if spec.role == Role::Nat {
        check_translation(spec, at)?;
    } else {
        check_firewall(spec)?;
    }
    check_tracking(spec)?;
    check_rewriting(spec)?;
    demand(
        spec.idle_killer.is_none(),
        "idle-killer",
        &spec.idle_killer,
        "conntrack ends idle connections without a word, and by its timers only",
    )?;
    demand(
        spec.limits.total.is_none() && spec.limits.when_full == WhenFull::Refused,
        "limits",
        &spec.limits,
        "a rule counts the connections of a host, and refuses what is too much",
    )
}

/// Conntrack translates each connection by itself and knows nothing of mappings.
fn check_translation(spec: &MiddleboxSpec, at: &Placement<'_>) -> Result<(), NotExpressible> {
    const BY_ITSELF: &str = "each connection is translated by itself";
    const NO_OTHERS: &str = "only a packet of a known connection is translated back";
    let apd = (Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
    demand(spec.mapping == apd.0, "mapping", &spec.mapping, BY_ITSELF)?;
    demand(spec.filtering == apd.1, "filtering", &spec.filtering, NO_OTHERS)?;
    demand(
        spec.port_overloading == PortOverloading::ByRemote,
        "port-overloading",
        &spec.port_overloading,
        "connections to different remote endpoints share outside ports",
    )?;
    demand(
        matches!(
            spec.port_allocation,
            PortAllocation::Preserve | PortAllocation::Random | PortAllocation::Block { .. }
        ),
        "port-allocation",
        &spec.port_allocation,
        "a port that cannot be kept is replaced by a random one",
    )?;
    let is_block = matches!(spec.port_allocation, PortAllocation::Block { .. });
    demand(
        !is_block || (translation::hosts(at.inside) <= MAX_HOSTS && spec.pool.addresses <= 1),
        "port-allocation",
        &spec.port_allocation,
        "each inside host needs a rule: at most 65536 hosts, and one address outside",
    )?;
    demand(
        spec.hairpin == Hairpin::Off,
        "hairpin",
        &spec.hairpin,
        "a connection that begins inside finds no other one's translation",
    )?;
    demand(
        spec.early_packet == EarlyPacket::Harmless || leaves_an_entry(spec.unsolicited),
        "early-packet",
        &spec.early_packet,
        "what a rule rejects leaves no entry behind",
    )?;
    if spec.udp.policy == UdpHandling::Translated {
        demand(spec.udp.mapping == apd.0, "udp", &spec.udp, BY_ITSELF)?;
        demand(spec.udp.filtering == apd.1, "udp", &spec.udp, NO_OTHERS)?;
        demand(
            spec.udp.port_parity == PortParity::Ignored,
            "udp",
            &spec.udp,
            "a port that cannot be kept is replaced by a random one of any parity",
        )?;
    }
    Ok(())
}

/// Whether the router's own stack meets what nobody asked for.
const fn leaves_an_entry(unsolicited: UnsolicitedSyn) -> bool {
    matches!(unsolicited, UnsolicitedSyn::Dropped | UnsolicitedSyn::Reset)
}

fn check_firewall(spec: &MiddleboxSpec) -> Result<(), NotExpressible> {
    const WHY: &str = "what is remembered of an inside endpoint is that it spoke, not to whom";
    let has = |filtering| filtering != Filtering::AddressDependent;
    demand(has(spec.filtering), "filtering", &spec.filtering, WHY)?;
    demand(has(spec.udp.filtering), "udp", &spec.udp, WHY)
}

fn check_tracking(spec: &MiddleboxSpec) -> Result<(), NotExpressible> {
    demand(
        spec.tracking != TcpTracking::None,
        "tracking",
        &spec.tracking,
        "conntrack follows the states of TCP",
    )?;
    demand(
        matches!(spec.on_reset, OnReset::DeletesUnanswered | OnReset::StartsCloseTimer),
        "on-reset",
        &spec.on_reset,
        "conntrack deletes an unanswered connection and gives any other its close timer",
    )?;
    demand(
        spec.on_icmp_error == OnIcmpError::SessionKept,
        "on-icmp-error",
        &spec.on_icmp_error,
        "conntrack passes an ICMP error on and keeps the connection",
    )?;
    demand(
        spec.refresh == Refresh::Both,
        "refresh",
        &spec.refresh,
        "conntrack prolongs a connection by packets of either direction",
    )?;
    let timers = sysctls::timers(spec);
    let in_seconds = timers.iter().all(|(_, time)| time.subsec_nanos() == 0);
    demand(in_seconds, "timers", &spec.timers, "conntrack counts in seconds")
}

fn check_rewriting(spec: &MiddleboxSpec) -> Result<(), NotExpressible> {
    let rewriting = spec.rewriting;
    let refuse = |has, why| demand(has, "rewriting", &rewriting, why);
    refuse(rewriting.isn == IsnRewriting::Kept, "no rule shifts sequence numbers")?;
    refuse(
        rewriting.timestamps != TimestampRewriting::Rewritten,
        "a rule strips timestamps or keeps them",
    )?;
    refuse(
        rewriting.options == OptionRewriting::Kept,
        "a rule strips the options that it names, and no others",
    )?;
    refuse(rewriting.syn_proxy == SynProxy::Off, "the kernel's SYN proxy stands before servers")
}

/// The specification with the values that Linux has.
pub(super) fn nearest(spec: &MiddleboxSpec) -> MiddleboxSpec {
    let mut router = *spec;
    if router.on_reset == OnReset::StartsCloseTimer {
        router.on_reset = OnReset::DeletesUnanswered;
    }
    if router.unsolicited == UnsolicitedSyn::HeldThenPortUnreachable {
        router.unsolicited = UnsolicitedSyn::Dropped;
    }
    router
}

/// Where the router does something else than the specification says.
pub(super) fn approximations(spec: &MiddleboxSpec) -> Vec<Approximation> {
    let is_firewall = spec.role == Role::Firewall;
    let all = [
        (
            spec.on_reset == OnReset::StartsCloseTimer,
            "on-reset",
            "an RST deletes a connection at once while nothing else was answered",
        ),
        (
            spec.unsolicited == UnsolicitedSyn::HeldThenPortUnreachable,
            "unsolicited",
            "an unsolicited SYN is dropped in silence; no ICMP error follows",
        ),
        (
            is_firewall && rules::remembers_inside_endpoints(spec),
            "filtering",
            "an inside endpoint stays open for the time of an established connection after its \
             last outbound packet, whatever ended its connections",
        ),
        (spec.limits.per_host.is_some(), "limits", "connections that are closing are not counted"),
    ];
    let applies =
        all.into_iter().filter(|(applies, ..)| *applies && spec.role != Role::Transparent);
    applies.map(|(_, axis, instead)| Approximation { axis, instead }).collect()
}

/// Refuses a value unless Linux has it.
fn demand(
    has: bool,
    axis: &'static str,
    value: &impl Serialize,
    why: &'static str,
) -> Result<(), NotExpressible> {
    if has {
        return Ok(());
    }
    // A value of a specification is always printable; if ever not, the axis alone must do.
    let value = serde_json::to_string(value).unwrap_or_default().replace('"', "");
    Err(NotExpressible { axis, value, why })
}
