//! A box of any kind from a few bytes.

use std::time::Duration;

use simopen_nat::{
    AddressPool, EarlyPacket, Egress, Hairpin, IcmpEcho, IcmpErrors, IdleKill, IdleKiller,
    InvalidOutbound, IsnRewriting, Limits, MiddleboxSpec, OptionRewriting, Pairing, PortAllocation,
    PortParity, Refresh, Rewriting, SynProxy, TcpTracking, TimestampRewriting, UdpHandling,
    UdpPolicy, WhenFull,
};

/// How many bytes choose the axes.
pub(crate) const AXES: usize = 16;

/// Turns the axes of a specification: a zero leaves an axis as it is, any other byte chooses among
/// its values.
pub(crate) fn turned(spec: MiddleboxSpec, bytes: [u8; AXES]) -> MiddleboxSpec {
    let [
        ports,
        pool,
        hairpin,
        refresh,
        early,
        tracking,
        invalid,
        isn,
        stamps,
        options,
        mss,
        proxy,
        icmp,
        egress,
        udp,
        limits,
    ] = bytes;
    spec.with_port_allocation(choose(ports, spec.port_allocation, &PORTS))
        .with_pool(choose(pool, spec.pool, &POOLS))
        .with_hairpin(choose(hairpin, spec.hairpin, &HAIRPINS))
        .with_refresh(choose(refresh, spec.refresh, &REFRESHES))
        .with_early_packet(choose(early, spec.early_packet, &EARLY_PACKETS))
        .with_tracking(choose(tracking, spec.tracking, &TRACKINGS))
        .with_invalid_outbound(choose(invalid, spec.invalid_outbound, &INVALID))
        .with_rewriting(Rewriting {
            isn: choose(isn, spec.rewriting.isn, &ISNS),
            timestamps: choose(stamps, spec.rewriting.timestamps, &STAMPS),
            options: choose(options, spec.rewriting.options, &OPTIONS),
            mss: choose(mss, spec.rewriting.mss, &[None, Some(536), Some(1380)]),
            syn_proxy: choose(proxy, spec.rewriting.syn_proxy, &[SynProxy::Off, SynProxy::On]),
        })
        .with_icmp_errors(choose(icmp, spec.icmp_errors, &ICMP))
        .with_icmp_echo(choose(icmp, spec.icmp_echo, &[IcmpEcho::Translated, IcmpEcho::Blocked]))
        .with_egress(choose(egress, spec.egress, &EGRESSES))
        .with_idle_killer(choose(egress, spec.idle_killer, &KILLERS))
        .with_udp(choose(udp, spec.udp, &UDP))
        .with_limits(choose(limits, spec.limits, &LIMITS))
}

fn choose<T: Copy>(byte: u8, as_it_is: T, values: &[T]) -> T {
    match usize::from(byte).checked_sub(1) {
        None => as_it_is,
        Some(number) => values[number % values.len()],
    }
}

const PORTS: [PortAllocation; 8] = [
    PortAllocation::Preserve,
    PortAllocation::PreserveElseNext,
    PortAllocation::Sequential { step: 1 },
    PortAllocation::Sequential { step: 40_000 },
    PortAllocation::Random,
    PortAllocation::RandomInBlock { size: 3 },
    PortAllocation::Block { size: 1024 },
    PortAllocation::Block { size: 1 },
];
const POOLS: [AddressPool; 3] = [
    AddressPool { addresses: 0, pairing: Pairing::Arbitrary },
    AddressPool { addresses: 3, pairing: Pairing::Arbitrary },
    AddressPool { addresses: 255, pairing: Pairing::Paired },
];
const HAIRPINS: [Hairpin; 3] = [Hairpin::ExternalSource, Hairpin::InternalSource, Hairpin::Off];
const REFRESHES: [Refresh; 3] = [Refresh::Outbound, Refresh::Inbound, Refresh::Both];
const EARLY_PACKETS: [EarlyPacket; 2] = [EarlyPacket::TakesPort, EarlyPacket::Harmless];
const TRACKINGS: [TcpTracking; 3] = [TcpTracking::None, TcpTracking::Liberal, TcpTracking::Strict];
const INVALID: [InvalidOutbound; 3] = [
    InvalidOutbound::AnsweredByRouter,
    InvalidOutbound::Dropped,
    InvalidOutbound::LeavesUntranslated,
];
const ISNS: [IsnRewriting; 3] =
    [IsnRewriting::ModulatedSackRepaired, IsnRewriting::ModulatedSackBroken, IsnRewriting::Kept];
const STAMPS: [TimestampRewriting; 3] =
    [TimestampRewriting::Rewritten, TimestampRewriting::Stripped, TimestampRewriting::Kept];
const OPTIONS: [OptionRewriting; 3] =
    [OptionRewriting::UnknownStripped, OptionRewriting::AllButMssStripped, OptionRewriting::Kept];
const ICMP: [IcmpErrors; 3] =
    [IcmpErrors::AllFiltered, IcmpErrors::TimeExceededFiltered, IcmpErrors::Passed];
const EGRESSES: [Egress; 2] = [Egress::Everything, Egress::DenyExcept([80, 5000, 0, 0])];
const KILLERS: [Option<IdleKiller>; 3] = [
    Some(IdleKiller { after: Duration::from_secs(5), how: IdleKill::Reset }),
    Some(IdleKiller { after: Duration::ZERO, how: IdleKill::Silence }),
    None,
];
const UDP: [UdpPolicy; 4] = [
    UdpPolicy::LINUX,
    UdpPolicy::RFC4787,
    UdpPolicy::BLOCKED,
    UdpPolicy {
        policy: UdpHandling::Translated,
        port_parity: PortParity::Kept,
        ..UdpPolicy::LINUX
    },
];
const LIMITS: [Limits; 4] = [
    Limits { per_host: Some(1), total: None, when_full: WhenFull::OldestEvicted },
    Limits { per_host: Some(2), total: Some(3), when_full: WhenFull::Refused },
    Limits { per_host: Some(0), total: Some(1), when_full: WhenFull::OldestEvicted },
    Limits { per_host: None, total: Some(2), when_full: WhenFull::OldestEvicted },
];
