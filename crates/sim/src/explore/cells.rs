//! Several explorations at once: each technique between each two boxes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix;
use simopen_scenario::network::{Executor, Network};
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;

use super::{Exploration, Explored, Script};
use crate::parallel::spread;
use crate::trial::Run;

/// What is explored.
#[derive(Debug, Clone, PartialEq)]
pub struct ExploreSpec {
    /// The techniques.
    pub techniques: Vec<Technique>,
    /// The boxes: each two of them, and each before both.
    pub boxes: Vec<NamedBox>,
    /// Deliveries whose order is chosen.
    pub deliveries: u32,
    /// Faults in one schedule at most.
    pub faults: u32,
    /// From what all chance follows.
    pub seed: u64,
    /// Threads.
    pub jobs: usize,
}

impl ExploreSpec {
    /// Each technique between each two boxes, and each box before both.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let ways: Vec<_> = self.techniques.iter().copied().map(Way::Own).collect();
        let mut cells =
            Cell::of_matrix(&self.boxes, &ways, Conditions::with_leg(default_matrix::LEG));
        // Where nothing is forged nothing is to be found that the others do not show.
        cells.retain(|cell| cell.forging);
        cells
    }

    /// Explores everything. `progress` hears of each cell that is done. Where `cancel` is set
    /// what was begun is left as it is.
    #[must_use]
    pub fn explore(
        &self,
        cancel: &AtomicBool,
        progress: &(dyn Fn(&Cell, &Explored) + Sync),
    ) -> Vec<(Cell, Explored)> {
        let cells = self.cells();
        let explored = spread(self.jobs, cells.len(), &|number| {
            let cell = &cells[number];
            let (exploration, network) = self.of_cell(cell)?;
            let explored = exploration.explore(&network, self.seed, &mut |_, _| {
                if cancel.load(Ordering::Relaxed) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            progress(cell, &explored);
            Some(explored)
        });
        let both = cells.into_iter().zip(explored);
        both.filter_map(|(cell, explored)| Some((cell, explored?))).collect()
    }

    /// Makes one schedule of one cell, and tells all of it; `None` for a program's cell.
    #[must_use]
    pub fn replay(&self, cell: &Cell, script: &Script) -> Option<Run> {
        let (exploration, network) = self.of_cell(cell)?;
        Some(exploration.replay(&network, self.seed, script))
    }

    fn of_cell(&self, cell: &Cell) -> Option<(Exploration, Network)> {
        let exploration = Exploration {
            deliveries: self.deliveries,
            faults: self.faults,
            ..Exploration::of_cell(cell)?
        };
        let star = Star::of_cell(cell, Executor::Model);
        let network = star.network(&entropy_of(self.seed), Timestamp::ZERO).ok()?;
        Some((exploration, network))
    }
}
