//! The default matrix against what must come of it.

use simopen_scenario::cell::Cell;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix::{boxes, ways};
use simopen_scenario::oracle::predict;
use simopen_scenario::prediction::Expect;

use crate::field::{LEG, run};

/// What is wrong with a run of this cell, if anything.
fn objection(cell: &Cell, seed: u64) -> Option<String> {
    let specs = cell.boxes.each_ref().map(|placed| &placed.spec);
    let prediction = predict(specs, &cell.way, cell.forging, &cell.conditions)?;
    let run = run(cell, seed);
    let fits = match prediction.expect {
        Expect::MustSucceed => run.record.is_success(),
        Expect::MustFail => !run.record.is_success(),
        Expect::Probability { .. } => true,
    };
    if fits && run.violations.is_empty() {
        return None;
    }
    let [a, b] = &cell.boxes;
    let withheld = if cell.forging { "" } else { " withheld" };
    Some(format!(
        "{} {withheld} {} {}, seed {seed}: {:?} direct {:?} but {:?} ({}); {:?}",
        cell.way,
        a.name,
        b.name,
        run.record.outcome,
        run.record.direct,
        prediction.expect,
        prediction.why,
        run.violations
    ))
}

#[test]
fn every_cell_of_the_default_matrix_ends_as_it_must_and_breaks_no_rule() {
    let cells = Cell::of_matrix(&boxes(), &ways(), Conditions::with_leg(LEG));
    let objections: Vec<String> = cells
        .iter()
        .enumerate()
        .filter_map(|(number, cell)| objection(cell, number as u64))
        .collect();
    assert!(
        objections.is_empty(),
        "{} of {}:\n{}",
        objections.len(),
        cells.len(),
        objections.join("\n")
    );
}
