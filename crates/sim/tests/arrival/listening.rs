//! What a kernel opens by itself: a listener, a hole for a listener, and SYNs that die on the way.

use std::time::Duration;

use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Technique;

use crate::experiment::{Experiment, Report};
use crate::network::Nat;
use crate::opening::{experiment, ms};

const DIRECT: Technique = Technique::Direct;
const PUNCH: Technique = Technique::PunchAndListen;
const LOW_TTL: Technique = Technique::SimultaneousOpenLowTtl;

/// The originator has dialled twice before silence means anything, and nobody waits for long.
#[track_caller]
fn assert_silence(report: &Report) {
    assert_eq!(report.causes, [Some(Cause::NoAnswer); 2], "{}", report.trace.join("\n"));
    assert!(report.syns[0] >= 2, "{:?}", report.syns);
    assert!(report.failed.unwrap() < Duration::from_secs(5), "{:?}", report.failed);
}

#[test]
fn a_direct_dial_comes_in_where_filtering_is_endpoint_independent() {
    for originator in [Nat::Silent, Nat::Resetting, Nat::Admitting, Nat::EndpointIndependent] {
        let report = experiment(DIRECT, [originator, Nat::EndpointIndependent]).run();
        report.assert_connected();
        assert_eq!((report.syns, report.forged), ([1, 0], 0));
    }
}

#[test]
fn a_direct_dial_fails_where_the_responders_box_filters() {
    for responder in [Nat::Silent, Nat::Admitting, Nat::Liberal, Nat::AddressDependent] {
        assert_silence(&experiment(DIRECT, [Nat::EndpointIndependent, responder]).run());
    }
    let report = experiment(DIRECT, [Nat::EndpointIndependent, Nat::Resetting]).run();
    assert_eq!(report.causes, [Some(Cause::Refused); 2]);
}

#[test]
fn a_listener_behind_a_punched_hole_is_reached_where_nobody_looks_at_sequence_numbers() {
    for originator in [Nat::Silent, Nat::Admitting, Nat::Liberal] {
        let report = experiment(PUNCH, [originator, Nat::Liberal]).run();
        report.assert_connected();
        assert_eq!((report.syns, report.forged), ([1, 1], 0));
    }
}

#[test]
fn a_punched_hole_is_no_use_where_syns_are_dropped_or_sequence_numbers_looked_at() {
    for responder in [Nat::Silent, Nat::Admitting, Nat::AddressDependent] {
        assert_silence(&experiment(PUNCH, [Nat::Liberal, responder]).run());
    }
}

#[test]
fn low_ttl_opens_both_boxes_before_a_syn_meets_the_other_however_skewed_the_sides_are() {
    let resetting = [Nat::AdmittingResetting; 2];
    for start_skew in [[0, 0], [120, 0], [0, 120], [300, 0], [0, 300]] {
        let start_skew = start_skew.map(ms);
        for (time_exceeded, shielded) in [(true, true), (false, false)] {
            let report = Experiment {
                start_skew,
                time_exceeded,
                shielded,
                ..experiment(LOW_TTL, resetting)
            }
            .run();
            report.assert_connected();
            // The first SYN of each died; the later side is reached before its second is due.
            let syns = start_skew.map(|late| if late.is_zero() { 2 } else { 1 });
            assert_eq!((report.syns, report.forged), (syns, 0));
        }
    }
    let skewed = Experiment {
        start_skew: [ms(120), ms(0)],
        ..experiment(Technique::SimultaneousOpen, resetting)
    };
    assert_eq!(skewed.run().causes, [Some(Cause::Refused); 2], "the usual TTL bears one leg");
}

#[test]
fn time_exceeded_ends_a_low_ttl_dial_that_nothing_shields() {
    let report = experiment(LOW_TTL, [Nat::Admitting; 2]).run();
    assert_eq!(report.causes, [Some(Cause::Unreachable); 2]);
}

#[test]
fn low_ttl_fails_where_bare_syns_are_dropped() {
    let report = Experiment { shielded: true, ..experiment(LOW_TTL, [Nat::Silent; 2]) }.run();
    assert_eq!(report.causes, [Some(Cause::NoAnswer); 2]);
    assert!(report.syns.iter().all(|sent| *sent >= 2), "{:?}", report.syns);
}

#[test]
fn the_same_experiment_has_the_same_trace() {
    for technique in [DIRECT, PUNCH, LOW_TTL] {
        for boxes in [[Nat::Silent; 2], [Nat::Liberal; 2], [Nat::EndpointIndependent; 2]] {
            let [one, other] = [(); 2].map(|()| experiment(technique, boxes).run());
            assert_eq!((one.trace, one.record), (other.trace, other.record));
        }
    }
}
