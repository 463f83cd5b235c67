//! The law, each clause broken once: what comes too early, and what that costs.

use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_protocol::cause::Cause;
use simopen_sim::Slowness;

use crate::experiment::Experiment;
use crate::network::Nat;
use crate::opening::{USERSPACE, experiment, ms};

fn slow_to_hear(late: Duration) -> Slowness {
    Slowness { to_hear: late, ..Slowness::default() }
}

/// Nothing is waited for, and the originator hears of the acceptance long after its forged packet
/// has come.
fn hasty(boxes: [Nat; 2]) -> Experiment {
    Experiment {
        arrival: ArrivalConfig { turn_round: Duration::ZERO, jitter: Duration::ZERO },
        slowness: [slow_to_hear(ms(40)), Slowness::default()],
        ..experiment(USERSPACE, boxes)
    }
}

#[test]
fn a_forged_packet_before_its_syn_kills_the_other_side_through_an_rst_box() {
    let report = hasty([Nat::Resetting; 2]).run();
    assert!(!report.is_connected());
    assert!(report.was_too_early(0), "{:?}", report.dropped_by_box(0));
    assert!(report.resets_from_boxes() > 0);
    assert!(report.established[1].is_some(), "the other side had come to stand");
    assert_eq!(report.causes, [Some(Cause::Reset); 2], "{}", report.trace.join("\n"));
}

#[test]
fn a_forged_packet_before_its_syn_is_lost_on_a_silent_box_and_the_retransmission_heals_it() {
    let report = hasty([Nat::Silent; 2]).run();
    report.assert_connected();
    assert!(report.was_too_early(0));
    assert_eq!(report.resets_from_boxes(), 0);
    assert_eq!((report.syns, report.forged), ([2, 1], 3), "a repeat for a new report");
    let [a, b] = report.established.map(Option::unwrap);
    assert!(a > ms(1000) && b < ms(250), "{a:?}, {b:?}");
}

#[test]
fn the_same_acknowledgement_a_little_late_is_what_the_turn_round_is_for() {
    for (late, in_time) in [(4, true), (5, true), (8, false)] {
        let slowness = [slow_to_hear(ms(late)), Slowness::default()];
        let report = Experiment { slowness, ..experiment(USERSPACE, [Nat::Resetting; 2]) }.run();
        assert_eq!(report.is_connected(), in_time, "{late} ms");
        assert_eq!(report.was_too_early(0), !in_time);
    }
}

#[test]
fn a_side_that_hears_late_of_the_request_costs_time_and_nothing_else() {
    // The responder's SYN is what its acceptance carries, so nothing is forged before it has left.
    let slowness = [Slowness::default(), slow_to_hear(ms(400))];
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        let report = Experiment { slowness, ..experiment(USERSPACE, boxes) }.run();
        report.assert_connected();
        assert_eq!((report.syns, report.forged), ([1, 1], 2));
    }
}

/// The responder's SYN leaves so late that the originator stands and speaks before.
fn spoken_to_too_early(boxes: [Nat; 2]) -> Experiment {
    let late = Slowness { to_send: ms(300), ..Slowness::default() };
    Experiment { slowness: [Slowness::default(), late], ..experiment(USERSPACE, boxes) }
}

#[test]
fn the_first_data_before_the_other_sides_syn_kill_the_originator_through_an_rst_box() {
    let report = spoken_to_too_early([Nat::Resetting; 2]).run();
    assert!(report.established[0].is_some());
    assert!(report.was_too_early(1), "{:?}", report.dropped_by_box(1));
    assert!(report.resets_from_boxes() > 0);
    assert_eq!(report.causes, [Some(Cause::Reset); 2]);
}

#[test]
fn the_first_data_before_the_other_sides_syn_are_late_through_a_silent_box() {
    let report = spoken_to_too_early([Nat::Silent; 2]).run();
    report.assert_connected();
    assert_eq!(report.resets_from_boxes(), 0);
    assert!(report.dropped_by_box(1).len() >= 2, "the forged packet and the data");
    assert!(report.first_byte[1].unwrap() > ms(1000), "K17: a retransmission late at least");
}

#[test]
fn the_low_ttl_keeps_syns_away_from_the_other_box() {
    let report = experiment(USERSPACE, [Nat::Resetting; 2]).run();
    report.assert_connected();
    assert!(report.dropped_by_box(0).is_empty(), "{:?}", report.dropped_by_box(0));
    assert!(report.dropped_by_box(1).is_empty(), "{:?}", report.dropped_by_box(1));
    assert_eq!(report.expired(), 2);
}

#[test]
fn broken_laws_are_broken_alike_each_time() {
    for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
        for broken in [hasty(boxes), spoken_to_too_early(boxes)] {
            assert_eq!(broken.run().trace, broken.run().trace);
        }
    }
}
