//! The simulator against real kernels: the same cells in both, which must end alike and take
//! equally long.
//!
//! `SIMOPEN_SIMULATOR_CELLS=all` takes every cell of the default matrix instead of a sample.

use std::time::Duration;

use simopen_lab::cancel::Cancel;
use simopen_lab::matrix::{How, run_schedule};
use simopen_netns_tests::requires;
use simopen_packet::Timestamp;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix;
use simopen_scenario::network::Executor;
use simopen_scenario::result::{CellResult, Kind, Results};
use simopen_scenario::run::RunRecord;
use simopen_scenario::schedule::{Schedule, seed_of};
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_scenario::statistics::quantiles;
use simopen_sim::Trial;

const LEG: Duration = Duration::from_millis(25);
const SEED: u64 = 1;
/// Runs of a cell that connects, for its median, and of one that does not.
const RUNS: [u32; 2] = [5, 1];
/// How far the medians of the two worlds may lie apart.
const APART: f64 = 0.05;
/// The part of a leg that a packet may be late before a run of the lab does not count.
const BOUND: f64 = 0.1;
/// Runs of the lab beside each other: each makes the others late.
const JOBS: usize = 3;

/// For each technique boxes that let it through, the same before both hosts.
const CONNECT: [(Technique, &str); 7] = [
    (Technique::Direct, "no-box"),
    (Technique::SimultaneousOpen, "linux-masquerade-drop-input"),
    (Technique::SimultaneousOpen, "silent-stateful-firewall"),
    (Technique::SimultaneousOpenLowTtl, "rst-answering"),
    (Technique::PunchAndListen, "rfc5382-compliant"),
    (Technique::ForgedSynAck(SynOwner::Kernel), "syn-ack-only-firewall"),
    (Technique::ForgedSynAck(SynOwner::Userspace), "rst-answering"),
];

/// Boxes through which nothing must come.
const FAIL: [(Technique, &str); 3] = [
    (Technique::Direct, "linux-masquerade-drop-input"),
    (Technique::SimultaneousOpen, "syn-ack-only-firewall"),
    (Technique::ForgedSynAck(SynOwner::Kernel), "isn-modulating-pf"),
];

fn sample() -> Vec<Cell> {
    let cell = |(technique, name): (Technique, &str)| {
        let both = NamedBox::preset(name).expect("a preset has that name");
        Cell {
            boxes: [both.clone(), both],
            way: Way::Own(technique),
            forging: true,
            conditions: Conditions::with_leg(LEG),
        }
    };
    CONNECT.into_iter().chain(FAIL).map(cell).collect()
}

fn cells() -> Vec<Cell> {
    if std::env::var("SIMOPEN_SIMULATOR_CELLS").is_ok_and(|cells| cells == "all") {
        let (boxes, ways) = (default_matrix::boxes(), default_matrix::ways());
        return Cell::of_matrix(&boxes, &ways, Conditions::with_leg(LEG));
    }
    sample()
}

/// What came of a cell in one of the worlds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Came {
    successes: usize,
    runs: usize,
    /// The median of *established* over the runs that connected, in milliseconds.
    established_ms: Option<f64>,
}

impl Came {
    fn of(runs: &[RunRecord]) -> Self {
        let connected = || runs.iter().filter(|run| run.is_valid() && run.is_success());
        let mut established: Vec<f64> =
            connected().filter_map(|run| run.phases.established_ms).collect();
        Self {
            successes: connected().count(),
            runs: runs.iter().filter(|run| run.is_valid()).count(),
            established_ms: quantiles(&mut established).map(|quantiles| quantiles.p50),
        }
    }
}

fn simulated(cell: &Cell) -> Came {
    let trial = Trial::of_cell(cell).expect("a technique");
    let star = Star::of_cell(cell, Executor::Model);
    let run = |nth| {
        let seed = seed_of(cell, nth, SEED);
        let network = star.network(&entropy_of(seed), Timestamp::ZERO).expect("a sound star");
        trial.make(network, seed).record
    };
    Came::of(&(0..RUNS[0]).map(run).collect::<Vec<_>>())
}

/// The same cells between kernels.
fn in_lab(cells: Vec<Cell>, runs: u32) -> Vec<CellResult> {
    let schedule =
        Schedule::with_predictions(cells.into_iter().map(|cell| (cell, None)), runs, SEED);
    let how = How { jobs: JOBS, bound: BOUND, ..How::new("a test") };
    let results = Results::new(Kind::Matrix, Executor::Model, SEED, how.command.clone());
    run_schedule(schedule, &how, results, &Cancel::never(), &|_| ()).expect("it can be made").cells
}

/// How the two worlds differ over a cell, if they do.
fn difference(cell: &Cell, simulated: Came, lab: Came) -> Option<String> {
    let [a, b] = &cell.boxes;
    let forging = if cell.forging { "" } else { ", nothing forged" };
    let title = format!("{} / {} / {}{forging}", a.name, b.name, cell.way);
    if lab.runs == 0 {
        return Some(format!("{title}: the machine was too late in every run"));
    }
    if simulated.successes * lab.runs != lab.successes * simulated.runs {
        return Some(format!("{title}: simulated {simulated:?}, between kernels {lab:?}"));
    }
    let (simulated, lab) = (simulated.established_ms?, lab.established_ms?);
    let apart = lab / simulated - 1.0;
    (apart.abs() >= APART).then(|| {
        format!(
            "{title}: established after {simulated:.1} ms simulated and {lab:.1} ms between \
             kernels, {:+.1} %",
            apart * 100.0
        )
    })
}

#[test]
fn cells_end_alike_in_the_simulator_and_between_kernels_and_take_equally_long() {
    if !requires() {
        return;
    }
    let simulated = cells().into_iter().map(|cell| {
        let came = simulated(&cell);
        (cell, came)
    });
    let (connect, fail): (Vec<_>, Vec<_>) = simulated.partition(|(_, came)| came.successes > 0);
    let mut differences = Vec::new();
    for (foretold, runs) in [connect, fail].into_iter().zip(RUNS) {
        let lab = in_lab(foretold.iter().map(|(cell, _)| cell.clone()).collect(), runs);
        let compared = foretold.iter().zip(&lab);
        differences.extend(compared.filter_map(|((cell, simulated), lab)| {
            difference(cell, *simulated, Came::of(&lab.runs))
        }));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_sample_has_what_connects_and_what_fails() {
    let came: Vec<Came> = sample().iter().map(simulated).collect();
    let (connect, fail) = came.split_at(CONNECT.len());
    assert!(connect.iter().all(|came| came.successes == came.runs), "{connect:?}");
    assert!(fail.iter().all(|came| came.successes == 0), "{fail:?}");
}

#[test]
fn worlds_that_end_or_take_otherwise_are_found_out() {
    let cell = &sample()[0];
    let came = |successes, established_ms| Came { successes, runs: 5, established_ms };
    let simulated = came(5, Some(100.0));
    assert_eq!(difference(cell, simulated, came(5, Some(104.9))), None);
    assert_eq!(difference(cell, came(0, None), came(0, None)), None);
    for lab in [came(5, Some(105.1)), came(5, Some(94.9)), came(4, Some(100.0)), came(0, None)] {
        assert!(difference(cell, simulated, lab).is_some(), "{lab:?}");
    }
    let void = Came { successes: 0, runs: 0, established_ms: None };
    assert!(difference(cell, came(0, None), void).is_some());
}
