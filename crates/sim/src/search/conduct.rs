//! One experiment, made exactly as the scenario of its file is.

use simopen_scenario::run::Outcome as Recorded;
use simopen_scenario::schedule::seed_of;

use super::compare::Outcome;
use super::experiment::Experiment;
use crate::scenario_run::{Options, make};
use crate::stack::Stack;
use crate::trial::{Carriage, Detail, Violation};

/// Makes an experiment.
pub(super) fn conduct(
    experiment: &Experiment,
    stack: Stack,
    carriage: Carriage,
    detail: Detail,
) -> Outcome {
    let scenario = experiment.scenario("", None);
    let attempt = &scenario.attempts[0];
    let seed = seed_of(&scenario.cell(attempt, &attempt.ways[0]), 0, experiment.seed);
    let command = String::new();
    let options = Options { seed, runs: None, stack, carriage, detail, command };
    let run = match make(&scenario, attempt, experiment.technique, seed, &options) {
        Ok(run) => run,
        Err(error) => {
            let rule = "every experiment can be made";
            let violations = vec![Violation { rule, words: error.to_string() }];
            return Outcome { connected: false, words: String::new(), violations };
        }
    };
    let words = match &run.record.outcome {
        Recorded::Failed { words, .. } => words.clone(),
        _ if run.record.is_success() => String::new(),
        Recorded::Connected | Recorded::Relayed | _ => {
            "it connected, and no bytes came through without the broker".to_owned()
        }
    };
    Outcome { connected: run.record.is_success(), words, violations: run.violations }
}
