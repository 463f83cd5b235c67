//! Pairs drawn from a population, each of which tries each technique.
//!
//! Everything about a pair follows from the seed and its number, so what comes of it depends
//! neither on how many threads there are nor on which of them was quicker.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use simopen_fabric::GraphError;
use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::Cell;
use simopen_scenario::network::Executor;
use simopen_scenario::population::{Population, Tally, Tried};
use simopen_scenario::seed::{entropy_of, nth_seed};
use simopen_scenario::star::Star;

use crate::parallel::spread;
use crate::stack::Stack;
use crate::trial::{Carriage, Detail, Run, Trial, Violation};

/// Pairs that a thread takes at once.
const HANDFUL: u32 = 32;

/// What is drawn from, and how.
#[derive(Debug, Clone)]
pub struct PopulationSpec {
    /// What is drawn from.
    pub population: Population,
    /// The techniques that each pair tries.
    pub techniques: Vec<Technique>,
    /// How many pairs are drawn.
    pub pairs: u32,
    /// What all chance follows from.
    pub seed: u64,
    /// Whose TCP the hosts have.
    pub stack: Stack,
    /// What carries control documents.
    pub carriage: Carriage,
    /// How many threads make runs.
    pub jobs: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What each pair came to.
    pub tally: Tally,
    /// What must never happen and did, each with the cell and the seed of its run.
    pub violations: Vec<(Cell, u64, Violation)>,
    /// Whether all pairs were drawn that were asked for.
    pub complete: bool,
}

/// Draws pairs and lets each of them try each technique. Once `cancel` is set no more are drawn.
/// `observer` hears how many pairs are done, from any thread.
///
/// # Errors
///
/// [`GraphError`] for conditions that no link can have.
pub fn run(
    spec: &PopulationSpec,
    cancel: &AtomicBool,
    observer: &(dyn Fn(u32) + Sync),
) -> Result<Outcome, GraphError> {
    let done = AtomicU32::new(0);
    let handfuls = spec.pairs.div_ceil(HANDFUL);
    let made = spread(spec.jobs, handfuls as usize, &|handful| {
        let first = u32::try_from(handful).unwrap_or(u32::MAX).saturating_mul(HANDFUL);
        let last = first.saturating_add(HANDFUL).min(spec.pairs);
        let mut outcome = spec.nothing();
        for nth in first..last {
            if cancel.load(Ordering::Relaxed) {
                outcome.complete = false;
                break;
            }
            spec.try_pair(nth, &mut outcome)?;
        }
        observer(done.fetch_add(last - first, Ordering::Relaxed) + last - first);
        Ok(outcome)
    });
    let mut whole = spec.nothing();
    for part in made {
        let part: Outcome = part?;
        whole.tally.merge(part.tally);
        whole.violations.extend(part.violations);
        whole.complete &= part.complete;
    }
    Ok(whole)
}

impl PopulationSpec {
    fn nothing(&self) -> Outcome {
        Outcome { tally: Tally::new(&self.techniques), violations: Vec::new(), complete: true }
    }

    /// Draws a pair and lets it try each technique.
    fn try_pair(&self, nth: u32, outcome: &mut Outcome) -> Result<(), GraphError> {
        let seed = nth_seed(self.seed, nth.into());
        let pair = self.population.draw(seed);
        let mut tried = Vec::with_capacity(outcome.tally.techniques().len());
        for technique in outcome.tally.techniques().to_vec() {
            let cell = self.population.cell(pair, technique);
            let run = self.try_once(&cell, seed)?;
            tried.push(Tried::from(&run.record));
            for violation in run.violations {
                outcome.tally.add_violation(violation.rule.to_owned());
                outcome.violations.push((cell.clone(), seed, violation));
            }
        }
        outcome.tally.add(pair, &tried);
        Ok(())
    }

    fn try_once(&self, cell: &Cell, seed: u64) -> Result<Run, GraphError> {
        let star = Star::of_cell(cell, Executor::Model);
        let network = star.network(&entropy_of(seed), Timestamp::ZERO)?;
        let trial = Trial::of_cell(cell).expect("a population tries techniques, no programs");
        let (stack, carriage) = (self.stack, self.carriage);
        let trial = Trial { stack, carriage, detail: Detail::Outcome, ..trial };
        Ok(trial.make(network, seed))
    }
}
