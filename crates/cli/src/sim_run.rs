//! `simopen sim run`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use simopen_scenario::report::markup::plain;
use simopen_scenario::run::RunRecord;
use simopen_sim::Detail;
use simopen_sim::scenario_run::{Options, ScenarioError, Told, run as run_scenario};

use crate::interrupt::{INTERRUPTED, flag_on_interrupt};
use crate::scenario::{ScenarioArguments, read};
use crate::sim_arguments::WorldArguments;
use crate::{COULD_NOT_TRY, FAILED, output};

#[derive(Debug, Args)]
pub(crate) struct SimRunArguments {
    #[command(flatten)]
    what: ScenarioArguments,

    /// Print every packet, message, command and event of each run, line by line, before the
    /// results; with --out into trace.txt too.
    #[arg(long, conflicts_with = "json")]
    trace: bool,

    #[command(flatten)]
    world: WorldArguments,
}

pub(crate) fn run(arguments: &SimRunArguments) -> Result<ExitCode> {
    let what = &arguments.what;
    let scenario = read(&what.file)?;
    let seed = what.seed_for(&scenario);
    let options = Options {
        seed,
        runs: what.runs,
        stack: arguments.world.host,
        carriage: arguments.world.carriage(),
        detail: if arguments.trace { Detail::Trace } else { Detail::Timeline },
        command: output::repeating_command_line(what.seed, seed),
    };
    let cancel = flag_on_interrupt()?;
    let tell = |name: &str, record: &RunRecord| what.tell(name, record);
    let told = match run_scenario(&scenario, &options, &cancel, &tell) {
        Ok(told) => told,
        Err(ScenarioError::Cancelled) => {
            eprintln!("simopen: interrupted; nothing is left behind");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(anyhow!(error).context("the scenario cannot be run")),
    };
    if arguments.trace {
        give_out_trace(what, &told)?;
    }
    what.give_out(&told.all)?;
    Ok(exit_code(&told))
}

fn give_out_trace(what: &ScenarioArguments, told: &Told) -> Result<()> {
    let mut text = String::new();
    for run in &told.runs {
        text.push_str(&format!("── trace of {}, seed {} ──\n\n", run.label, run.seed));
        run.trace.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        text.push('\n');
    }
    if let Some(directory) = &what.out {
        let path = directory.join("trace.txt");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, &text))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    output::print(&text)
}

/// What failed says more than what could not be tried.
fn exit_code(told: &Told) -> ExitCode {
    let broken =
        told.runs.iter().flat_map(|run| run.violations.iter().map(move |rule| (run, rule)));
    let mut is_broken = false;
    for (run, violation) in broken {
        is_broken = true;
        let (rule, words) = (violation.rule, plain(&violation.words, 300));
        eprintln!("simopen: must never happen: {rule}: {words} ({}, seed {})", run.label, run.seed);
    }
    for name in &told.left_out {
        eprintln!("simopen: {name} was left out: it needs real hosts, `simopen lab run` has them");
    }
    if is_broken || !told.all.is_as_expected() {
        ExitCode::from(FAILED)
    } else if told.left_out.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(COULD_NOT_TRY)
    }
}
