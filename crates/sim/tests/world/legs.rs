//! How long each way takes, as the order of its messages says, to the microsecond.

use simopen_protocol::technique::{SynOwner, Technique};

use crate::field::{cell, run};

/// The time to *established* with legs of 10 ms, in milliseconds. A host behind a box is 0.1 ms
/// farther from everybody.
fn established(technique: Technique, boxes: [&str; 2]) -> f64 {
    let run = run(&cell(technique, boxes), 7);
    assert!(run.record.is_success(), "{technique}: {:?}", run.record.outcome);
    assert_eq!(run.violations, [], "{technique}");
    run.record.phases.established_ms.expect("it connected")
}

#[track_caller]
fn assert_takes(technique: Technique, boxes: [&str; 2], milliseconds: f64) {
    let taken = established(technique, boxes);
    assert!((taken - milliseconds).abs() < 1e-3, "{technique}: {taken} ms");
}

const FIREWALLS: [&str; 2] = ["silent-stateful-firewall"; 2];
const NATS: [&str; 2] = ["linux-masquerade-drop-input"; 2];

#[test]
fn a_direct_dial_stands_at_the_far_end_after_seven_legs() {
    // Five trips with one of the two at one end, and two between them.
    assert_takes(Technique::Direct, ["rfc5382-compliant"; 2], 4.0 * 10.1 + 3.0 * 10.2);
}

#[test]
fn a_simultaneous_open_takes_six_legs() {
    for boxes in [FIREWALLS, NATS] {
        assert_takes(Technique::SimultaneousOpen, boxes, 4.0 * 10.1 + 2.0 * 10.2);
    }
}

#[test]
fn a_low_ttl_costs_one_retransmission() {
    for boxes in [FIREWALLS, NATS] {
        let taken = established(Technique::SimultaneousOpenLowTtl, boxes);
        let second_syn = taken - (4.0 * 10.1 + 2.0 * 10.2);
        assert!((1000.0..1050.0).contains(&second_syn), "the second SYN left {second_syn} ms late");
    }
}

#[test]
fn kernels_syns_are_answered_after_six_legs() {
    for boxes in [FIREWALLS, NATS] {
        assert_takes(Technique::ForgedSynAck(SynOwner::Kernel), boxes, 6.0 * 10.1);
    }
}

#[test]
fn committed_syns_are_answered_after_four_legs_a_turn_round_and_the_hold_for_the_originator() {
    let (turn_round, jitter) = (5.0, 2.0);
    let technique = Technique::ForgedSynAck(SynOwner::Userspace);
    for boxes in [FIREWALLS, NATS] {
        assert_takes(technique, boxes, 4.0 * 10.1 + turn_round + jitter);
    }
}

#[test]
fn the_record_counts_what_the_journal_shows() {
    let forged =
        run(&cell(Technique::ForgedSynAck(SynOwner::Kernel), ["syn-ack-only-firewall"; 2]), 1);
    assert_eq!(forged.record.packets_sent.forged, 2);
    for delivered in forged.record.delivered {
        assert_eq!(delivered.syns_sent, 1);
        assert_eq!((delivered.syns, delivered.syn_acks, delivered.syn_acks_from_broker), (0, 1, 1));
    }
    assert_eq!(forged.record.mappings, [1, 1]);
    let phases = forged.record.phases;
    assert_eq!(phases.signal_ms.map(|at| (at * 1000.0).round()), Some(40_400.0));
    assert!(phases.gather_ms.is_some() && phases.first_packet_ms.is_some());
    // The originator greets at once; the responder answers.
    let confirmed = phases.first_byte_ms.unwrap() - phases.established_ms.unwrap();
    assert!((confirmed - 20.4).abs() < 1e-3, "{confirmed} ms");
}
