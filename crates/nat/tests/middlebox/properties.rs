//! What holds for every box and every sequence of packets.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use simopen_nat::{
    Filtering, InboundBareSyn, JournalEvent, Mapping, MiddleboxSpec, OnReset, PRESETS,
    PortAllocation, PortOverloading, Side, TcpTracking, UnsolicitedSyn, Verdict,
};
use simopen_packet::{Packet, TcpFlags};

use crate::exchange::{Exchange, Segment, at};

/// One step of a random exchange, drawn from few endpoints and numbers so that much of it meets.
#[derive(Clone, Debug)]
struct Step {
    side: Side,
    near: u8,
    remote: u8,
    port: u16,
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    payload: usize,
    wait: u64,
}

impl Step {
    fn segment(&self) -> Segment {
        let remote =
            at(["198.51.100.9:5000", "198.51.100.9:5001", "192.0.2.7:80"]
                [usize::from(self.remote)]);
        let (source, destination) = match self.side {
            Side::Inside => (at(&format!("10.0.0.{}:4000", 2 + self.near)), remote),
            Side::Outside => (remote, at(&format!("203.0.113.1:{}", self.port))),
        };
        Segment::new(source, destination, TcpFlags(self.flags))
            .numbered(self.sequence, self.acknowledgment)
            .payload(self.payload)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        6 => Just(2u8), 4 => Just(0x12), 6 => Just(0x10), 2 => Just(0x11), 2 => Just(4),
        1 => Just(0x14), 1 => any::<u8>(),
    ];
    let number = prop_oneof![4 => 98u32..106, 1 => 898u32..906, 1 => any::<u32>()];
    let endpoints = (any::<bool>(), 0u8..3, 0u8..3, 3999u16..4004);
    let wait = prop_oneof![8 => Just(0u64), 2 => 0u64..20, 1 => 0u64..10_000];
    (endpoints, flags, number.clone(), number, 0usize..4, wait).prop_map(
        |((inside, near, remote, port), flags, sequence, acknowledgment, payload, wait)| Step {
            side: if inside { Side::Inside } else { Side::Outside },
            near,
            remote,
            port,
            flags,
            sequence,
            acknowledgment,
            payload,
            wait,
        },
    )
}

fn spec() -> impl Strategy<Value = MiddleboxSpec> {
    let mapping = prop::sample::select(vec![
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ]);
    let filtering = prop::sample::select(vec![
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ]);
    let unsolicited = prop::sample::select(vec![
        UnsolicitedSyn::Dropped,
        UnsolicitedSyn::Reset,
        UnsolicitedSyn::PortUnreachable,
        UnsolicitedSyn::AdminProhibited,
        UnsolicitedSyn::HeldThenPortUnreachable,
    ]);
    let on_reset = prop::sample::select(vec![
        OnReset::DeletesUnanswered,
        OnReset::Deletes,
        OnReset::StartsCloseTimer,
        OnReset::Ignored,
    ]);
    let preset = 0..PRESETS.len();
    (preset, mapping, filtering, unsolicited, on_reset, any::<[bool; 4]>()).prop_map(
        |(preset, mapping, filtering, unsolicited, on_reset, [bare, strict, keep, overload])| {
            PRESETS[preset]
                .spec
                .with_mapping(mapping)
                .with_filtering(filtering)
                .with_unsolicited(unsolicited)
                .with_on_reset(on_reset)
                .with_inbound_bare_syn(if bare {
                    InboundBareSyn::Admitted
                } else {
                    InboundBareSyn::Dropped
                })
                .with_tracking(if strict { TcpTracking::Strict } else { TcpTracking::Liberal })
                .with_port_allocation(if keep {
                    PortAllocation::Preserve
                } else {
                    PortAllocation::Random
                })
                .with_port_overloading(if overload {
                    PortOverloading::ByRemote
                } else {
                    PortOverloading::Off
                })
        },
    )
}

/// Runs the steps and returns everything that came out.
fn run(exchange: &mut Exchange, steps: &[Step]) -> Vec<(Verdict, Vec<u8>)> {
    let mut out = Vec::new();
    for step in steps {
        exchange.advance(Duration::from_secs(step.wait));
        let bytes = step.segment().bytes();
        let passed = exchange.pass(step.side, bytes.clone());
        if passed.verdict == Verdict::Forward {
            passed.assert_forwarded();
        } else {
            assert_eq!(passed.bytes, bytes, "what is not forwarded is not touched");
        }
        out.push((passed.verdict, passed.bytes));
        out.extend(exchange.answers().into_iter().map(|(_, bytes)| (Verdict::Untranslated, bytes)));
    }
    out
}

proptest! {
    #[test]
    fn the_same_entropy_and_inputs_give_the_same_bytes_and_journal(
        spec in spec(), steps in prop::collection::vec(step(), 0..80)
    ) {
        let mut first = Exchange::new(spec);
        let mut second = Exchange::new(spec);
        prop_assert_eq!(run(&mut first, &steps), run(&mut second, &steps));
        prop_assert_eq!(first.journal(), second.journal());
    }

    #[test]
    fn no_state_is_left_after_all_timers_ran_out(
        spec in spec(), steps in prop::collection::vec(step(), 0..80)
    ) {
        let mut exchange = Exchange::new(spec);
        run(&mut exchange, &steps);
        exchange.advance(Duration::from_secs(1_000_000));
        exchange.answers();
        prop_assert!(exchange.middlebox.is_idle());
        let stats = *exchange.middlebox.stats();
        prop_assert_eq!(stats.sessions_created, stats.sessions_ended);
        prop_assert_eq!(exchange.middlebox.poll_timeout(), None);
    }

    #[test]
    fn no_two_sessions_share_a_flow_on_either_side(
        spec in spec(), steps in prop::collection::vec(step(), 0..80)
    ) {
        let mut exchange = Exchange::new(spec);
        let mut inside = HashMap::new();
        let mut outside = HashMap::new();
        run(&mut exchange, &steps);
        for entry in exchange.journal() {
            if let JournalEvent::Created { session, .. } = entry.event {
                let by_inside = inside.insert((session.inside, session.remote), session);
                let by_outside = outside.insert((session.external, session.remote), session);
                prop_assert_eq!((by_inside, by_outside), (None, None));
            }
            if let JournalEvent::Ended { session, .. } = entry.event {
                inside.remove(&(session.inside, session.remote));
                outside.remove(&(session.external, session.remote));
            }
        }
        prop_assert_eq!(inside.len(), exchange.middlebox.session_count());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        spec in spec(),
        packets in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..120)), 0..20)
    ) {
        let mut exchange = Exchange::new(spec);
        for (inside, bytes) in packets {
            let side = if inside { Side::Inside } else { Side::Outside };
            exchange.pass(side, bytes);
        }
    }

    #[test]
    fn damaged_packets_never_panic(
        spec in spec(),
        steps in prop::collection::vec((step(), 0usize..120, any::<u8>()), 0..40)
    ) {
        let mut exchange = Exchange::new(spec);
        for (step, at, value) in steps {
            let mut bytes = step.segment().bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let passed = exchange.pass(step.side, bytes);
            let _ = Packet::parse(&passed.bytes);
        }
    }
}
