//! Scenario files on real kernels: each example comes out as it says, proxies and programs included.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use simopen_lab::LabError;
use simopen_lab::cancel::Cancel;
use simopen_lab::scenario_run::{Options, run};
use simopen_netns_tests::{MachineTraces, requires, requires_programs, wait_until_restored};
use simopen_scenario::file::Scenario;
use simopen_scenario::network::Executor;
use simopen_scenario::run::Outcome;
use simopen_scenario::scenario_results::{ScenarioResults, told};

/// Scenarios run one after the other: beside each other they would make each other late.
static ALONE: Mutex<()> = Mutex::new(());

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples")
}

fn read(name: &str) -> Scenario {
    let path = examples().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).expect("the example is there");
    Scenario::from_toml(name, &text).expect("the example is sound")
}

fn run_in(scenario: &Scenario, directory: PathBuf) -> Result<ScenarioResults, LabError> {
    let options = Options {
        executor: Executor::Model,
        seed: 1,
        runs: None,
        captures: None,
        directory,
        command: String::new(),
    };
    run(scenario, &options, &Cancel::never(), &|_, _| {})
}

fn comes_out_as_it_says(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = MachineTraces::now();
    let all = run_in(&read(name), examples()).expect("it can be run");
    assert!(all.is_as_expected(), "{}", told(&all));
    wait_until_restored(&before, MachineTraces::now, name);
}

#[test]
fn two_nats_in_a_row_are_passed_by_what_passes_each() {
    if requires() {
        comes_out_as_it_says("double-nat");
    }
}

#[test]
fn peers_behind_one_nat_meet_where_the_outermost_box_hairpins() {
    if requires() {
        comes_out_as_it_says("same-nat-hairpin");
    }
}

#[test]
fn ipv6_firewalls_are_passed_when_both_sides_dial() {
    if requires() {
        comes_out_as_it_says("ipv6-firewalls");
    }
}

#[test]
fn behind_proxies_nothing_works_but_connect() {
    if requires_programs(&["squid", "tinyproxy"]) {
        comes_out_as_it_says("http-proxy");
    }
}

#[test]
fn a_connection_outlives_a_forgiving_box_and_no_new_address() {
    if requires() {
        comes_out_as_it_says("reboot-and-readdress");
    }
}

#[test]
fn a_puncher_in_python_keeps_to_the_contract() {
    if requires_programs(&["python3"]) {
        comes_out_as_it_says("puncher");
    }
}

/// What is told of a run of the puncher's scenario with a script in its place.
fn failure_of(script: &str, deadline: &str) -> String {
    let path = examples().join("puncher.toml");
    let text = std::fs::read_to_string(path).expect("the example is there");
    let command = format!("[\"sh\", \"-c\", '''{script}''']\ndeadline = \"{deadline}\"");
    let text = text.replace(r#"["python3", "puncher.py"]"#, &command);
    let scenario = Scenario::from_toml("script", &text).expect("the scenario is sound");
    let all = run_in(&scenario, PathBuf::from("/")).expect("it can be run");
    let run = all.results.cells[0].runs.last().expect("there was a run");
    let Outcome::Failed { words, .. } = &run.outcome else { panic!("{:?}", run.outcome) };
    words.clone()
}

#[test]
fn a_program_that_dies_hangs_gives_up_or_babbles_is_a_failed_run_with_that_cause() {
    if !requires() {
        return;
    }
    for (script, told) in [
        ("exit 3", "ended before it was done, exit status: 3"),
        (r#"echo "{\"do\":\"ready\"}"; read line; sleep 100"#, "hangs: its time is over"),
        (r#"echo "{\"do\":\"failed\",\"cause\":\"no luck\"}"; read line; cat"#, "says: no luck"),
        ("echo babble; cat", "a line that breaks the contract"),
        ("head -c 20000 /dev/zero; cat", "a line of more than 16384 bytes"),
        (r#"echo "{\"do\":\"exchanged\",\"sent\":1,\"received\":1}"; cat"#, "bytes of 16384"),
    ] {
        let words = failure_of(script, "1s");
        assert!(words.contains(told), "{script}: {words}");
    }
}
