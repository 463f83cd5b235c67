//! Forged opens over the standard star: where they work, how fast, and where they fail.

use std::time::Duration;

use simopen_broker::Forging;
use simopen_broker::arrival::ArrivalConfig;
use simopen_fabric::{HOST_LINK_DELAY, Happening, Origin, PacketKind};
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_traversal::{AttemptOutcome, Side};

use crate::network::{Distances, Nat};
use crate::world::{Experiment, Report, run};

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
        forging: Forging::Dangerous,
        arrival: ArrivalConfig::default(),
        late_words: [Duration::ZERO; 2],
        late_syns: [Duration::ZERO; 2],
        start_skew: [Duration::ZERO; 2],
        time_exceeded: true,
        shielded: false,
        paths_are_known: true,
    }
}

#[track_caller]
pub(crate) fn assert_connected(report: &Report) {
    assert!(report.is_connected(), "{:?}\n{}", report.outcomes, report.trace.join("\n"));
}

pub(crate) fn causes(report: &Report) -> [Option<Cause>; 2] {
    report.outcomes.map(|outcome| match outcome {
        Some(AttemptOutcome::Failed(failure)) => Some(failure.cause),
        Some(AttemptOutcome::Confirmed) | None => None,
    })
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
        let report = run(experiment(USERSPACE, boxes));
        assert_connected(&report);
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
    let report = run(experiment(KERNEL, [Nat::Silent; 2]));
    assert_connected(&report);
    assert_eq!(report.established, [Some(6 * (LEG + HOST_LINK_DELAY)); 2]);
    assert_eq!((report.syns, report.forged), ([1, 1], 2));
}

#[test]
fn a_kernels_syns_are_refused_on_rst_boxes() {
    let report = run(experiment(KERNEL, [Nat::Resetting; 2]));
    assert_eq!(causes(&report), [Some(Cause::Refused); 2]);
}

#[test]
fn each_host_sees_one_syn_ack_from_the_broker_and_no_bare_syn() {
    for technique in [KERNEL, USERSPACE] {
        let report = run(experiment(technique, [Nat::Silent; 2]));
        assert_connected(&report);
        let delivered = |kind| {
            let of_kind = report.journal.iter().filter(move |event| {
                event.what == Happening::Delivered
                    && event.packet.is_some_and(|packet| packet.kind == kind)
            });
            of_kind.filter_map(|event| event.packet).map(|packet| packet.origin)
        };
        let origins: Vec<_> = delivered(PacketKind::SynAck).collect();
        let [Origin::Port(one), Origin::Port(other)] = origins[..] else { panic!("{origins:?}") };
        assert_eq!([one.number(), other.number()], [2, 2], "port c");
        // The probes' SYNs at the broker are the only ones.
        assert_eq!(delivered(PacketKind::BareSyn).count(), 2);
    }
}

#[test]
fn a_simultaneous_open_fails_where_bare_syns_are_dropped_and_works_where_they_come_in() {
    let report = run(experiment(Technique::SimultaneousOpen, [Nat::Admitting; 2]));
    assert_connected(&report);
    assert_eq!(report.forged, 0);
    let report = run(experiment(Technique::SimultaneousOpen, [Nat::Silent; 2]));
    assert_eq!(causes(&report), [Some(Cause::NoAnswer); 2]);
}

#[test]
fn withheld_forging_fails_after_two_syns_of_each_side() {
    for technique in [KERNEL, USERSPACE] {
        let withheld =
            Experiment { forging: Forging::Withheld, ..experiment(technique, [Nat::Silent; 2]) };
        let report = run(withheld);
        assert_eq!(causes(&report), [Some(Cause::NoAnswer); 2]);
        assert_eq!(report.forged, 0);
        assert!(report.syns.iter().all(|sent| *sent >= 2), "{:?}", report.syns);
        for outcome in report.outcomes {
            let Some(AttemptOutcome::Failed(failure)) = outcome else { panic!() };
            assert!(failure.syns >= 2 && failure.seen_by == Side::Own, "{failure:?}");
        }
    }
}

#[test]
fn forging_that_is_off_is_said_at_once() {
    let off = Experiment { forging: Forging::Off, ..experiment(USERSPACE, [Nat::Silent; 2]) };
    let report = run(off);
    assert_eq!(causes(&report), [Some(Cause::ForgingOff), None]);
    assert_eq!(report.syns, [0, 0]);
}

#[test]
fn the_same_experiment_has_the_same_trace() {
    for technique in [KERNEL, USERSPACE, Technique::SimultaneousOpen] {
        for forging in [Forging::Dangerous, Forging::Withheld] {
            for boxes in [[Nat::Silent; 2], [Nat::Resetting; 2]] {
                let chosen = Experiment { forging, ..experiment(technique, boxes) };
                let [one, other] = [run(chosen), run(chosen)];
                assert_eq!(one.trace, other.trace);
                assert_eq!(one.outcomes, other.outcomes);
                assert!(one.trace.len() > 10, "{:?}", one.trace);
            }
        }
    }
}
