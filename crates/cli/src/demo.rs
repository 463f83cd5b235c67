//! `simopen lab demo`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use simopen_lab::LabError;
use simopen_lab::demo::{CaseResult, DemoResult, DemoSpec, run as run_demo};
use simopen_lab::report::DemoReport;

use crate::arguments::DemoArguments;
use crate::interrupt::{INTERRUPTED, cancel_on_interrupt};
use crate::{COULD_NOT_TRY, FAILED, privilege, screen};

pub(crate) fn run(arguments: &DemoArguments) -> Result<ExitCode> {
    // Before any thread: a user namespace can only be entered by a process with one.
    if let Err(missing) = privilege::acquire() {
        eprintln!("simopen: {missing}");
        return Ok(ExitCode::from(COULD_NOT_TRY));
    }
    let cancel = cancel_on_interrupt()?;
    let spec =
        DemoSpec { leg: arguments.delay, captures: arguments.pcap.clone(), seed: system_seed()? };
    let quiet = arguments.json && !io::stderr().is_terminal();
    let started = Instant::now();
    if !quiet {
        eprintln!(
            "five attempts run beside each other; a failure takes two SYNs of each side, 2.2 s"
        );
    }
    let tell = |case: &CaseResult| {
        if !quiet {
            eprintln!("{}", screen::progress(case));
        }
    };
    let demo = match run_demo(&spec, &cancel, &tell) {
        Ok(demo) => demo,
        Err(LabError::Cancelled) => {
            eprintln!("simopen: interrupted; nothing is left behind");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(anyhow!(error).context("the demo cannot be made")),
    };
    if arguments.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &DemoReport::of(&demo)).context("writing the report")?;
        writeln!(out).context("writing the report")?;
    } else {
        show(arguments, &demo)?;
        eprintln!("\n  {:.1} s in all", started.elapsed().as_secs_f64());
    }
    Ok(if demo.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn show(arguments: &DemoArguments, demo: &DemoResult) -> Result<()> {
    let mut out = io::stdout().lock();
    let leg = arguments.delay.as_secs_f64() * 1e3;
    write!(out, "\n{}", screen::picture(leg)).context("writing to standard output")?;
    for case in &demo.cases {
        write!(out, "{}", screen::timeline(case)).context("writing to standard output")?;
    }
    write!(out, "{}", screen::table(demo)).context("writing to standard output")
}

fn system_seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("the system gives no random bytes: {error}"))?;
    Ok(u64::from_be_bytes(bytes))
}
