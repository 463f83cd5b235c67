//! All orders in which the first deliveries of an attempt may happen, with a few faults.
//!
//! From the request on everything that is in flight may be the next to arrive: each packet that
//! has left a router, and the first document of each stream between a peer and the broker. No time
//! goes by meanwhile. Where nothing is in flight, time goes on to the next deadline. A *schedule*
//! is one way through these choices. After the deliveries that were asked for everything takes its
//! usual course, and the run is judged as every run is.
//!
//! Two schedules that lead to the same state of all machines have the same continuation, which is
//! made once. Hosts cannot be copied, so each schedule is made from the start.

mod cells;
pub(crate) mod script;
pub(crate) mod walk;

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use simopen_protocol::technique::Technique;
use simopen_scenario::cell::Cell;
use simopen_scenario::network::Network;
use simopen_scenario::run::Outcome;

pub use self::cells::ExploreSpec;
pub use self::script::{BadChoice, Choice, Script};
use self::walk::{Limits, Phase, Walk};
use crate::trial::{Carriage, Detail, Run, Trial, Violation};

/// Bytes each way, before the broker is cut off and after: they prove the connection, and each
/// schedule pays for them.
const BYTES: [usize; 2] = [64, 16];

/// What is explored.
#[derive(Debug, Clone)]
pub struct Exploration {
    /// What is tried. Its documents are carried by [`Carriage::Streams`].
    pub trial: Trial,
    /// Deliveries, from the request on, whose order is chosen.
    pub deliveries: u32,
    /// Faults in one schedule at most.
    pub faults: u32,
    /// Whether schedules are left as soon as they lead to a known state.
    pub prunes: bool,
}

/// What came of an exploration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explored {
    /// Schedules that were made to their end.
    pub explored: u64,
    /// Schedules that led to a state from which another one had gone on.
    pub pruned: u64,
    /// Schedules that connected, and carried bytes without the broker.
    pub connected: u64,
    /// Schedules that did not, by their cause.
    pub failed: BTreeMap<String, u64>,
    /// States of all machines in which something was to be chosen.
    pub states: u64,
    /// What must never happen and did.
    pub breaches: Vec<Breach>,
    /// Whether nothing is left to be made.
    pub complete: bool,
}

/// A schedule in which something happened that must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// What was chosen.
    pub script: Script,
    /// What happened.
    pub violations: Vec<Violation>,
}

impl Exploration {
    /// The first eight deliveries of a technique, with two faults.
    #[must_use]
    pub const fn new(technique: Technique) -> Self {
        Self::of(Trial::new(technique))
    }

    /// The same of what a cell of a matrix tries. `None` where that is somebody else's program.
    #[must_use]
    pub fn of_cell(cell: &Cell) -> Option<Self> {
        Trial::of_cell(cell).map(Self::of)
    }

    const fn of(mut trial: Trial) -> Self {
        trial.carriage = Carriage::Streams;
        // Less would leave the journal unread, from which some rules are judged.
        trial.detail = Detail::Record;
        [trial.bytes, trial.bytes_after_cut] = BYTES;
        Self { trial, deliveries: 8, faults: 2, prunes: true }
    }

    /// Makes all schedules in a network. `visit` is shown each as it ends, and may break off: what
    /// was chosen and what came of it, nothing where its continuation is known.
    ///
    /// # Panics
    ///
    /// If the network lacks one of the three hosts, or one of them has no address.
    pub fn explore(
        &self,
        network: &Network,
        seed: u64,
        visit: &mut dyn FnMut(&Script, Option<&Run>) -> ControlFlow<()>,
    ) -> Explored {
        let walk = Rc::new(RefCell::new(Walk::new(self.limits(), self.prunes)));
        let mut explored = Explored::default();
        loop {
            let made = self.make(network, seed, &walk);
            let script = Script(walk.borrow().choices());
            let ending = match &made {
                Ok(_) if walk.borrow().phase() == Phase::Known => Ending::Known,
                Ok(run) => Ending::Made(run),
                Err(_) => Ending::Panicked,
            };
            let next = visit(&script, ending.run());
            explored.count(ending);
            let violations =
                made.map_or_else(|panic| vec![panicked(&*panic)], |run| run.violations);
            if !violations.is_empty() {
                explored.breaches.push(Breach { script, violations });
            }
            explored.complete = !walk.borrow_mut().turn();
            explored.states = walk.borrow().states();
            if explored.complete || next.is_break() {
                return explored;
            }
        }
    }

    /// Makes the one schedule that is written down in `script`, and tells all of it. Where the
    /// script ends before its deliveries are used up, what was sent first arrives first.
    ///
    /// # Panics
    ///
    /// As [`Self::explore`] does, and where a machine does.
    #[must_use]
    pub fn replay(&self, network: &Network, seed: u64, script: &Script) -> Run {
        let walk = Walk::along(script.0.clone(), self.limits());
        let trial = Trial { detail: Detail::Trace, ..self.trial.clone() };
        trial.make_along(network.clone(), seed, &Rc::new(RefCell::new(walk)))
    }

    /// Makes one schedule, or says with what words a machine panicked.
    fn make(
        &self,
        network: &Network,
        seed: u64,
        walk: &Rc<RefCell<Walk>>,
    ) -> Result<Run, Box<dyn Any + Send>> {
        let make = || self.trial.make_along(network.clone(), seed, walk);
        catch_unwind(AssertUnwindSafe(make))
    }

    const fn limits(&self) -> Limits {
        Limits { deliveries: self.deliveries, faults: self.faults }
    }
}

/// How a schedule ended.
#[derive(Debug, Clone, Copy)]
enum Ending<'run> {
    Made(&'run Run),
    /// Its continuation is known.
    Known,
    Panicked,
}

impl<'run> Ending<'run> {
    const fn run(self) -> Option<&'run Run> {
        match self {
            Self::Made(run) => Some(run),
            Self::Known | Self::Panicked => None,
        }
    }
}

impl Explored {
    fn count(&mut self, ending: Ending<'_>) {
        let run = match ending {
            Ending::Known => return self.pruned += 1,
            Ending::Panicked => return self.explored += 1,
            Ending::Made(run) => run,
        };
        self.explored += 1;
        let cause = match &run.record.outcome {
            _ if run.record.is_success() => return self.connected += 1,
            Outcome::Failed { cause, .. } => cause,
            // It was confirmed, but no bytes went without the broker.
            Outcome::Connected | Outcome::Relayed | _ => "not-direct",
        };
        *self.failed.entry(cause.to_owned()).or_default() += 1;
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Violation {
    let words = payload.downcast_ref::<String>().cloned();
    let words = words.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Violation { rule: "no machine panics", words: words.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use simopen_packet::Timestamp;
    use simopen_protocol::technique::Technique;
    use simopen_scenario::seed::entropy_of;
    use simopen_scenario::star::Star;

    use super::*;

    fn network(preset: &str) -> Network {
        let spec = simopen_nat::Preset::named(preset).map(|preset| preset.spec);
        let star =
            Star { boxes: [spec; 2], ..Star::with_leg(std::time::Duration::from_millis(10)) };
        star.network(&entropy_of(1), Timestamp::ZERO).unwrap()
    }

    /// All schedules of an exploration that prunes nothing: from which state each was left to its
    /// course, and what came of it.
    fn ends(exploration: &Exploration, network: &Network) -> Vec<(u64, String)> {
        let walk = Rc::new(RefCell::new(Walk::new(exploration.limits(), false)));
        let mut ends = Vec::new();
        loop {
            let run = exploration.trial.make_along(network.clone(), 1, &walk);
            if let Some(state) = walk.borrow().released_from() {
                ends.push((state, format!("{:?} {:?}", run.record.outcome, run.record.direct)));
            }
            if !walk.borrow_mut().turn() {
                return ends;
            }
        }
    }

    #[test]
    fn schedules_that_lead_to_one_state_come_out_alike() {
        for technique in Technique::WITHOUT_RELAY {
            let network = network("rst-answering");
            let exploration =
                Exploration { deliveries: 6, faults: 1, ..Exploration::new(technique) };
            let ends = ends(&exploration, &network);
            let mut by_state = BTreeMap::new();
            for (state, end) in &ends {
                assert_eq!(by_state.entry(state).or_insert(end), &end, "{technique}");
            }
            let pruned = exploration.explore(&network, 1, &mut |_, _| ControlFlow::Continue(()));
            assert!(pruned.explored >= by_state.len() as u64, "{technique}");
            println!(
                "{technique}: {} schedules, {} states, {pruned:?}",
                ends.len(),
                by_state.len()
            );
        }
    }
}
