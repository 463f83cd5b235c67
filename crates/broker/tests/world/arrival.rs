//! The arrival law, each clause broken once: what comes too early, and what that costs.

use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_fabric::{Happening, PacketKind, Place};
use simopen_nat::DropReason;
use simopen_protocol::cause::Cause;

use crate::network::Nat;
use crate::opening::{USERSPACE, assert_connected, causes, experiment, ms};
use crate::world::{Experiment, Report, run};

/// Nothing is waited for, and the originator hears of the acceptance long after its forged packet
/// has come.
fn hasty(boxes: [Nat; 2]) -> Experiment {
    Experiment {
        arrival: ArrivalConfig { turn_round: Duration::ZERO, jitter: Duration::ZERO },
        late_words: [ms(40), Duration::ZERO],
        ..experiment(USERSPACE, boxes)
    }
}

fn resets_from_boxes(report: &Report) -> usize {
    let is_reset = |event: &&simopen_fabric::FabricEvent| {
        event.what == Happening::Emitted
            && matches!(event.place, Place::Node(_))
            && event.packet.is_some_and(|packet| packet.kind == PacketKind::Rst)
    };
    report.journal.iter().filter(is_reset).count()
}

#[test]
fn a_forged_packet_before_its_syn_kills_the_other_side_through_an_rst_box() {
    let report = run(hasty([Nat::Resetting; 2]));
    assert!(!report.is_connected());
    let why = report.dropped_by_box(0);
    assert!(why.contains(&DropReason::SynAckWithoutSyn), "{why:?}");
    assert!(resets_from_boxes(&report) > 0);
    assert!(report.established[1].is_some(), "the other side had come to stand");
    assert_eq!(causes(&report), [Some(Cause::Reset); 2], "{}", report.trace.join("\n"));
}

#[test]
fn a_forged_packet_before_its_syn_is_lost_on_a_silent_box_and_the_retransmission_heals_it() {
    let report = run(hasty([Nat::Silent; 2]));
    assert_connected(&report);
    assert!(report.dropped_by_box(0).contains(&DropReason::SynAckWithoutSyn));
    assert_eq!(resets_from_boxes(&report), 0);
    assert_eq!((report.syns, report.forged), ([2, 1], 3), "a repeat for a new report");
    let [a, b] = report.established.map(Option::unwrap);
    assert!(a > ms(1000) && b < ms(250), "{a:?}, {b:?}");
}

#[test]
fn the_same_acknowledgement_a_little_late_is_what_the_turn_round_is_for() {
    for (late, in_time) in [(4, true), (5, true), (8, false)] {
        let late_words = [ms(late), Duration::ZERO];
        let report = run(Experiment { late_words, ..experiment(USERSPACE, [Nat::Resetting; 2]) });
        assert_eq!(report.is_connected(), in_time, "{late} ms");
        let early = report.dropped_by_box(0).contains(&DropReason::SynAckWithoutSyn);
        assert_eq!(early, !in_time);
    }
}

#[test]
fn a_side_that_hears_late_of_the_request_costs_time_and_nothing_else() {
    // The responder's SYN is what its acceptance carries, so nothing is forged before it has left.
    let late_words = [Duration::ZERO, ms(400)];
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        let report = run(Experiment { late_words, ..experiment(USERSPACE, boxes) });
        assert_connected(&report);
        assert_eq!((report.syns, report.forged), ([1, 1], 2));
    }
}

/// The responder's SYN leaves so late that the originator stands and speaks before.
fn spoken_to_too_early(boxes: [Nat; 2]) -> Experiment {
    Experiment { late_syns: [Duration::ZERO, ms(300)], ..experiment(USERSPACE, boxes) }
}

#[test]
fn the_first_data_before_the_other_sides_syn_kill_the_originator_through_an_rst_box() {
    let report = run(spoken_to_too_early([Nat::Resetting; 2]));
    assert!(report.established[0].is_some());
    let why = report.dropped_by_box(1);
    assert!(why.contains(&DropReason::SynAckWithoutSyn), "{why:?}");
    assert!(resets_from_boxes(&report) > 0);
    assert_eq!(causes(&report), [Some(Cause::Reset); 2]);
}

#[test]
fn the_first_data_before_the_other_sides_syn_are_late_through_a_silent_box() {
    let report = run(spoken_to_too_early([Nat::Silent; 2]));
    assert_connected(&report);
    assert_eq!(resets_from_boxes(&report), 0);
    assert!(report.dropped_by_box(1).len() >= 2, "the forged packet and the data");
    assert!(report.first_byte[1].unwrap() > ms(1000), "K17: a retransmission late at least");
}

#[test]
fn the_low_ttl_keeps_syns_away_from_the_other_box() {
    let report = run(experiment(USERSPACE, [Nat::Resetting; 2]));
    assert_connected(&report);
    assert_eq!(report.dropped_by_box(0), []);
    assert_eq!(report.dropped_by_box(1), []);
    let exceeded = report.journal.iter().filter(|event| event.what == Happening::TtlExceeded);
    assert_eq!(exceeded.count(), 2);
}

#[test]
fn broken_laws_are_broken_alike_each_time() {
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        for broken in [hasty(boxes), spoken_to_too_early(boxes)] {
            assert_eq!(run(broken).trace, run(broken).trace);
        }
    }
}
