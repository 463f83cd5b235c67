//! Matrices in virtual time: the same bytes each time, and reports like any other's.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::Way;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::file::Scenario;
use simopen_scenario::report::{html, junit, svg};
use simopen_scenario::result::{Results, Verdict};
use simopen_sim::matrix::{MatrixError, MatrixSpec, Outcome, run};
use simopen_sim::scenario_run::{self, Options, Told};
use simopen_sim::{Carriage, Detail, Stack};

/// Three boxes, and conditions under which chance has a part.
fn spec(seed: u64, jobs: usize) -> MatrixSpec {
    let names = ["apd-mapping-sequential", "rst-answering", "syn-ack-only-firewall"];
    MatrixSpec {
        boxes: names.iter().filter_map(|name| NamedBox::preset(name)).collect(),
        ways: Technique::WITHOUT_RELAY.map(Way::Own).to_vec(),
        runs: 3,
        seed,
        conditions: Conditions {
            jitter: Duration::from_micros(300),
            ..Conditions::with_leg(Duration::from_millis(5))
        },
        stack: Stack::Linux,
        carriage: Carriage::Bytes,
        jobs,
        command: format!("simopen sim matrix --seed {seed}"),
    }
}

fn made(spec: &MatrixSpec) -> Outcome {
    run(spec, &AtomicBool::new(false), &|_| ()).expect("it can be made")
}

#[test]
fn one_seed_gives_the_same_bytes_on_any_number_of_threads_and_another_seed_others() {
    let [one, two, again, other] =
        [(1, 1), (1, 2), (1, 1), (2, 1)].map(|(seed, jobs)| made(&spec(seed, jobs)));

    assert_eq!(one.violations, []);
    let [one, two, again, other] =
        [one, two, again, other].map(|outcome| outcome.results.to_json());
    assert!(one == two, "two threads give other results than one");
    assert!(one == again, "the same seed gives other results");
    assert!(one != other, "another seed gives the same results");
}

#[test]
fn results_are_read_back_and_every_report_is_made_of_them() {
    let results = made(&spec(1, 2)).results;

    assert!(results.complete);
    assert_eq!((results.machine.as_ref(), results.stack.as_deref()), (None, Some("linux")));
    assert!(Results::from_json(&results.to_json()).unwrap() == results);
    let told = "in virtual time between hosts with the TCP of linux";
    assert!(html::page(&results).contains(told));
    assert!(svg::grid(&results).contains(told));
    assert!(junit::document(&results).contains("<testsuite"));
}

#[test]
fn the_first_run_of_either_outcome_is_told_in_full_and_no_other_that_was_foreseen() {
    for cell in made(&spec(1, 2)).results.cells {
        assert!(!matches!(cell.verdict, Verdict::Surprise { .. }), "{:?}", cell.verdict);
        let mut told = [false; 2];
        for run in &cell.runs {
            let is_first = !std::mem::replace(&mut told[usize::from(run.is_success())], true);
            assert_eq!(!run.timeline.is_empty(), is_first, "{}, run {}", cell.cell.way, run.seed);
        }
    }
}

#[test]
fn a_matrix_that_is_broken_off_says_so_and_keeps_what_was_run() {
    let cancel = AtomicBool::new(false);
    let told = Mutex::new(Vec::new());
    let outcome = run(&spec(1, 1), &cancel, &|progress| {
        told.lock().unwrap().push((progress.cell, progress.done));
        cancel.store(progress.cell == 1, Ordering::Relaxed);
    });

    let results = outcome.unwrap().results;
    assert!(!results.complete);
    assert_eq!(results.cells.len(), spec(1, 1).cells().len());
    assert_eq!(*told.lock().unwrap(), [(0, 3), (1, 6)]);
    assert!(results.cells[..2].iter().all(|cell| cell.runs.len() == 3));
    assert!(results.cells[2..].iter().all(|cell| cell.verdict == Verdict::Pending));
}

#[test]
fn a_program_is_refused_by_its_name() {
    let ways = vec![Way::Program("puncher".to_owned())];
    let refused = run(&MatrixSpec { ways, ..spec(1, 1) }, &AtomicBool::new(false), &|_| ());
    assert!(matches!(refused, Err(MatrixError::Program(name)) if name == "puncher"));
}

/// Runs an example, with every line of what happened.
fn example(name: &str, seed: u64) -> Told {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    let text = std::fs::read_to_string(path).expect("the example is there");
    let scenario = Scenario::from_toml(name, &text).expect("the example is sound");
    let options = Options {
        seed,
        runs: None,
        stack: Stack::Linux,
        carriage: Carriage::Bytes,
        detail: Detail::Trace,
        command: String::new(),
    };
    let told = scenario_run::run(&scenario, &options, &AtomicBool::new(false), &|_, _| ());
    told.expect("it can be run")
}

#[test]
fn a_scenario_has_one_trace_for_one_seed() {
    let [one, again, other] = [1, 1, 2].map(|seed| example("reboot-and-readdress.toml", seed));
    let traces = |told: &Told| told.runs.iter().map(|run| run.trace.clone()).collect::<Vec<_>>();
    assert!(traces(&one).iter().all(|trace| !trace.is_empty()));
    assert!(traces(&one) == traces(&again), "the same seed gives another trace");
    assert_eq!(one.all.results.to_json(), again.all.results.to_json());
    assert!(traces(&one) != traces(&other), "another seed gives the same trace");
}

#[test]
fn what_needs_real_hosts_is_left_out_and_named_and_the_rest_is_run() {
    let proxies = example("http-proxy.toml", 1);
    assert_eq!(proxies.left_out.len(), 3, "{:?}", proxies.left_out);
    assert_eq!(proxies.all.results.cells.len(), 2);
    assert!(proxies.all.is_as_expected());

    let program = example("puncher.toml", 1);
    assert_eq!(program.left_out, ["both dial, program:puncher"]);
    assert!(program.runs.is_empty() && program.all.results.cells.is_empty());
}
