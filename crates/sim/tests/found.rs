//! What searches have found: each scenario comes out as its file says, and the oracle contradicts
//! none of them any more.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use simopen_scenario::file::Scenario;
use simopen_scenario::oracle;
use simopen_scenario::prediction::Expect;
use simopen_sim::scenario_run::{Options, Told, run};
use simopen_sim::search::SearchSpec;
use simopen_sim::{Carriage, Detail, Stack};

/// What was found with one seed holds for others.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

fn replayed(scenario: &Scenario, seed: u64) -> Told {
    let options = Options {
        seed,
        runs: None,
        stack: Stack::Linux,
        carriage: Carriage::Bytes,
        detail: Detail::Record,
        command: String::new(),
    };
    run(scenario, &options, &AtomicBool::new(false), &|_, _| {}).unwrap()
}

fn found() -> Vec<(PathBuf, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let scenario = Scenario::from_toml(&path.display().to_string(), &text);
        (path, scenario.unwrap_or_else(|error| panic!("{error}")))
    };
    files.into_iter().map(read).collect()
}

#[test]
fn what_was_found_comes_out_as_its_file_says_and_as_the_oracle_does() {
    let found = found();
    assert!(found.len() >= 11, "{}", found.len());
    for (path, scenario) in found {
        let attempt = &scenario.attempts[0];
        let cell = scenario.cell(attempt, &attempt.ways[0]);
        let boxes = cell.boxes.each_ref().map(|placed| &placed.spec);
        let prediction = oracle::predict(boxes, &cell.way, cell.forging, &cell.conditions);
        let must = match prediction.map(|prediction| prediction.expect) {
            Some(Expect::MustSucceed) => Some(true),
            Some(Expect::MustFail) => Some(false),
            Some(Expect::Probability { .. }) | None => None,
        };
        for seed in SEEDS {
            let told = replayed(&scenario, seed);
            let path = path.display();
            assert!(told.all.is_as_expected(), "{path} with seed {seed}");
            assert_eq!(told.runs[0].violations, [], "{path} with seed {seed}");
            let connected = told.all.results.cells[0].runs[0].is_success();
            assert!(must.is_none_or(|must| must == connected), "{path} with seed {seed}: {must:?}");
        }
    }
}

#[test]
fn the_file_of_an_experiment_comes_out_as_the_experiment_did() {
    let spec = SearchSpec::new(1);
    for nth in 0..60 {
        let experiment = spec.draw(nth);
        let outcome = spec.make(&experiment);

        let text = experiment.scenario("drawn", None).to_toml();
        let told = replayed(&Scenario::from_toml("drawn", &text).unwrap(), experiment.seed);

        let record = &told.all.results.cells[0].runs[0];
        assert_eq!(record.is_success(), outcome.connected, "attempt {nth}\n{text}");
        assert_eq!(told.runs[0].violations, outcome.violations, "attempt {nth}\n{text}");
    }
}
