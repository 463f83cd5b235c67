//! Documents by streams beside the network.

use simopen_scenario::cell::Cell;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix::{boxes, ways};
use simopen_scenario::run::Outcome;
use simopen_sim::{Carriage, Detail, Run};

use crate::field::{LEG, run, run_with};

/// Why it failed, if it did.
fn cause(run: &Run) -> Option<&str> {
    match &run.record.outcome {
        Outcome::Failed { cause, .. } => Some(cause),
        Outcome::Connected | _ => None,
    }
}

#[test]
fn streams_beside_the_network_change_neither_outcome_nor_times() {
    let cells = Cell::of_matrix(&boxes(), &ways(), Conditions::with_leg(LEG));
    for (number, cell) in cells.iter().enumerate() {
        let seed = number as u64;
        let bytes = run(cell, seed);
        let streams = run_with(cell, seed, |trial| trial.carriage = Carriage::Streams);
        let [a, b] = &cell.boxes;
        let label = format!("{} {} {}", cell.way, a.name, b.name);
        assert_eq!(streams.violations, [], "{label}");
        // What arrives at one moment may arrive in another order, so the words may differ.
        assert_eq!(cause(&streams), cause(&bytes), "{label}");
        let times = |run: &Run| {
            let phases = run.record.phases;
            (phases.gather_ms, phases.signal_ms, phases.established_ms, phases.first_byte_ms)
        };
        assert_eq!(times(&streams), times(&bytes), "{label}");
    }
}

#[test]
fn a_trace_says_that_documents_go_beside_the_network() {
    let cells = Cell::of_matrix(&boxes()[..1], &ways()[..1], Conditions::with_leg(LEG));
    let told = |carriage| {
        let run = run_with(&cells[0], 1, |trial| {
            trial.carriage = carriage;
            trial.detail = Detail::Trace;
        });
        run.trace.iter().any(|line| line.contains("carries documents beside the network"))
    };
    assert!(told(Carriage::Streams) && !told(Carriage::Bytes));
}
