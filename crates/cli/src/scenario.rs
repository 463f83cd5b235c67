//! `simopen lab run` and `simopen lab shell`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use simopen_device::process::exit_code;
use simopen_lab::LabError;
use simopen_lab::exec::Puncher;
use simopen_lab::scenario_run::{Options, run as run_scenario};
use simopen_lab::shell::Standing;
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::Way;
use simopen_scenario::file::Scenario;
use simopen_scenario::network::Executor;
use simopen_scenario::run::{Outcome, RunRecord};
use simopen_scenario::scenario_results::{ScenarioResults, told};

use crate::interrupt::{INTERRUPTED, cancel_on_interrupt};
use crate::{COULD_NOT_TRY, FAILED, output, privilege};

/// What stands before the file of somebody else's program among the techniques.
pub(crate) const PROGRAM: &str = "program:";

/// The seed where neither flag nor file has one.
const SEED: u64 = 1;

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    what: ScenarioArguments,

    /// Who turns the boxes.
    #[arg(long, value_enum, default_value_t = Boxes::Model)]
    executor: Boxes,
}

/// What is run, and where results go, in every world.
#[derive(Debug, Args)]
pub(crate) struct ScenarioArguments {
    /// The scenario, as docs/scenario-files.md describes it.
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,

    /// Print the results as one JSON object, as docs/results-schema.md has it.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write results.json, timeline.txt, and what else there is of each run, into DIR.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// What all chance follows from, instead of what the file says.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How often each attempt is made, instead of what the file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: Option<u32>,
}

impl ScenarioArguments {
    /// The seed of the command line, of the file, or that of neither.
    pub(crate) fn seed_for(&self, scenario: &Scenario) -> u64 {
        self.seed.or(scenario.seed).unwrap_or(SEED)
    }

    /// Tells of a run as it ends, unless nobody reads that.
    pub(crate) fn tell(&self, name: &str, record: &RunRecord) {
        if !self.json || io::stderr().is_terminal() {
            eprintln!("{name}: {}", in_a_word(record));
        }
    }

    /// Writes and prints results as was asked for.
    pub(crate) fn give_out(&self, all: &ScenarioResults) -> Result<()> {
        if let Some(directory) = &self.out {
            fs::create_dir_all(directory)
                .and_then(|()| fs::write(directory.join("results.json"), all.results.to_json()))
                .and_then(|()| fs::write(directory.join("timeline.txt"), told(all)))
                .with_context(|| format!("writing the results into {}", directory.display()))?;
        }
        output::print(&if self.json { all.results.to_json() } else { told(all) })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// The scenario.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,

    /// In which of its hosts.
    host: String,

    /// What to run there instead of a shell.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Who turns the boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Boxes {
    /// The project's own model.
    Model,
    /// Linux with nftables.
    Nft,
}

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let what = &arguments.what;
    let scenario = read(&what.file)?;
    if let Err(missing) = privilege::acquire() {
        eprintln!("simopen: {missing}");
        return Ok(ExitCode::from(COULD_NOT_TRY));
    }
    let cancel = cancel_on_interrupt()?;
    let options = Options {
        executor: match arguments.executor {
            Boxes::Model => Executor::Model,
            Boxes::Nft => Executor::Nft,
        },
        seed: what.seed_for(&scenario),
        runs: what.runs,
        captures: what.out.clone(),
        directory: folder_of(&what.file)?,
        command: privilege::command_line(),
    };
    let tell = |name: &str, record: &RunRecord| what.tell(name, record);
    let all = match run_scenario(&scenario, &options, &cancel, &tell) {
        Ok(all) => all,
        Err(LabError::Cancelled) => {
            eprintln!("simopen: interrupted; nothing is left behind");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(anyhow!(error).context("the scenario cannot be run")),
    };
    what.give_out(&all)?;
    Ok(if all.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

pub(crate) fn shell(arguments: &ShellArguments) -> Result<ExitCode> {
    let scenario = read(&arguments.file)?;
    if scenario.host(&arguments.host).is_none() {
        let hosts = scenario.plan.hosts.iter().map(|host| host.name.as_str());
        let hosts = hosts.collect::<Vec<_>>().join(", ");
        return Err(anyhow!(
            "{} has no host {:?}; it has: {hosts}",
            arguments.file.display(),
            arguments.host
        ));
    }
    if let Err(missing) = privilege::acquire() {
        eprintln!("simopen: {missing}");
        return Ok(ExitCode::from(COULD_NOT_TRY));
    }
    // Ctrl-C is for the program, which has the terminal; this process outlives it to clean up.
    ignore_interrupts()?;
    let seed = scenario.seed.unwrap_or(SEED);
    let standing = Standing::build(&scenario, Executor::Model, seed)?;
    let command = program(arguments);
    let status = standing.run(&arguments.host, command).with_context(|| {
        format!("running {:?} in host {}", arguments.command.first(), arguments.host)
    })?;
    Ok(ExitCode::from(exit_code(status)))
}

/// What the user asked for, or else a shell whose prompt says where it is.
fn program(arguments: &ShellArguments) -> Command {
    if let Some((program, rest)) = arguments.command.split_first() {
        let mut command = Command::new(program);
        command.args(rest);
        return command;
    }
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut command = Command::new(&shell);
    // Without the files that would set another prompt.
    match Path::new(&shell).file_name().and_then(|name| name.to_str()) {
        Some("bash") => command.args(["--norc", "-i"]),
        Some("zsh") => command.args(["-f", "-i"]),
        _ => command.arg("-i"),
    };
    command.env("PS1", format!("{}# ", arguments.host));
    command
}

pub(crate) fn read(file: &Path) -> Result<Scenario> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("reading {name}"))?;
    Ok(Scenario::from_toml(&name, &text)?)
}

/// The directory of a file, from which its programs are started.
fn folder_of(file: &Path) -> Result<PathBuf> {
    let whole = fs::canonicalize(file).with_context(|| format!("finding {}", file.display()))?;
    Ok(whole.parent().unwrap_or(Path::new("/")).to_owned())
}

fn in_a_word(record: &RunRecord) -> String {
    if record.void.is_some() {
        return "void".to_owned();
    }
    match &record.outcome {
        Outcome::Connected => "connected".to_owned(),
        Outcome::Relayed => "connected through the relay".to_owned(),
        Outcome::Failed { words, .. } => format!("failed: {words}"),
        _ => "over".to_owned(),
    }
}

/// Lets no Ctrl-C end this process.
fn ignore_interrupts() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the signals")?;
    let wait = move || runtime.block_on(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let thread = std::thread::Builder::new().name("signals".into()).spawn(wait);
    thread.map(drop).context("no thread for the signals")
}

/// The ways of a list with commas between: techniques, and `program:` with the file of a scenario
/// whose first two hosts with a program have the one that is meant.
pub(crate) fn ways(list: &str) -> Result<(Vec<Way>, Vec<Puncher>)> {
    let (mut ways, mut programs) = (Vec::new(), Vec::<Puncher>::new());
    let (files, techniques): (Vec<&str>, Vec<&str>) =
        list.split(',').map(str::trim).partition(|item| item.starts_with(PROGRAM));
    if !techniques.is_empty() {
        ways.extend(Technique::parse_list(&techniques.join(","))?.into_iter().map(Way::Own));
    }
    for item in files {
        let file = Path::new(item.trim_start_matches(PROGRAM));
        let puncher = Puncher::first(&read(file)?, folder_of(file)?).ok_or_else(|| {
            anyhow!("{}: found fewer than two hosts with `exec`, expected two", file.display())
        })?;
        if programs.iter().any(|other| other.name == puncher.name) {
            return Err(anyhow!(
                "two programs are called {:?}: give one another name",
                puncher.name
            ));
        }
        ways.push(Way::Program(puncher.name.clone()));
        programs.push(puncher);
    }
    Ok((ways, programs))
}
