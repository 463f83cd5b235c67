//! Stars between presets, and the runs made in them.

use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_sim::{Run, Trial};

pub(crate) const LEG: Duration = Duration::from_millis(10);

/// A cell between presets of these names, with legs of 10 ms.
pub(crate) fn cell(technique: Technique, boxes: [&str; 2]) -> Cell {
    Cell {
        boxes: boxes.map(preset),
        way: Way::Own(technique),
        forging: true,
        conditions: Conditions::with_leg(LEG),
    }
}

pub(crate) fn preset(name: &str) -> NamedBox {
    NamedBox::preset(name).unwrap_or_else(|| panic!("no preset is called {name}"))
}

/// Makes a run of a cell, whose trial may be changed before.
pub(crate) fn run_with(cell: &Cell, seed: u64, change: impl FnOnce(&mut Trial)) -> Run {
    let mut trial = Trial::of_cell(cell).expect("a technique of this project");
    change(&mut trial);
    let star = Star::of_cell(cell, Executor::Model);
    let network = star.network(&entropy_of(seed), Timestamp::ZERO).expect("links that can be");
    trial.make(network, seed)
}

pub(crate) fn run(cell: &Cell, seed: u64) -> Run {
    run_with(cell, seed, |_| ())
}
