//! `simopen sim matrix`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::default_matrix;
use simopen_scenario::network::Executor;
use simopen_scenario::report::grid::title;
use simopen_scenario::report::markup::plain;
use simopen_scenario::result::{CellResult, Kind, Results};
use simopen_sim::matrix::{self, MatrixSpec, Progress};

use crate::interrupt::flag_on_interrupt;
use crate::live::Live;
use crate::matrix::{OutputArguments, PlanArguments, boxes, exit_code};
use crate::scenario::PROGRAM;
use crate::sim_arguments::{ThreadArguments, WorldArguments};
use crate::{FAILED, output};

/// How many things that must never happen are spelt out.
const MOST_VIOLATIONS: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct SimMatrixArguments {
    #[command(flatten)]
    plan: PlanArguments,

    #[command(flatten)]
    world: WorldArguments,

    #[command(flatten)]
    threads: ThreadArguments,

    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &SimMatrixArguments) -> Result<ExitCode> {
    let spec = spec(arguments)?;
    let cancel = flag_on_interrupt()?;
    let begun = Instant::now();
    let outcome = Live::during(&planned(&spec), |live| {
        matrix::run(&spec, &cancel, &|progress: &Progress<'_>| {
            let Progress { done, planned, cell, result } = *progress;
            live.tell([done, planned], begun.elapsed(), cell, result);
        })
    })?;
    let took = begun.elapsed();
    arguments.output.give_out(&outcome.results)?;
    eprintln!("{}", pace(outcome.attempts, took, spec.jobs));
    tell_violations(&outcome.violations);
    let code = exit_code(&outcome.results);
    Ok(if outcome.results.complete && !outcome.violations.is_empty() {
        ExitCode::from(FAILED)
    } else {
        code
    })
}

fn spec(arguments: &SimMatrixArguments) -> Result<MatrixSpec> {
    let plan = &arguments.plan;
    let seed = plan.seed()?;
    Ok(MatrixSpec {
        boxes: boxes(&plan.boxes, Executor::Model)?,
        ways: plan.techniques.as_deref().map_or_else(|| Ok(default_matrix::ways()), ways)?,
        runs: plan.runs,
        seed,
        conditions: plan.conditions()?,
        stack: arguments.world.host,
        carriage: arguments.world.carriage(),
        jobs: arguments.threads.count(),
        command: output::repeating_command_line(plan.seed, seed),
    })
}

/// The techniques of a list with commas between.
fn ways(list: &str) -> Result<Vec<Way>> {
    if let Some(program) = list.split(',').map(str::trim).find(|item| item.starts_with(PROGRAM)) {
        bail!("'{program}' needs real hosts: `simopen lab matrix` runs programs");
    }
    Ok(Technique::parse_list(list)?.into_iter().map(Way::Own).collect())
}

/// What will be run, of which nothing has been yet.
fn planned(spec: &MatrixSpec) -> Results {
    let mut results = Results::new(Kind::Matrix, Executor::Model, spec.seed, spec.command.clone());
    results.boxes.clone_from(&spec.boxes);
    results.ways.clone_from(&spec.ways);
    results.cells = spec.cells().into_iter().map(|cell| CellResult::pending(cell, None)).collect();
    results
}

/// How fast it was. It stands here and not among the results, which are the same each time.
pub(crate) fn pace(attempts: u64, took: Duration, jobs: usize) -> String {
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "to be read by a person")]
    let pace = attempts as f64 / seconds;
    let threads = if jobs == 1 { "thread" } else { "threads" };
    format!("{attempts} attempts in {seconds:.2} s on {jobs} {threads}: {pace:.0} a second")
}

pub(crate) fn tell_violations(violations: &[(Cell, u64, simopen_sim::Violation)]) {
    for (cell, seed, violation) in violations.iter().take(MOST_VIOLATIONS) {
        let (cell, words) = (plain(&title(cell), 200), plain(&violation.words, 300));
        eprintln!("simopen: must never happen: {}: {words} ({cell}, seed {seed})", violation.rule);
    }
    if let Some(more) = violations.len().checked_sub(MOST_VIOLATIONS).filter(|more| *more > 0) {
        eprintln!("simopen: … and {more} more that must never happen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_refused_with_the_command_that_runs_it() {
        let error = ways("direct,program:puncher.toml").unwrap_err().to_string();
        assert!(error.contains("'program:puncher.toml'"), "{error}");
        assert!(error.contains("simopen lab matrix"), "{error}");
    }
}
