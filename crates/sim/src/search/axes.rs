//! The axes of a box, and the values that each is turned to.

use std::time::Duration;

use simopen_nat::{
    EarlyPacket, Egress, Filtering, Hairpin, IcmpEcho, IcmpErrors, IdleKill, IdleKiller,
    InboundBareSyn, InvalidOutbound, IsnRewriting, Mapping, MidStream, MiddleboxSpec, OnIcmpError,
    OnReset, OptionRewriting, Pairing, PortAllocation, PortOverloading, Refresh, Role, SynProxy,
    TcpTimers, TcpTracking, TimestampRewriting, UnsolicitedSyn, WhenFull,
};

use super::dice::Dice;

/// Turns one axis.
type Turn = fn(&mut MiddleboxSpec, &mut Dice);

/// Turns some axis.
pub(super) fn turn_one(spec: &mut MiddleboxSpec, dice: &mut Dice) {
    let turn = dice.pick(&AXES);
    turn(spec, dice);
}

/// Turns all of them.
pub(super) fn turn_all(spec: &mut MiddleboxSpec, dice: &mut Dice) {
    for turn in AXES {
        turn(spec, dice);
    }
}

/// All axes that matter to TCP. What is common stands several times in its list.
const AXES: [Turn; 30] = [
    |spec, dice| {
        spec.role = dice.pick(&[
            Role::Nat,
            Role::Nat,
            Role::Nat,
            Role::Firewall,
            Role::Firewall,
            Role::Transparent,
        ]);
    },
    |spec, dice| {
        spec.mapping = dice.pick(&[
            Mapping::EndpointIndependent,
            Mapping::EndpointIndependent,
            Mapping::AddressDependent,
            Mapping::AddressAndPortDependent,
        ]);
    },
    |spec, dice| {
        spec.filtering = dice.pick(&[
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ]);
    },
    |spec, dice| {
        let size = dice.pick(&[1, 2, 3, 4, 8, 64, 512, 8000]);
        spec.port_allocation = dice.pick(&[
            PortAllocation::Preserve,
            PortAllocation::Preserve,
            PortAllocation::PreserveElseNext,
            PortAllocation::Sequential { step: 1 },
            PortAllocation::Sequential { step: 3 },
            PortAllocation::Random,
            PortAllocation::RandomInBlock { size },
            PortAllocation::Block { size },
            PortAllocation::Block { size: 512 },
        ]);
    },
    |spec, dice| {
        spec.port_overloading = dice.pick(&[PortOverloading::Off, PortOverloading::ByRemote]);
    },
    |spec, dice| {
        spec.hairpin = dice.pick(&[Hairpin::Off, Hairpin::InternalSource, Hairpin::ExternalSource]);
    },
    |spec, dice| {
        spec.refresh = dice.pick(&[Refresh::Both, Refresh::Outbound, Refresh::Inbound]);
    },
    |spec, dice| {
        spec.unsolicited = dice.pick(&[
            UnsolicitedSyn::Dropped,
            UnsolicitedSyn::Dropped,
            UnsolicitedSyn::Reset,
            UnsolicitedSyn::PortUnreachable,
            UnsolicitedSyn::AdminProhibited,
            UnsolicitedSyn::HeldThenPortUnreachable,
        ]);
    },
    |spec, dice| {
        spec.early_packet = dice.pick(&[EarlyPacket::Harmless, EarlyPacket::TakesPort]);
    },
    |spec, dice| {
        spec.inbound_bare_syn = dice.pick(&[InboundBareSyn::Admitted, InboundBareSyn::Dropped]);
    },
    |spec, dice| {
        spec.tracking = dice.pick(&[TcpTracking::Strict, TcpTracking::Liberal, TcpTracking::None]);
    },
    |spec, dice| spec.mid_stream = dice.pick(&[MidStream::PickedUp, MidStream::Refused]),
    |spec, dice| {
        spec.invalid_outbound = dice.pick(&[
            InvalidOutbound::LeavesUntranslated,
            InvalidOutbound::Dropped,
            InvalidOutbound::AnsweredByRouter,
        ]);
    },
    |spec, dice| {
        spec.on_reset = dice.pick(&[
            OnReset::DeletesUnanswered,
            OnReset::Deletes,
            OnReset::StartsCloseTimer,
            OnReset::Ignored,
        ]);
    },
    |spec, dice| {
        spec.on_icmp_error = dice.pick(&[OnIcmpError::SessionKept, OnIcmpError::SessionDeleted]);
    },
    |spec, dice| {
        spec.icmp_errors = dice.pick(&[
            IcmpErrors::Passed,
            IcmpErrors::TimeExceededFiltered,
            IcmpErrors::AllFiltered,
        ]);
    },
    |spec, dice| spec.icmp_echo = dice.pick(&[IcmpEcho::Translated, IcmpEcho::Blocked]),
    |spec, dice| {
        spec.egress = dice.pick(&[
            Egress::Everything,
            Egress::Everything,
            Egress::Everything,
            Egress::Everything,
            Egress::DenyExcept([7000, 80, 0, 0]),
            Egress::DenyExcept([80, 443, 0, 0]),
        ]);
    },
    |spec, dice| {
        let after = Duration::from_secs(dice.pick(&[3, 60, 600]));
        let how = dice.pick(&[IdleKill::Reset, IdleKill::Silence]);
        spec.idle_killer = dice.pick(&[None, None, Some(IdleKiller { after, how })]);
    },
    |spec, dice| spec.pool.addresses = dice.pick(&[1, 1, 1, 3, 5]),
    |spec, dice| spec.pool.pairing = dice.pick(&[Pairing::Paired, Pairing::Arbitrary]),
    |spec, dice| {
        spec.rewriting.isn = dice.pick(&[
            IsnRewriting::Kept,
            IsnRewriting::Kept,
            IsnRewriting::Kept,
            IsnRewriting::ModulatedSackRepaired,
            IsnRewriting::ModulatedSackBroken,
        ]);
    },
    |spec, dice| {
        spec.rewriting.timestamps = dice.pick(&[
            TimestampRewriting::Kept,
            TimestampRewriting::Kept,
            TimestampRewriting::Rewritten,
            TimestampRewriting::Stripped,
        ]);
    },
    |spec, dice| {
        spec.rewriting.options = dice.pick(&[
            OptionRewriting::Kept,
            OptionRewriting::Kept,
            OptionRewriting::UnknownStripped,
            OptionRewriting::AllButMssStripped,
        ]);
    },
    |spec, dice| spec.rewriting.mss = dice.pick(&[None, None, Some(536), Some(1000)]),
    |spec, dice| {
        spec.rewriting.syn_proxy = if dice.once_in(8) { SynProxy::On } else { SynProxy::Off };
    },
    |spec, dice| {
        let most = dice.pick(&[1, 2, 3, 4, 5, 9, 100]);
        spec.limits.per_host = dice.pick(&[None, None, None, Some(most)]);
    },
    |spec, dice| {
        let most = dice.pick(&[1, 2, 3, 4, 5, 9, 100]);
        spec.limits.total = dice.pick(&[None, None, None, Some(most)]);
    },
    |spec, dice| {
        spec.limits.when_full =
            dice.pick(&[WhenFull::Refused, WhenFull::Refused, WhenFull::OldestEvicted]);
    },
    |spec, dice| {
        let seconds = |list: &[u64], dice: &mut Dice| Duration::from_secs(dice.pick(list));
        let families = [TcpTimers::LINUX, TcpTimers::PF, TcpTimers::RFC5382];
        spec.timers = dice.pick(&families);
        if dice.once_in(2) {
            spec.timers.syn_sent = seconds(&[1, 2, 5, 20, 120], dice);
            spec.timers.syn_received = seconds(&[1, 2, 5, 20, 60], dice);
            spec.timers.close = seconds(&[1, 2, 10, 90], dice);
        }
        if dice.once_in(8) {
            spec.timers.established = seconds(&[2, 10, 60, 3600], dice);
        }
        if dice.once_in(8) {
            spec.timers.unacknowledged = seconds(&[2, 10, 60, 300], dice);
            spec.timers.retransmitting = seconds(&[2, 10, 60, 300], dice);
        }
    },
];
