//! Networks from files: boxes behind boxes, and networks that change in mid-attempt.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use simopen_scenario::file::Scenario;
use simopen_sim::scenario_run::{Options, run};
use simopen_sim::{Carriage, Detail, Stack};

#[track_caller]
fn assert_as_its_file_expects(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    let text = std::fs::read_to_string(path).expect("an example");
    let scenario = Scenario::from_toml(name, &text).expect("a proper file");
    let options = Options {
        seed: 1,
        runs: Some(2),
        stack: Stack::Linux,
        carriage: Carriage::Bytes,
        detail: Detail::Timeline,
        command: String::new(),
    };
    let told = run(&scenario, &options, &AtomicBool::new(false), &|_, _| ());
    let told = told.expect("a network that can be");
    for one in &told.runs {
        assert_eq!(one.violations, [], "{name}: {}", one.label);
    }
    let verdicts = || told.all.results.cells.iter().map(|cell| &cell.verdict).collect::<Vec<_>>();
    assert!(told.all.is_as_expected(), "{name}: {:?}", verdicts());
}

#[test]
fn two_boxes_before_one_host_are_passed_as_one() {
    assert_as_its_file_expects("double-nat.toml");
}

#[test]
fn two_hosts_behind_one_box_reach_each_other() {
    assert_as_its_file_expects("same-nat-hairpin.toml");
}

#[test]
fn a_connection_survives_what_leaves_it_its_addresses() {
    assert_as_its_file_expects("reboot-and-readdress.toml");
}
