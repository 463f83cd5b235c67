//! Every preset is classified as itself.

use std::time::Duration;

use simopen_nat::{MiddleboxSpec, PRESETS};
use simopen_packet::{Entropy, Timestamp};
use simopen_scenario::classify::axis::Axis;
use simopen_scenario::classify::middlebox_bench::MiddleboxBench;
use simopen_scenario::classify::network_bench::NetworkBench;
use simopen_scenario::classify::{classify, compare};
use simopen_scenario::star::Star;

use crate::mutants::{bench, version_for};

#[test]
fn every_preset_is_classified_as_itself_on_its_own() {
    for preset in PRESETS {
        let found = classify(&mut bench(preset.spec));
        let differences = compare(&found, &preset.spec);
        assert!(differences.is_empty(), "{}: {differences:#?}", preset.name);
    }
}

#[test]
fn what_is_found_does_not_depend_on_chance() {
    for seed in 0..8 {
        for preset in PRESETS {
            let ip = version_for(&preset.spec);
            let mut bench = MiddleboxBench::new(preset.spec, ip, Entropy::new([seed; 32]));
            let differences = compare(&classify(&mut bench), &preset.spec);
            assert!(differences.is_empty(), "{}, {seed}: {differences:#?}", preset.name);
        }
    }
}

#[test]
fn a_nat_is_seen_through_and_through() {
    let preset = PRESETS.iter().find(|preset| preset.name == "rfc5382-compliant").unwrap();
    let unseen = classify(&mut bench(preset.spec)).unseen();
    for axis in [Axis::Role, Axis::Mapping, Axis::Filtering, Axis::PortAllocation, Axis::Tracking] {
        assert!(unseen.iter().all(|unseen| unseen.axis != axis.path()), "{unseen:#?}");
    }
}

#[test]
fn every_preset_is_classified_as_itself_where_it_stands_in_a_network() {
    for preset in PRESETS {
        let mut bench = in_a_star(preset.spec);
        let differences = compare(&classify(&mut bench), &preset.spec);
        assert!(differences.is_empty(), "{}: {differences:#?}", preset.name);
        assert_eq!(bench.bypassed(), 0, "{}", preset.name);
    }
}

/// The box before `a`, and another one before `b`.
fn in_a_star(spec: MiddleboxSpec) -> NetworkBench {
    let star = Star {
        boxes: [Some(spec), Some(MiddleboxSpec::rst_answering())],
        ip: version_for(&spec),
        ..Star::with_leg(Duration::from_millis(10))
    };
    let network = star.network(&Entropy::new([5; 32]), Timestamp::ZERO).expect("a star");
    NetworkBench::new(&network, "box-a", Entropy::new([6; 32])).expect("a bench")
}
