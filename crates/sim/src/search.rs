//! Draws experiments, compares what comes of them with what must, and shrinks what surprises.
//!
//! The nth experiment follows from the seed of the search and n alone, however many threads there
//! are and however long it goes on.

mod axes;
pub mod compare;
mod conduct;
mod dice;
mod draw;
pub mod experiment;
pub mod shrink;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::file::{Expected, Scenario};
use simopen_scenario::oracle::draws_endpoints;

use self::compare::{Compared, Outcome, Surprise, compare};
use self::conduct::conduct;
use self::experiment::Experiment;
use self::shrink::shrink;
use crate::parallel::spread;
use crate::stack::Stack;
use crate::trial::{Carriage, Detail};

/// So many surprises are kept; those beyond are counted.
const MOST_KEPT: usize = 1000;
/// So many of them are shrunk.
const MOST_SHRUNK: usize = 48;

/// What is drawn from, and how it is tried.
#[derive(Debug, Clone)]
pub struct SearchSpec {
    /// What all draws follow from.
    pub seed: u64,
    /// The techniques to draw from; one at least.
    pub techniques: Vec<Technique>,
    /// The boxes to draw from; where there are none, presets, presets with axes turned, and boxes
    /// all of whose axes are drawn.
    pub boxes: Vec<NamedBox>,
    /// Whose TCP the hosts have.
    pub stack: Stack,
    /// What carries control documents.
    pub carriage: Carriage,
    /// How many threads.
    pub jobs: usize,
}

impl SearchSpec {
    /// All techniques between all boxes, on one thread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            techniques: Technique::WITHOUT_RELAY.to_vec(),
            boxes: Vec::new(),
            stack: Stack::Linux,
            carriage: Carriage::Bytes,
            jobs: 1,
        }
    }

    /// The nth experiment.
    #[must_use]
    pub fn draw(&self, nth: u64) -> Experiment {
        draw::draw(self, nth)
    }

    /// Makes an experiment: what comes of it comes of its scenario's file too.
    #[must_use]
    pub fn make(&self, experiment: &Experiment) -> Outcome {
        conduct(experiment, self.stack, self.carriage, Detail::Outcome)
    }
}

/// How far a search has come; may be read from any thread meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    attempts: AtomicU64,
    compared: AtomicU64,
    surprises: AtomicU64,
}

/// A moment of a [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Attempts that were made.
    pub attempts: u64,
    /// Those of which the oracle said what must come, and which were held against it.
    pub compared: u64,
    /// Those that came out otherwise, or broke a rule.
    pub surprises: u64,
}

impl Progress {
    /// What it is now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            attempts: self.attempts.load(Ordering::Relaxed),
            compared: self.compared.load(Ordering::Relaxed),
            surprises: self.surprises.load(Ordering::Relaxed),
        }
    }

    fn count(&self, compared: &Compared) {
        let (definite, surprise) = match compared {
            Compared::AsForetold => (1, 0),
            Compared::Unforetold => (0, 0),
            Compared::Otherwise(Surprise::Violated(_)) => (0, 1),
            Compared::Otherwise(Surprise::Connected { .. } | Surprise::Failed { .. }) => (1, 1),
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.compared.fetch_add(definite, Ordering::Relaxed);
        self.surprises.fetch_add(surprise, Ordering::Relaxed);
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The number of the first experiment that showed it.
    pub nth: u64,
    /// How many of those that were shrunk came to the same.
    pub times: u32,
    /// The smallest experiment that shows it.
    pub experiment: Experiment,
    /// What surprises there.
    pub surprise: Surprise,
}

impl Finding {
    /// The scenario that shows it, for a file.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        let technique = self.experiment.technique;
        let (name, expect) = match self.surprise {
            Surprise::Connected { .. } => (format!("{technique} must fail"), Some(Expected::Fails)),
            Surprise::Failed { .. } => {
                (format!("{technique} must connect"), Some(Expected::Connects))
            }
            Surprise::Violated(ref broken) => (format!("{technique}: {}", broken.rule), None),
        };
        let description = Some(format!("{technique} {}.", self.surprise));
        Scenario { description, ..self.experiment.scenario(&name, expect) }
    }
}

/// Searches as long as `goes_on` says so, which is asked before each experiment. Gives the first
/// thousand surprises, by the numbers of their experiments.
pub fn search(
    spec: &SearchSpec,
    progress: &Progress,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Vec<(u64, Surprise)> {
    search_by(spec, progress, goes_on, &|experiment| spec.make(experiment))
}

/// The same with somebody else's experiments.
fn search_by(
    spec: &SearchSpec,
    progress: &Progress,
    goes_on: &(dyn Fn() -> bool + Sync),
    make: &(dyn Fn(&Experiment) -> Outcome + Sync),
) -> Vec<(u64, Surprise)> {
    let kept = Mutex::new(Vec::new());
    spread(spec.jobs, spec.jobs, &|first| {
        let mut numbers = (first as u64..).step_by(spec.jobs.max(1));
        while goes_on()
            && let Some(nth) = numbers.next()
        {
            let experiment = spec.draw(nth);
            let compared = held_against_the_oracle(&experiment, make);
            progress.count(&compared);
            if let Compared::Otherwise(surprise) = compared {
                keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), nth, surprise);
            }
        }
    });
    kept.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an experiment and compares. What connects where a box may have drawn the right endpoint by
/// chance, and does not with another seed, is no surprise.
fn held_against_the_oracle(
    experiment: &Experiment,
    make: &(dyn Fn(&Experiment) -> Outcome + Sync),
) -> Compared {
    let compared = compare(experiment, &make(experiment));
    let may_be_drawn = matches!(compared, Compared::Otherwise(Surprise::Connected { .. }))
        && draws_endpoints([&experiment.boxes[0], &experiment.boxes[1]]);
    if may_be_drawn {
        let other = Experiment { seed: experiment.seed ^ 1, ..experiment.clone() };
        if compare(&other, &make(&other)) == Compared::AsForetold {
            return Compared::Unforetold;
        }
    }
    compared
}

/// The smallest experiments that show what surprised, of the first surprises.
#[must_use]
pub fn shrunk(spec: &SearchSpec, surprises: &[(u64, Surprise)]) -> Vec<Finding> {
    let count = surprises.len().min(MOST_SHRUNK);
    let findings = spread(spec.jobs, count, &|place| {
        let (nth, surprise) = &surprises[place];
        smallest(spec, *nth, surprise)
    });
    merged(findings)
}

/// Keeps the first surprises by their numbers.
fn keep(kept: &mut Vec<(u64, Surprise)>, nth: u64, surprise: Surprise) {
    let place = kept.partition_point(|(other, _)| *other < nth);
    kept.insert(place, (nth, surprise));
    kept.truncate(MOST_KEPT);
}

fn smallest(spec: &SearchSpec, nth: u64, surprise: &Surprise) -> Finding {
    let mut shown = surprise.clone();
    let experiment = shrink(spec.draw(nth), &mut |candidate| {
        let outcome = conduct(candidate, spec.stack, spec.carriage, Detail::Record);
        match compare(candidate, &outcome) {
            Compared::Otherwise(other) if other.is_like(surprise) => {
                shown = other;
                true
            }
            Compared::Otherwise(_) | Compared::AsForetold | Compared::Unforetold => false,
        }
    });
    Finding { nth, times: 1, experiment, surprise: shown }
}

/// Each experiment once, whatever its seed.
fn merged(shrunk: Vec<Finding>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for finding in shrunk {
        let seed = finding.experiment.seed;
        let same = findings.iter_mut().find(|known| {
            known.surprise.is_like(&finding.surprise)
                && Experiment { seed, ..known.experiment.clone() } == finding.experiment
        });
        match same {
            Some(known) => known.times += 1,
            None => findings.push(finding),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Goes on for so many experiments.
    fn times(count: u32) -> impl Fn() -> bool + Sync {
        let left = AtomicU32::new(count);
        move || {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
        }
    }

    /// A world in which nothing connects.
    fn nothing_connects(_: &Experiment) -> Outcome {
        Outcome { connected: false, words: "no".to_owned(), violations: Vec::new() }
    }

    #[test]
    fn the_same_seed_draws_the_same_on_any_number_of_threads() {
        let found = |jobs| {
            let spec = SearchSpec { jobs, ..SearchSpec::new(5) };
            let progress = Progress::default();
            let surprises = search_by(&spec, &progress, &times(400), &nothing_connects);
            (surprises, progress.tally())
        };
        let (surprises, tally) = found(1);
        assert!(!surprises.is_empty());
        assert_eq!((tally.attempts, tally.surprises), (400, surprises.len() as u64));
        assert!(tally.compared > 200 && tally.compared < 400, "{tally:?}");
        let (others, other_tally) = found(4);
        assert_eq!(other_tally.attempts, 400);
        // Threads come to different numbers in the end, one of them through a hundred of its own at
        // least; of the numbers that one thread passed alone they tell the same.
        let common: Vec<_> = others.iter().filter(|(nth, _)| *nth < 400).collect();
        assert!(!common.is_empty());
        assert!(common.iter().all(|one| surprises.contains(one)), "{common:?}");
    }

    #[test]
    fn what_shrinks_to_the_same_is_one_finding() {
        let spec = SearchSpec::new(1);
        let surprise = Surprise::Connected { why_not: String::new() };
        let one = |nth, seed| Finding {
            nth,
            times: 1,
            experiment: Experiment { seed, ..spec.draw(0) },
            surprise: surprise.clone(),
        };
        let other = Finding { experiment: spec.draw(1), ..one(9, 1) };
        let findings = merged(vec![one(3, 1), one(4, 2), other]);
        let told: Vec<_> = findings.iter().map(|finding| (finding.nth, finding.times)).collect();
        assert_eq!(told, [(3, 2), (9, 1)]);
    }
}
