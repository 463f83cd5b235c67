//! `simopen sim explore`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::Cell;
use simopen_scenario::network::Executor;
use simopen_scenario::report::markup::plain;
use simopen_sim::explore::{Breach, ExploreSpec, Explored, Script};

use crate::interrupt::{INTERRUPTED, flag_on_interrupt};
use crate::sim_arguments::ThreadArguments;
use crate::{FAILED, matrix, output};

/// What is explored where no boxes are named: a NAT that lets strangers in to a mapped port, one
/// that is silent to them, one that answers RST, and a firewall that no bare SYN passes.
const BOXES: [&str; 4] =
    ["rfc5382-compliant", "linux-masquerade-drop-input", "rst-answering", "syn-ack-only-firewall"];

/// How many schedules that broke a rule are spelt out.
const MOST_BREACHES: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct SimExploreArguments {
    /// Techniques, with commas between; all if not given.
    #[arg(long, value_name = "LIST")]
    techniques: Option<String>,

    /// Boxes, with commas between: presets, files, or all. Each two of them are explored, and each
    /// before both hosts.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    boxes: Vec<String>,

    /// Deliveries, from the request on, that happen in any order.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    deliveries: u32,

    /// Faults in one schedule at most: a packet lost or copied, anything delayed.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=16))]
    faults: u32,

    /// From what all chance follows.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Make one schedule of one technique between two boxes, and tell all of it.
    #[arg(long, value_name = "SCRIPT")]
    replay: Option<Script>,

    #[command(flatten)]
    threads: ThreadArguments,

    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &SimExploreArguments) -> Result<ExitCode> {
    let spec = spec(arguments)?;
    if let Some(script) = &arguments.replay {
        return replay(&spec, script);
    }
    let cancel = flag_on_interrupt()?;
    let begun = Instant::now();
    let (done, planned) = (AtomicUsize::new(0), spec.cells().len());
    let is_watched = io::stderr().is_terminal();
    let explored = spec.explore(&cancel, &|_, _| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if is_watched {
            eprint!("\r{done} of {planned} explored");
        }
    });
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let text = if arguments.json { json_text(&spec, &explored) } else { table(&explored) };
    output::print(&text)?;
    let schedules: u64 = explored.iter().map(|(_, told)| told.explored + told.pruned).sum();
    eprintln!("{schedules} schedules in {:.2} s", begun.elapsed().as_secs_f64());
    tell_breaches(&spec, &explored);
    Ok(if explored.iter().any(|(_, told)| !told.complete) {
        ExitCode::from(INTERRUPTED)
    } else if explored.iter().all(|(_, told)| told.breaches.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn spec(arguments: &SimExploreArguments) -> Result<ExploreSpec> {
    let techniques = matrix::without_relay(arguments.techniques.as_deref())?;
    let boxes = if arguments.boxes.is_empty() {
        BOXES.into_iter().filter_map(NamedBox::preset).collect()
    } else {
        matrix::boxes(&arguments.boxes, Executor::Model)?
    };
    Ok(ExploreSpec {
        techniques,
        boxes,
        deliveries: arguments.deliveries,
        faults: arguments.faults,
        seed: arguments.seed,
        jobs: arguments.threads.count(),
    })
}

fn replay(spec: &ExploreSpec, script: &Script) -> Result<ExitCode> {
    let cells = spec.cells();
    // Two boxes make three cells of each technique; the two of them together stand in the middle.
    let named = (spec.techniques.len(), spec.boxes.len(), &cells[..]);
    let ((1, 1, [cell]) | (1, 2, [_, cell, _])) = named else {
        bail!("a schedule is one of one technique between two boxes: name them");
    };
    let run = spec.replay(cell, script).context("the boxes make no network")?;
    let mut text = run.trace.join("\n");
    let _ = writeln!(text, "\n{:?}", run.record.outcome);
    output::print(&text)?;
    for violation in &run.violations {
        eprintln!("simopen: must never happen: {}: {}", violation.rule, violation.words);
    }
    Ok(if run.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn names(cell: &Cell) -> String {
    let [a, b] = cell.boxes.each_ref().map(|placed| plain(&placed.name, 40));
    if a == b { format!("{a}, both") } else { format!("{a}, {b}") }
}

/// A line for each cell. Most failures of a line come first.
fn table(explored: &[(Cell, Explored)]) -> String {
    let mut text = format!(
        "{:<26}{:<54}{:>10}{:>10}{:>10}{:>10}  failed\n",
        "technique", "boxes", "explored", "pruned", "states", "connected"
    );
    for (cell, told) in explored {
        let mut failed: Vec<_> = told.failed.iter().collect();
        failed.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let failed: Vec<_> =
            failed.into_iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        let Explored { explored, pruned, states, connected, .. } = told;
        let (way, boxes, failed) = (cell.way.to_string(), names(cell), failed.join(", "));
        let _ = writeln!(
            text,
            "{way:<26}{boxes:<54}{explored:>10}{pruned:>10}{states:>10}{connected:>10}  {failed}"
        );
    }
    text
}

fn json_text(spec: &ExploreSpec, explored: &[(Cell, Explored)]) -> String {
    let cells: Vec<Value> = explored
        .iter()
        .map(|(cell, told)| {
            let breaches = told.breaches.iter().map(|breach| {
                let violations = breach.violations.iter();
                json!({
                    "script": breach.script.to_string(),
                    "violations": violations
                        .map(|violation| json!({ "rule": violation.rule, "words": violation.words }))
                        .collect::<Vec<_>>(),
                })
            });
            json!({
                "technique": cell.way.to_string(),
                "boxes": cell.boxes.each_ref().map(|placed| &placed.name),
                "explored": told.explored,
                "pruned": told.pruned,
                "states": told.states,
                "connected": told.connected,
                "failed": told.failed,
                "complete": told.complete,
                "breaches": breaches.collect::<Vec<_>>(),
            })
        })
        .collect();
    let whole = json!({
        "deliveries": spec.deliveries,
        "faults": spec.faults,
        "seed": spec.seed,
        "cells": cells,
    });
    format!("{whole:#}\n")
}

/// Each schedule that broke a rule, with the command that makes it again.
fn tell_breaches(spec: &ExploreSpec, explored: &[(Cell, Explored)]) {
    let breaches = explored
        .iter()
        .flat_map(|(cell, told)| told.breaches.iter().map(move |breach| (cell, breach)));
    let count = breaches.clone().count();
    for (cell, Breach { script, violations }) in breaches.take(MOST_BREACHES) {
        for violation in violations {
            let words = plain(&violation.words, 300);
            eprintln!("simopen: must never happen: {}: {words}", violation.rule);
        }
        let boxes = cell.boxes.each_ref().map(|placed| placed.name.as_str());
        let boxes = if boxes[0] == boxes[1] { boxes[0].to_owned() } else { boxes.join(",") };
        eprintln!(
            "  again: simopen sim explore --techniques {} --boxes {boxes} --deliveries {} \
             --faults {} --seed {} --replay {script}",
            cell.way, spec.deliveries, spec.faults, spec.seed
        );
    }
    if count > MOST_BREACHES {
        eprintln!("simopen: … and {} schedules more", count - MOST_BREACHES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(techniques: &str, boxes: &[&str]) -> ExploreSpec {
        super::spec(&SimExploreArguments {
            techniques: Some(techniques.to_owned()),
            boxes: boxes.iter().map(ToString::to_string).collect(),
            deliveries: 2,
            faults: 0,
            seed: 1,
            replay: None,
            threads: ThreadArguments { jobs: Some(1) },
            json: false,
        })
        .unwrap()
    }

    #[test]
    fn the_boxes_that_are_explored_unless_others_are_named_are_presets() {
        assert_eq!(spec("direct", &[]).boxes.len(), BOXES.len());
    }

    #[test]
    fn a_schedule_is_replayed_where_technique_and_boxes_are_named() {
        let script = Script::default();
        let boxes = ["no-box", "rst-answering"];
        assert!(replay(&spec("direct", &boxes[..1]), &script).is_ok());
        assert!(replay(&spec("direct", &boxes), &script).is_ok());
        assert!(replay(&spec("direct,simultaneous-open", &boxes), &script).is_err());
        assert!(replay(&spec("direct", &[]), &script).is_err());
    }
}
