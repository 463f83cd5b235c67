//! Boxes that nobody has thought of: any combination of axes, under any conditions.

use std::time::Duration;

use proptest::prelude::*;
use simopen_nat::{
    AddressPool, EarlyPacket, Egress, Filtering, Hairpin, IcmpErrors, InboundBareSyn,
    InvalidOutbound, IsnRewriting, Limits, Mapping, MidStream, MiddleboxSpec, OnIcmpError, OnReset,
    OptionRewriting, Pairing, PortAllocation, PortOverloading, Refresh, Rewriting, Role, SynProxy,
    TcpTimers, TcpTracking, TimestampRewriting, UnsolicitedSyn, WhenFull,
};
use simopen_protocol::technique::Technique;
use simopen_scenario::conditions::Conditions;

use crate::experiment::Experiment;

/// Picks from a list by a number, the first by 0.
pub(crate) fn pick<T: Copy>(list: &[T], number: u8) -> T {
    list[usize::from(number) % list.len()]
}

/// What a box rewrites, and how much it keeps for how long.
fn with_tables(mut next: impl FnMut() -> u8) -> MiddleboxSpec {
    let rewriting = Rewriting {
        isn: pick(
            &[
                IsnRewriting::Kept,
                IsnRewriting::Kept,
                IsnRewriting::Kept,
                IsnRewriting::ModulatedSackRepaired,
                IsnRewriting::ModulatedSackBroken,
            ],
            next(),
        ),
        timestamps: pick(
            &[
                TimestampRewriting::Kept,
                TimestampRewriting::Rewritten,
                TimestampRewriting::Stripped,
            ],
            next(),
        ),
        options: pick(
            &[
                OptionRewriting::Kept,
                OptionRewriting::UnknownStripped,
                OptionRewriting::AllButMssStripped,
            ],
            next(),
        ),
        mss: pick(&[None, Some(1000)], next()),
        syn_proxy: SynProxy::Off,
    };
    let pool = AddressPool {
        addresses: pick(&[1, 1, 3], next()),
        pairing: pick(&[Pairing::Paired, Pairing::Arbitrary], next()),
    };
    let most = pick(&[None, None, Some(1), Some(2), Some(9)], next());
    let limits = Limits { per_host: most, total: None, when_full: WhenFull::Refused };
    let timers = TcpTimers {
        syn_sent: Duration::from_secs(pick(&[120, 120, 1], next())),
        syn_received: Duration::from_secs(pick(&[60, 60, 3], next())),
        ..TcpTimers::LINUX
    };
    MiddleboxSpec::linux_masquerade_drop_input()
        .with_rewriting(rewriting)
        .with_pool(pool)
        .with_limits(limits)
        .with_timers(timers)
}

/// A box from as many numbers as it has axes; zeros make the most harmless NAT.
fn spec(numbers: [u8; 24]) -> MiddleboxSpec {
    let mut numbers = numbers.into_iter();
    let mut next = || numbers.next().unwrap();
    with_tables(&mut next)
        .with_mapping(pick(
            &[
                Mapping::EndpointIndependent,
                Mapping::AddressDependent,
                Mapping::AddressAndPortDependent,
            ],
            next(),
        ))
        .with_filtering(pick(
            &[
                Filtering::AddressAndPortDependent,
                Filtering::AddressDependent,
                Filtering::EndpointIndependent,
            ],
            next(),
        ))
        .with_port_allocation(pick(
            &[
                PortAllocation::Preserve,
                PortAllocation::PreserveElseNext,
                PortAllocation::Sequential { step: 3 },
                PortAllocation::Random,
                PortAllocation::RandomInBlock { size: 8000 },
                PortAllocation::Block { size: 512 },
            ],
            next(),
        ))
        .with_port_overloading(pick(&[PortOverloading::Off, PortOverloading::ByRemote], next()))
        .with_hairpin(pick(&[Hairpin::Off, Hairpin::ExternalSource], next()))
        .with_refresh(pick(&[Refresh::Both, Refresh::Outbound, Refresh::Inbound], next()))
        .with_unsolicited(pick(
            &[
                UnsolicitedSyn::Dropped,
                UnsolicitedSyn::Reset,
                UnsolicitedSyn::PortUnreachable,
                UnsolicitedSyn::AdminProhibited,
                UnsolicitedSyn::HeldThenPortUnreachable,
            ],
            next(),
        ))
        .with_early_packet(pick(&[EarlyPacket::Harmless, EarlyPacket::TakesPort], next()))
        .with_inbound_bare_syn(pick(&[InboundBareSyn::Admitted, InboundBareSyn::Dropped], next()))
        .with_tracking(pick(
            &[TcpTracking::Strict, TcpTracking::Liberal, TcpTracking::None],
            next(),
        ))
        .with_mid_stream(pick(&[MidStream::PickedUp, MidStream::Refused], next()))
        .with_invalid_outbound(pick(
            &[
                InvalidOutbound::LeavesUntranslated,
                InvalidOutbound::Dropped,
                InvalidOutbound::AnsweredByRouter,
            ],
            next(),
        ))
        .with_on_reset(pick(
            &[
                OnReset::DeletesUnanswered,
                OnReset::Deletes,
                OnReset::StartsCloseTimer,
                OnReset::Ignored,
            ],
            next(),
        ))
        .with_on_icmp_error(pick(&[OnIcmpError::SessionKept, OnIcmpError::SessionDeleted], next()))
        .with_icmp_errors(pick(
            &[IcmpErrors::Passed, IcmpErrors::TimeExceededFiltered, IcmpErrors::AllFiltered],
            next(),
        ))
}

/// The role, and to where sessions may be opened.
fn with_fences(spec: MiddleboxSpec, role: u8, egress: u8) -> MiddleboxSpec {
    let roles = [Role::Nat, Role::Nat, Role::Firewall, Role::Firewall, Role::Transparent];
    let egress = pick(
        &[
            Egress::Everything,
            Egress::Everything,
            Egress::Everything,
            Egress::DenyExcept([7000, 80, 0, 0]),
            Egress::DenyExcept([80, 443, 0, 0]),
        ],
        egress,
    );
    MiddleboxSpec { role: pick(&roles, role), ..spec }.with_egress(egress)
}

fn boxes() -> impl Strategy<Value = MiddleboxSpec> {
    (any::<[u8; 24]>(), any::<u8>(), any::<u8>())
        .prop_map(|(numbers, role, egress)| with_fences(spec(numbers), role, egress))
}

pub(crate) fn experiments() -> impl Strategy<Value = Experiment> {
    (boxes(), boxes(), any::<[u8; 6]>(), any::<u64>()).prop_map(|(a, b, numbers, seed)| {
        let [technique, leg, skew_a, skew_b, forging, validation] = numbers;
        let milliseconds = |list: &[u64], number| Duration::from_millis(pick(list, number));
        let conditions = Conditions {
            skew_a: milliseconds(&[0, 0, 30, 150], skew_a),
            skew_b: milliseconds(&[0, 0, 30, 150], skew_b),
            source_validation: pick(&[false, false, false, true], validation),
            ..Conditions::with_leg(milliseconds(&[5, 1, 20, 100], leg))
        };
        Experiment {
            technique: pick(&Technique::WITHOUT_RELAY, technique),
            boxes: [a, b],
            forging: pick(&[true, true, true, false], forging),
            conditions,
            seed,
        }
    })
}
