//! Scenarios from files, in virtual time.
//!
//! The hosts here run no programs and no proxies: what a file has of those is left out and named.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simopen_fabric::{GraphError, LinkId, LinkSpec};
use simopen_packet::Timestamp;
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::Way;
use simopen_scenario::file::{Attempt, Scenario, World};
use simopen_scenario::incident;
use simopen_scenario::network::{Executor, NoSuchHost};
use simopen_scenario::result::{Kind, Results};
use simopen_scenario::run::RunRecord;
use simopen_scenario::scenario_results::{ScenarioResults, Wanted, held_as_expected};
use simopen_scenario::seed::entropy_of;
use thiserror::Error;

use crate::stack::Stack;
use crate::trial::{Carriage, Detail, Run, Trial, Violation};

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What all chance follows from.
    pub seed: u64,
    /// How often each attempt is made, if not as often as the file says.
    pub runs: Option<u32>,
    /// Whose TCP the hosts have.
    pub stack: Stack,
    /// What carries control documents.
    pub carriage: Carriage,
    /// How much is told of each run.
    pub detail: Detail,
    /// The command line that repeats it, for the report.
    pub command: String,
}

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct Told {
    /// What came of it, as every world tells.
    pub all: ScenarioResults,
    /// What was left out, because it needs real hosts.
    pub left_out: Vec<String>,
    /// The runs in the order in which they were made.
    pub runs: Vec<ToldRun>,
}

/// What only a simulated run tells.
#[derive(Debug, Clone)]
pub struct ToldRun {
    /// The attempt and its way.
    pub label: String,
    /// What all chance of the run followed from.
    pub seed: u64,
    /// What must never happen and did.
    pub violations: Vec<Violation>,
    /// What happened, line by line, where [`Detail::Trace`] was asked for.
    pub trace: Vec<String>,
}

/// Why a scenario cannot be run. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The network cannot be planned.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An event names what is not there.
    #[error(transparent)]
    NoSuchHost(#[from] NoSuchHost),
    /// It was broken off.
    #[error("broken off")]
    Cancelled,
}

/// Runs the attempts of a scenario, but for those that need real hosts. `done` is told of each run
/// as it ends.
///
/// # Errors
///
/// [`ScenarioError`] where an experiment could not be made. What fails is a result.
pub fn run(
    scenario: &Scenario,
    options: &Options,
    cancel: &AtomicBool,
    done: &dyn Fn(&str, &RunRecord),
) -> Result<Told, ScenarioError> {
    let (scenario, left_out) = without_real_hosts(scenario.clone());
    let mut results =
        Results::new(Kind::Run, Executor::Model, options.seed, options.command.clone());
    results.stack = Some(options.stack.name().to_owned());
    let mut runs = Vec::new();
    let all = ScenarioResults::gather(&scenario, results, options.runs, |wanted| {
        if cancel.load(Ordering::Relaxed) {
            return Err(ScenarioError::Cancelled);
        }
        let Wanted::Attempt(attempt, Way::Own(technique), job) = wanted else {
            unreachable!("what needs real hosts was left out")
        };
        let run = make(&scenario, attempt, *technique, job.seed, options)?;
        let (label, seed) = (wanted.label(), job.seed);
        let Run { record, held, violations, trace } = run;
        let record = held_as_expected(attempt, record, held);
        done(&label, &record);
        runs.push(ToldRun { label, seed, violations, trace });
        Ok(record)
    })?;
    Ok(Told { all, left_out, runs })
}

/// The scenario without what needs real hosts, and the names of that.
fn without_real_hosts(mut scenario: Scenario) -> (Scenario, Vec<String>) {
    let mut left_out = Vec::new();
    for attempt in &mut scenario.attempts {
        attempt.ways.retain(|way| {
            let is_own = matches!(way, Way::Own(_));
            if !is_own {
                left_out.push(format!("{}, {way}", attempt.name));
            }
            is_own
        });
    }
    scenario.attempts.retain(|attempt| !attempt.ways.is_empty());
    left_out.extend(scenario.tunnels.drain(..).map(|tunnel| tunnel.name));
    (scenario, left_out)
}

/// Makes one run of an attempt.
pub(crate) fn make(
    scenario: &Scenario,
    attempt: &Attempt,
    technique: Technique,
    seed: u64,
    options: &Options,
) -> Result<Run, ScenarioError> {
    let hosts = [attempt.from, attempt.to, attempt.broker];
    let mut network = scenario.network(&World {
        executor: Executor::Model,
        link: LinkSpec::with_delay(Duration::ZERO),
        entropy: entropy_of(seed),
        now: Timestamp::ZERO,
    })?;
    network.put_first(scenario.speak_ipv4(&hosts));
    let trial = Trial {
        stack: options.stack,
        carriage: options.carriage,
        detail: options.detail,
        ..trial_of(scenario, attempt, technique, &network.links, seed)?
    };
    Ok(trial.make(network, seed))
}

/// What an attempt of a file tries by one technique.
fn trial_of(
    scenario: &Scenario,
    attempt: &Attempt,
    technique: Technique,
    links: &BTreeMap<String, LinkId>,
    seed: u64,
) -> Result<Trial, NoSuchHost> {
    Ok(Trial {
        forging: attempt.forging,
        hosts: [attempt.from, attempt.to, attempt.broker],
        leg: scenario.leg(attempt),
        start_skew: attempt.skew,
        meanwhile: incident::of(scenario, attempt, links, seed)?,
        hold: attempt.hold.map(|hold| hold.until),
        ..Trial::new(technique)
    })
}
