//! One seed, one trace.

use simopen_protocol::technique::Technique;
use simopen_sim::{Carriage, Detail, Run};

use crate::field::{cell, run_with};

fn traced(technique: Technique, carriage: Carriage, seed: u64) -> Run {
    let mut cell = cell(technique, ["linux-masquerade-drop-input", "rfc5382-compliant"]);
    cell.conditions.jitter = cell.conditions.leg / 10;
    cell.conditions.loss = 0.02;
    run_with(&cell, seed, |trial| {
        trial.detail = Detail::Trace;
        trial.carriage = carriage;
    })
}

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_byte_and_another_seed_is_another_run() {
    for technique in Technique::WITHOUT_RELAY {
        for carriage in [Carriage::Bytes, Carriage::Streams] {
            let [one, again, other] = [1, 1, 2].map(|seed| traced(technique, carriage, seed));
            assert_eq!(one, again, "{technique}, {carriage:?}");
            assert_ne!(one.trace, other.trace, "{technique}, {carriage:?}");
        }
    }
}

#[test]
fn how_much_is_told_of_a_run_changes_nothing_in_it() {
    for technique in Technique::WITHOUT_RELAY {
        let cell = cell(technique, ["syn-ack-only-firewall", "rst-answering"]);
        let told = |detail| run_with(&cell, 3, |trial| trial.detail = detail);
        let [outcome, figures, timeline, trace] =
            [Detail::Outcome, Detail::Record, Detail::Timeline, Detail::Trace].map(told);
        assert_eq!(outcome.record.is_success(), figures.record.is_success(), "{technique}");
        let [first, last] = [&outcome, &figures].map(|run| run.record.phases.established_ms);
        assert_eq!(first, last, "{technique}");
        assert!(figures.record.timeline.is_empty() && figures.record.ladder.is_empty());
        let mut stripped = timeline.record.clone();
        stripped.timeline.clear();
        stripped.ladder.clear();
        assert_eq!(stripped, figures.record, "{technique}");
        assert!(timeline.trace.is_empty() && !timeline.record.timeline.is_empty());
        assert_eq!(trace.record, timeline.record, "{technique}");
    }
}
