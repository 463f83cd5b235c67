//! Forged opens over the standard star: where they work, how fast, and where they fail.

use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_fabric::HOST_LINK_DELAY;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::run::Delivered;
use simopen_sim::Slowness;

use crate::experiment::Experiment;
use crate::network::{Distances, Nat};

pub(crate) const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
pub(crate) const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);
const LEG: Duration = Duration::from_millis(50);

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The standard star with legs of 50 ms.
pub(crate) fn experiment(technique: Technique, boxes: [Nat; 2]) -> Experiment {
    Experiment {
        technique,
        distances: Distances::Star([LEG / 2; 3]),
        boxes,
        forging: true,
        arrival: ArrivalConfig::default(),
        slowness: [Slowness::default(); 2],
        start_skew: [Duration::ZERO; 2],
        time_exceeded: true,
        shielded: false,
        measures_paths: true,
    }
}

#[test]
fn committed_syns_open_in_four_legs_and_the_turn_round_on_silent_and_rst_boxes() {
    let ArrivalConfig { turn_round, jitter } = ArrivalConfig::default();
    for boxes in [
        [Nat::Silent; 2],
        [Nat::Resetting; 2],
        [Nat::Silent, Nat::Resetting],
        [Nat::Resetting, Nat::Silent],
    ] {
        let report = experiment(USERSPACE, boxes).run();
        report.assert_connected();
        // Four trips between a host and the broker, each with the link to the own box.
        let legs = 4 * (LEG + HOST_LINK_DELAY);
        let [a, b] = report.established.map(Option::unwrap);
        assert_eq!(b, legs + turn_round);
        assert_eq!(a, legs + turn_round + jitter);
        assert_eq!((report.syns, report.forged), ([1, 1], 2));
        // The originator's first bytes come one leg later, its answer two.
        let across = LEG + 2 * HOST_LINK_DELAY;
        assert_eq!(report.first_byte, [Some(a + 2 * across), Some(a + across)]);
    }
}

#[test]
fn a_kernels_syns_open_in_six_legs_on_silent_boxes() {
    let report = experiment(KERNEL, [Nat::Silent; 2]).run();
    report.assert_connected();
    assert_eq!(report.established, [Some(6 * (LEG + HOST_LINK_DELAY)); 2]);
    assert_eq!((report.syns, report.forged), ([1, 1], 2));
}

#[test]
fn a_kernels_syns_are_refused_on_rst_boxes() {
    let report = experiment(KERNEL, [Nat::Resetting; 2]).run();
    assert_eq!(report.causes, [Some(Cause::Refused); 2]);
}

#[test]
fn each_host_sees_one_syn_ack_from_the_broker_and_no_bare_syn() {
    for technique in [KERNEL, USERSPACE] {
        let report = experiment(technique, [Nat::Silent; 2]).run();
        report.assert_connected();
        let one = Delivered { syns_sent: 1, syns: 0, syn_acks: 1, syn_acks_from_broker: 1 };
        assert_eq!(report.record.delivered, [one; 2]);
    }
}

#[test]
fn a_simultaneous_open_fails_where_bare_syns_are_dropped_and_works_where_they_come_in() {
    let report = experiment(Technique::SimultaneousOpen, [Nat::Admitting; 2]).run();
    report.assert_connected();
    assert_eq!(report.forged, 0);
    let report = experiment(Technique::SimultaneousOpen, [Nat::Silent; 2]).run();
    assert_eq!(report.causes, [Some(Cause::NoAnswer); 2]);
}

#[test]
fn withheld_forging_fails_after_two_syns_of_each_side() {
    for technique in [KERNEL, USERSPACE] {
        let withheld = Experiment { forging: false, ..experiment(technique, [Nat::Silent; 2]) };
        let report = withheld.run();
        assert_eq!(report.causes, [Some(Cause::NoAnswer); 2]);
        assert_eq!(report.forged, 0);
        assert!(report.syns.iter().all(|sent| *sent >= 2), "{:?}", report.syns);
    }
}

#[test]
fn the_same_experiment_has_the_same_trace() {
    for technique in [KERNEL, USERSPACE, Technique::SimultaneousOpen] {
        for forging in [true, false] {
            for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
                let chosen = Experiment { forging, ..experiment(technique, boxes) };
                let [one, other] = [chosen.run(), chosen.run()];
                assert_eq!(one.trace, other.trace);
                assert_eq!(one.record, other.record);
                assert!(one.trace.len() > 10, "{:?}", one.trace);
            }
        }
    }
}
