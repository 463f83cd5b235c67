//! `simopen lab bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use simopen_lab::matrix::{How, run_schedule};
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix;
use simopen_scenario::oracle;
use simopen_scenario::prediction::Expect;
use simopen_scenario::report::bench;
use simopen_scenario::result::{CellResult, Kind, Results};
use simopen_scenario::schedule::Schedule;

use crate::arguments::{parse_delay, parse_loss};
use crate::interrupt::{INTERRUPTED, cancel_on_interrupt};
use crate::matrix::{ExecutorName, boxes, exit_code, with_progress};
use crate::{COULD_NOT_TRY, output, privilege};

/// The part of a leg that a packet may be late before a latency does not count.
const BOUND: f64 = 0.05;

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The legs, with commas between.
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = parse_delay,
          default_value = "1ms,10ms,25ms,50ms,100ms,200ms")]
    delay: Vec<Duration>,

    /// The shares of packets that each link loses, with commas between.
    #[arg(long, value_name = "SHARES", value_delimiter = ',', value_parser = parse_loss,
          default_value = "0,1%,5%,10%")]
    loss: Vec<f64>,

    /// The techniques, with commas between; all if none is named.
    #[arg(long, value_name = "LIST")]
    techniques: Option<String>,

    /// The box before both a and b: a preset, or a TOML file. If none is named, each technique gets
    /// the first of the default matrix through which it must connect.
    #[arg(long = "box", value_name = "BOX")]
    both: Option<String>,

    /// Runs of each technique under each condition; six give an interval.
    #[arg(long, value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,

    /// What all chance of links follows from; drawn and shown if not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Who turns the boxes.
    #[arg(long, value_enum, default_value_t = ExecutorName::Model)]
    executor: ExecutorName,

    /// Runs beside each other: few, because each makes the others late.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,

    /// Write report.html, results.json, junit.xml and bench.svg into DIR.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print results.json instead of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<ExitCode> {
    let seed = arguments.seed.map_or_else(output::drawn_seed, Ok)?;
    let planned = planned(arguments, seed)?;
    // Before any thread: a user namespace can only be entered by a process with one.
    if let Err(missing) = privilege::acquire() {
        eprintln!("simopen: {missing}");
        return Ok(ExitCode::from(COULD_NOT_TRY));
    }
    let cancel = cancel_on_interrupt()?;
    let how = How {
        executor: planned.executor,
        jobs: arguments.jobs as usize,
        bound: BOUND,
        ..How::new(planned.command.clone())
    };
    // Without predictions: a bench measures how long, not whether.
    let cells = planned.cells.iter().map(|planned| (planned.cell.clone(), None));
    let schedule = Schedule::with_predictions(cells, arguments.runs, seed);
    let empty = Results { cells: Vec::new(), ..planned.clone() };
    let outcome =
        with_progress(&planned, |observer| run_schedule(schedule, &how, empty, &cancel, observer));
    let Some(results) = outcome.context("the bench cannot be made")? else {
        eprintln!("simopen: interrupted before anything was run; nothing is left behind");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if let Some(directory) = &arguments.out {
        output::write_files(&results, directory)?;
        eprintln!("written: {}", directory.join("report.html").display());
    }
    output::print(&if arguments.json { results.to_json() } else { bench::table(&results) })?;
    Ok(exit_code(&results))
}

/// What will be run, of which nothing has been yet.
fn planned(arguments: &BenchArguments, seed: u64) -> Result<Results> {
    let command = output::command_line(arguments.seed, seed);
    let mut results = Results::new(Kind::Bench, arguments.executor.executor(), seed, command);
    let candidates = boxes(arguments.both.as_slice(), arguments.executor.executor())?;
    results.ways = match &arguments.techniques {
        Some(list) => Technique::parse_list(list)?.into_iter().map(Way::Own).collect(),
        None => default_matrix::ways(),
    };
    for way in &results.ways {
        let both = through_which(way, &candidates)
            .with_context(|| format!("{way} connects through none of the boxes"))?;
        if !results.boxes.contains(both) {
            results.boxes.push(both.clone());
        }
        for loss in &arguments.loss {
            for leg in &arguments.delay {
                let cell = Cell {
                    boxes: [both, both].map(Clone::clone),
                    way: way.clone(),
                    forging: true,
                    conditions: Conditions { loss: *loss, ..Conditions::with_leg(*leg) },
                };
                results.cells.push(CellResult::pending(cell, None));
            }
        }
    }
    Ok(results)
}

/// The first box that lets a technique through where nothing is lost; the only one that there is,
/// whatever it does.
fn through_which<'b>(way: &Way, candidates: &'b [NamedBox]) -> Option<&'b NamedBox> {
    if let [only] = candidates {
        return Some(only);
    }
    let conditions = Conditions::with_leg(default_matrix::LEG);
    candidates.iter().find(|candidate| {
        let both = [&candidate.spec; 2];
        let prediction = oracle::predict(both, way, true, &conditions);
        prediction.is_some_and(|prediction| prediction.expect == Expect::MustSucceed)
    })
}
