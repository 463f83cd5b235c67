//! One attempt in a star, as the oracle is asked of it.

use simopen_nat::MiddleboxSpec;
use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_sim::{Run, Trial};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) technique: Technique,
    pub(crate) boxes: [MiddleboxSpec; 2],
    pub(crate) forging: bool,
    pub(crate) conditions: Conditions,
    pub(crate) seed: u64,
}

impl Experiment {
    pub(crate) fn cell(&self) -> Cell {
        let named = |spec| NamedBox { name: "drawn".to_owned(), spec };
        Cell {
            boxes: self.boxes.map(named),
            way: Way::Own(self.technique),
            forging: self.forging,
            conditions: self.conditions,
        }
    }

    /// Makes the attempt in its star, as `by` has it.
    pub(crate) fn run_as(&self, by: impl FnOnce(Trial) -> Trial) -> Run {
        let cell = self.cell();
        let star = Star::of_cell(&cell, Executor::Model);
        let network = star.network(&entropy_of(self.seed), Timestamp::ZERO).unwrap();
        by(Trial::of_cell(&cell).unwrap()).make(network, self.seed)
    }
}
