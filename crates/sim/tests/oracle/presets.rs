//! All presets, by all techniques.

use std::time::Duration;

use simopen_nat::PRESETS;
use simopen_protocol::technique::Technique;
use simopen_scenario::conditions::Conditions;

use crate::contradiction;
use crate::experiment::Experiment;

fn compare(technique: Technique, forging: bool, conditions: Conditions) {
    let mut contradictions = Vec::new();
    for a in PRESETS {
        for b in PRESETS {
            let boxes = [a.spec, b.spec];
            let experiment = Experiment { technique, boxes, forging, conditions, seed: 1 };
            if let Some(words) = contradiction(&experiment) {
                contradictions.push(format!("{} {} {technique}: {words}", a.name, b.name));
            }
        }
    }
    let count = contradictions.len();
    assert!(contradictions.is_empty(), "{count}, of which the first: {}", contradictions[0]);
}

fn legs(milliseconds: u64) -> Conditions {
    Conditions::with_leg(Duration::from_millis(milliseconds))
}

#[test]
fn every_technique_does_through_every_pair_of_presets_what_the_oracle_says() {
    for technique in Technique::ALL {
        compare(technique, true, legs(5));
    }
}

#[test]
fn so_it_does_where_the_forged_packets_are_withheld() {
    for technique in
        Technique::WITHOUT_RELAY.into_iter().filter(|technique| technique.needs_forging())
    {
        compare(technique, false, legs(20));
    }
}

#[test]
fn so_it_does_where_a_side_is_late() {
    let [early, late] = [Duration::ZERO, Duration::from_millis(150)];
    for technique in Technique::WITHOUT_RELAY {
        compare(technique, true, Conditions { skew_a: late, skew_b: early, ..legs(50) });
        compare(technique, true, Conditions { skew_a: early, skew_b: late, ..legs(50) });
    }
}

#[test]
fn so_it_does_where_the_core_drops_foreign_sources() {
    for technique in Technique::WITHOUT_RELAY {
        compare(technique, true, Conditions { source_validation: true, ..legs(100) });
    }
}
