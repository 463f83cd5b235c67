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

pub(crate) mod script;
pub(crate) mod walk;

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use simopen_protocol::technique::Technique;
use simopen_scenario::network::Network;
use simopen_scenario::run::Outcome;

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
        let mut trial = Trial::new(technique);
        trial.carriage = Carriage::Streams;
        trial.detail = Detail::Outcome;
        [trial.bytes, trial.bytes_after_cut] = BYTES;
        Self { trial, deliveries: 8, faults: 2 }
    }

    /// Makes all schedules in a network. `visit` is shown each as it ends: what was chosen and
    /// what came of it, nothing where its continuation is known.
    ///
    /// # Panics
    ///
    /// If the network lacks one of the three hosts, or one of them has no address.
    pub fn explore(
        &self,
        network: &Network,
        seed: u64,
        visit: &mut dyn FnMut(&Script, Option<&Run>),
    ) -> Explored {
        let walk = Rc::new(RefCell::new(Walk::new(self.limits())));
        let mut explored = Explored::default();
        loop {
            let made = self.make(network, seed, &walk);
            let script = Script(walk.borrow().choices());
            let is_known = walk.borrow().phase() == Phase::Known;
            let violations = match &made {
                Ok(run) => run.violations.clone(),
                Err(panic) => vec![panicked(panic.as_ref())],
            };
            if is_known {
                explored.pruned += 1;
                visit(&script, None);
            } else {
                explored.explored += 1;
                if let Ok(run) = &made {
                    explored.count(run);
                    visit(&script, Some(run));
                }
            }
            if !violations.is_empty() {
                explored.breaches.push(Breach { script, violations });
            }
            if !walk.borrow_mut().turn() {
                explored.states = walk.borrow().states() as u64;
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
        let walk = Rc::new(RefCell::new(Walk::along(script.0.clone(), self.limits())));
        let trial = Trial { detail: Detail::Trace, ..self.trial.clone() };
        trial.make_along(network.clone(), seed, &walk)
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

impl Explored {
    fn count(&mut self, run: &Run) {
        match &run.record.outcome {
            Outcome::Connected if run.record.direct == Some(true) => self.connected += 1,
            Outcome::Failed { cause, .. } => self.count_failure(cause),
            // Connected, but no bytes went without the broker; or one of a newer version.
            Outcome::Connected | _ => self.count_failure("not-direct"),
        }
    }

    fn count_failure(&mut self, cause: &str) {
        *self.failed.entry(cause.to_owned()).or_default() += 1;
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Violation {
    let words = payload.downcast_ref::<String>().cloned();
    let words = words.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Violation { rule: "no machine panics", words: words.unwrap_or_default() }
}
