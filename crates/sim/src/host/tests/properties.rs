//! Whatever the wire does.

use proptest::prelude::*;
use simopen_packet::{SeqNumber, SynOptions, Timestamps};

use super::wire::{A, B, PAIRS, Wire, endpoint};
use super::*;

/// What befalls the packets of a wire: a tenth is lost, a third comes late.
fn troubled(seed: u64) -> Box<dyn FnMut(usize) -> Option<Duration>> {
    let mut chance = ChaCha20Rng::seed_from_u64(seed);
    Box::new(move |_| {
        let drawn = chance.next_u32();
        let late = if drawn % 3 == 0 { u64::from(drawn >> 16) % 50 } else { 0 };
        (drawn % 10 != 9).then_some(Duration::from_millis(late))
    })
}

fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(salt)).collect()
}

/// A SYN of somebody who offers this.
fn syn(ends: [SocketAddr; 2], isn: u32, scale: Option<u8>, clock: Option<u32>, sack: bool) -> Syn {
    let timestamps = clock.map(|value| Timestamps { value, echo: 0 });
    Syn {
        source: ends[0],
        destination: ends[1],
        sequence: SeqNumber(isn),
        window: 64_240,
        ttl: Ttl(2),
        ecn_setup: false,
        options: SynOptions::new(Some(1460), scale, sack, timestamps),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_arrive_as_they_were_sent_whatever_is_lost_or_late(
        seed: u64, pair in 0..4_usize, crossing: bool, length in 1..65_536_usize,
    ) {
        let mut wire = Wire::new(PAIRS[pair]);
        wire.fate = troubled(seed);
        let a = wire.dial(0, 1000, 2000);
        if crossing {
            wire.dial(1, 2000, 1000);
        } else {
            wire.hosts[1].listen(endpoint(B, 2000));
        }
        for _ in 0..60 {
            wire.run();
        }
        // Loss may take all SYNs, and a reset is a fair end of an opening that stays half.
        prop_assume!(wire.established(0) == [a]);
        let b = if crossing { wire.established(1) } else { wire.accepted(1) };
        prop_assume!(b.len() == 1);
        let (one, other) = (pattern(length, 1), pattern(length, 2));
        wire.write(0, a, &one);
        wire.write(1, b[0], &other);
        for _ in 0..360 {
            wire.run();
        }
        for (side, socket, sent) in [(1, b[0], one), (0, a, other)] {
            let received = wire.received.remove(&(side, socket)).unwrap_or_default();
            prop_assert!(sent.starts_with(&received));
            // Raw smoltcp may wait for ever behind a window that closed late.
            prop_assert!(PAIRS[pair] != [Stack::Linux; 2] || received == sent);
        }
    }

    #[test]
    fn connections_that_were_opened_outside_carry_bytes_under_every_offer(
        isns: [u32; 2],
        scales: [Option<u8>; 2],
        clocks: [Option<u32>; 2],
        sacks: [bool; 2],
        pair in 0..4_usize,
    ) {
        let mut wire = Wire::new(PAIRS[pair]);
        let (a, b) = (endpoint(A, 1000), endpoint(B, 2000));
        let scales = scales.map(|scale| scale.map(|scale| scale % 15));
        let of_a = syn([a, b], isns[0], scales[0], clocks[0], sacks[0]);
        let of_b = syn([b, a], isns[1], scales[1], clocks[1], sacks[1]);
        let to_a = SynAck::forge(&of_b, &of_a, b, a).unwrap();
        let to_b = SynAck::forge(&of_a, &of_b, a, b).unwrap();
        let at_a = wire.hosts[0].install(&of_a, &to_a, wire.now);
        let at_b = wire.hosts[1].install(&of_b, &to_b, wire.now);
        wire.run();
        prop_assert!(wire.sent.is_empty(), "{:?}", wire.lines());

        let numbers = [0, 1].map(|side| {
            wire.hosts[side].sequence_numbers([at_a, at_b][side]).unwrap()
        });
        prop_assert_eq!(numbers[0].own, numbers[1].peer);
        prop_assert_eq!(numbers[1].own, numbers[0].peer);
        prop_assert_eq!(numbers[0].sack, numbers[1].sack);
        prop_assert_eq!(numbers[0].timestamps, numbers[1].timestamps);
        let scale = numbers[1].window_scale.map(|[own, other]| [other, own]);
        prop_assert_eq!(numbers[0].window_scale, scale);

        let bytes = pattern(20_000, 3);
        wire.write(0, at_a, &bytes);
        wire.write(1, at_b, &bytes);
        for _ in 0..20 {
            wire.run();
        }
        prop_assert!(wire.received.get(&(1, at_b)) == Some(&bytes));
        prop_assert!(wire.received.get(&(0, at_a)) == Some(&bytes));
    }

    #[test]
    fn hostile_packets_never_panic_and_never_make_a_host_grow(
        pair in 0..4_usize,
        crossing: bool,
        edits in prop::collection::vec((0..120_usize, any::<u8>(), any::<u16>()), 1..400),
    ) {
        let mut wire = Wire::new(PAIRS[pair]);
        wire.hosts[1].listen(endpoint(B, 2000));
        wire.hosts[1].swallow(endpoint(B, 2001));
        wire.dial(0, 1000, 2000);
        if crossing {
            wire.dial(1, 2000, 1000);
        }
        wire.run();
        for (number, (at, value, which)) in edits.into_iter().enumerate() {
            let (_, side, mut packet) = wire.sent[usize::from(which) % wire.sent.len()].clone();
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
            if packet.len() > 40 && number % 2 == 0 {
                right_checksums(&mut packet);
            }
            wire.hosts[1 - side].handle_packet(&packet, wire.now);
            if number % 16 == 0 {
                wire.run();
            }
        }
        for host in &wire.hosts {
            prop_assert!(host.connections.len() <= CONNECTIONS);
        }
    }
}

/// Writes the checksums anew, as far as the headers still say where they are.
fn right_checksums(packet: &mut [u8]) {
    use simopen_packet::checksum::Checksum;
    let header = usize::from(packet[0] & 15) * 4;
    if packet[0] >> 4 != 4 || header < 20 || packet.len() < header + 18 {
        return;
    }
    packet[10..12].fill(0);
    let sum = Checksum::default().with(&packet[..header]).finish();
    packet[10..12].copy_from_slice(&sum);
    let address =
        |at: usize| IpAddr::from([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let sum = Checksum::of_pseudo_header(address(12), address(16), 6, packet.len() - header);
    packet[header + 16..header + 18].fill(0);
    let sum = sum.with(&packet[header..]).finish();
    packet[header + 16..header + 18].copy_from_slice(&sum);
}

#[test]
fn a_flood_of_syns_stops_at_the_bound() {
    let mut wire = Wire::new(PAIRS[0]);
    wire.hosts[1].listen(endpoint(B, 2000));
    for port in 0..6_000 {
        let ends = [endpoint(A, 10_000 + port), endpoint(B, 2000)];
        let mut packet = [0; 100];
        let length = syn(ends, 1, None, None, false).emit(&mut packet).unwrap();
        wire.hosts[1].handle_packet(&packet[..length], wire.now);
    }

    assert_eq!(wire.hosts[1].connections.len(), CONNECTIONS);
    let mut answers = 0;
    while wire.hosts[1].poll_transmit(&mut Vec::new()) {
        answers += 1;
    }
    assert_eq!(answers, CONNECTIONS);
}
