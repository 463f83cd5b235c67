//! What came of a scenario, for a person.

use std::fmt::Write;

use super::ScenarioResults;
use crate::result::{CellResult, Verdict};
use crate::run::{Outcome, RunRecord};

/// Tells the timeline of each run, and then what came of each attempt in a table.
#[must_use]
pub fn told(all: &ScenarioResults) -> String {
    let mut text = String::new();
    let cells = || all.names.iter().zip(&all.results.cells);
    for (name, cell) in cells() {
        for (number, run) in cell.runs.iter().enumerate() {
            tell_run(&mut text, &heading(name, cell, number), run);
        }
    }
    line(&mut text, format_args!("── what came of it ──\n"));
    for (name, cell) in cells() {
        let verdict = match &cell.verdict {
            Verdict::Agrees => "as expected".to_owned(),
            Verdict::Surprise { words } => format!("NOT AS EXPECTED: {words}"),
            Verdict::Unpredicted => "no expectation".to_owned(),
            Verdict::Void => "void: the machine was too late".to_owned(),
            Verdict::Pending => "not run".to_owned(),
        };
        let (successes, runs) = (cell.success.successes, cell.success.runs);
        let way = cell.way_name();
        line(
            &mut text,
            format_args!("  {name}, {way}: connected {successes} of {runs} times; {verdict}"),
        );
    }
    text
}

trait WayName {
    fn way_name(&self) -> String;
}

impl WayName for CellResult {
    fn way_name(&self) -> String {
        let forging = if self.cell.forging { "" } else { " (nothing is forged)" };
        format!("{}{forging}", self.cell.way)
    }
}

fn heading(name: &str, cell: &CellResult, number: usize) -> String {
    let [a, b] = &cell.cell.boxes;
    let way = cell.way_name();
    let run = if number == 0 { String::new() } else { format!(", run {}", number + 1) };
    format!("{name}: {way}{run} ({} | {})", a.name, b.name)
}

fn tell_run(text: &mut String, heading: &str, run: &RunRecord) {
    line(text, format_args!("── {heading} ──\n"));
    for entry in &run.timeline {
        let packet = entry.packet.as_deref().unwrap_or_default();
        let gap = if packet.is_empty() { "" } else { "  " };
        let (at, host, event) = (entry.at_ms, &entry.host, &entry.event);
        line(text, format_args!("{at:10.1} ms  {host:<12} {event}{gap}{packet}"));
    }
    let end = match (&run.outcome, run.direct) {
        (Outcome::Connected, Some(true)) => match run.legs {
            Some(legs) => format!("connected after {legs:.2} legs"),
            None => "connected".to_owned(),
        },
        (Outcome::Connected, _) => "connected, but no bytes went straight".to_owned(),
        (Outcome::Relayed, Some(false)) => match run.legs {
            Some(legs) => format!("connected through the relay after {legs:.2} legs"),
            None => "connected through the relay".to_owned(),
        },
        (Outcome::Relayed, _) => "connected past the relay".to_owned(),
        (Outcome::Failed { words, .. }, _) => format!("failed: {words}"),
    };
    line(text, format_args!("  {end}\n"));
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{words}");
}
