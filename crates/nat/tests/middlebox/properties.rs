//! What holds for every box and every sequence of packets.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use proptest::prelude::*;
use simopen_nat::{
    Filtering, FlowProtocol, InboundBareSyn, JournalEvent, Mapping, MiddleboxSpec, OnReset,
    PRESETS, PortOverloading, SessionEndpoints, Side, UnsolicitedSyn, Verdict,
};
use simopen_packet::{Packet, TcpFlags};

use crate::axes::turned;
use crate::exchange::{Exchange, Segment, at, echo, udp};

/// MSS, an unknown option, a SACK block and timestamps.
const OPTIONS: &[u8] =
    &[2, 4, 5, 180, 200, 2, 5, 10, 0, 0, 0, 98, 0, 0, 0, 101, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7, 1, 0];

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
    /// 0 UDP, 1 and 2 ICMP echo, 3 a restart of the box and then a segment, else a segment.
    kind: u8,
}

impl Step {
    fn bytes(&self) -> Vec<u8> {
        let segment = self.segment();
        let (source, destination) = (segment.source, segment.destination);
        match self.kind {
            0 => udp(source, destination),
            1 | 2 => echo((self.kind - 1) * 8, source.ip(), destination.ip(), self.port),
            _ => segment.bytes(),
        }
    }

    fn segment(&self) -> Segment {
        let remote =
            at(["198.51.100.9:5000", "198.51.100.9:5001", "192.0.2.7:80", "203.0.113.1:4000"]
                [usize::from(self.remote)]);
        let (source, destination) = match self.side {
            Side::Inside => (at(&format!("10.0.0.{}:4000", 2 + self.near)), remote),
            Side::Outside => (remote, at(&format!("203.0.113.1:{}", self.port))),
        };
        Segment::new(source, destination, TcpFlags(self.flags))
            .numbered(self.sequence, self.acknowledgment)
            .options(if self.payload == 2 { OPTIONS } else { &[] })
            .payload(self.payload)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        6 => Just(2u8), 4 => Just(0x12), 6 => Just(0x10), 2 => Just(0x11), 2 => Just(4),
        1 => Just(0x14), 1 => any::<u8>(),
    ];
    let number = prop_oneof![4 => 98u32..106, 1 => 898u32..906, 1 => any::<u32>()];
    let endpoints = (any::<bool>(), 0u8..3, 0u8..4, 3999u16..4004, 0u8..16);
    let wait = prop_oneof![8 => Just(0u64), 2 => 0u64..20, 1 => 0u64..10_000];
    (endpoints, flags, number.clone(), number, 0usize..4, wait).prop_map(
        |((inside, near, remote, port, kind), flags, sequence, acknowledgment, payload, wait)| {
            Step {
                side: if inside { Side::Inside } else { Side::Outside },
                near,
                remote,
                port,
                flags,
                sequence,
                acknowledgment,
                payload,
                wait,
                kind,
            }
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
    // Mostly as the preset has them: not everything is odd at once.
    let axis = prop_oneof![3 => Just(0u8), 1 => any::<u8>()];
    let axes = prop::array::uniform16(axis);
    (preset, mapping, filtering, unsolicited, on_reset, any::<[bool; 2]>(), axes).prop_map(
        |(preset, mapping, filtering, unsolicited, on_reset, [bare, overload], axes)| {
            turned(PRESETS[preset].spec, axes)
                .with_mapping(mapping)
                .with_filtering(filtering)
                .with_unsolicited(unsolicited)
                .with_on_reset(on_reset)
                .with_inbound_bare_syn(if bare {
                    InboundBareSyn::Admitted
                } else {
                    InboundBareSyn::Dropped
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
        if step.kind == 3 {
            exchange.middlebox.reboot(exchange.now);
        }
        let bytes = step.bytes();
        let passed = exchange.pass(step.side, bytes.clone());
        if matches!(passed.verdict, Verdict::Forward | Verdict::Hairpin) {
            Packet::verify_checksums(&passed.bytes).unwrap();
        } else {
            assert_eq!(passed.bytes, bytes, "what is not forwarded is not touched");
        }
        out.push((passed.verdict, passed.bytes));
        out.extend(exchange.answers().into_iter().map(|(_, bytes)| (Verdict::Untranslated, bytes)));
    }
    out
}

fn hash(exchange: &Exchange) -> u64 {
    let mut hasher = DefaultHasher::new();
    exchange.middlebox.hash(&mut hasher);
    hasher.finish()
}

/// The steps in two orders: the last two are at one moment.
fn orders(mut steps: Vec<Step>) -> [Vec<Step>; 2] {
    let mut swapped = steps.clone();
    if let ([.., last], [.., one, other]) = (&mut steps[..], &mut swapped[..]) {
        last.wait = 0;
        other.wait = one.wait;
        one.wait = 0;
        std::mem::swap(one, other);
    }
    [steps, swapped]
}

#[test]
fn a_box_hashes_alike_after_what_commutes_and_otherwise_after_what_does_not() {
    let syn = |near, sequence| Step {
        side: Side::Inside,
        near,
        remote: 0,
        port: 4000,
        flags: 2,
        sequence,
        acknowledgment: 0,
        payload: 0,
        wait: 0,
        kind: 9,
    };
    let after = |spec, steps: &[Step]| {
        let mut exchange = Exchange::new(spec);
        run(&mut exchange, steps);
        hash(&exchange)
    };
    let [one, other] = [0, 1].map(|near| syn(near, 100));
    let orders = [[one.clone(), other.clone()], [other, one.clone()]];
    let firewall = MiddleboxSpec::silent_stateful_firewall();
    assert_eq!(after(firewall, &orders[0]), after(firewall, &orders[1]));
    assert_ne!(after(firewall, &[one]), after(firewall, &[]));
    // Of two hosts with one port only the first keeps it.
    let nat = MiddleboxSpec::apd_mapping_sequential();
    assert_ne!(after(nat, &orders[0]), after(nat, &orders[1]));
}

fn created(event: JournalEvent) -> Option<(FlowProtocol, SessionEndpoints)> {
    if let JournalEvent::FlowCreated { protocol, session, .. } = event {
        return Some((protocol, session));
    }
    let JournalEvent::Created { session, .. } = event else { return None };
    Some((FlowProtocol::Tcp, session))
}

fn ended(event: JournalEvent) -> Option<(FlowProtocol, SessionEndpoints)> {
    if let JournalEvent::FlowEnded { protocol, session, .. } = event {
        return Some((protocol, session));
    }
    let JournalEvent::Ended { session, .. } = event else { return None };
    Some((FlowProtocol::Tcp, session))
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
    fn boxes_that_hash_alike_do_the_same_from_then_on(
        spec in spec(),
        before in prop::collection::vec(step(), 2..8),
        after in prop::collection::vec(step(), 0..20)
    ) {
        let mut one = Exchange::new(spec);
        let mut other = Exchange::new(spec);
        let orders = orders(before);
        run(&mut one, &orders[0]);
        run(&mut other, &orders[1]);
        if hash(&one) == hash(&other) {
            prop_assert_eq!(one.middlebox.poll_timeout(), other.middlebox.poll_timeout());
            prop_assert_eq!(run(&mut one, &after), run(&mut other, &after));
            prop_assert_eq!(hash(&one), hash(&other));
        }
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
            if let JournalEvent::Rebooted { .. } = entry.event {
                inside.clear();
                outside.clear();
            }
            if let Some((protocol, session)) = created(entry.event) {
                let by_inside = inside.insert((protocol, session.inside, session.remote), session);
                let by_outside =
                    outside.insert((protocol, session.external, session.remote), session);
                prop_assert_eq!((by_inside, by_outside), (None, None));
            }
            if let Some((protocol, session)) = ended(entry.event) {
                inside.remove(&(protocol, session.inside, session.remote));
                outside.remove(&(protocol, session.external, session.remote));
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
            let mut bytes = step.bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let passed = exchange.pass(step.side, bytes);
            let _ = Packet::parse(&passed.bytes);
        }
    }

    #[test]
    fn there_are_never_more_sessions_than_the_limits_say(
        spec in spec(), steps in prop::collection::vec(step(), 0..80)
    ) {
        let limits = spec.limits;
        let mut exchange = Exchange::new(spec);
        for step in steps {
            exchange.pass(step.side, step.bytes());
            let count = exchange.middlebox.session_count();
            prop_assert!(limits.total.is_none_or(|total| count <= total as usize));
            // Three hosts take part.
            prop_assert!(limits.per_host.is_none_or(|each| count <= 3 * each as usize));
        }
    }
}
