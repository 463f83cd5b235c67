//! `report.html`: one file that needs nothing else, not even a script.

mod boxes;
mod cells;
mod latency;

use std::fmt::Write;

use crate::report::grid::{Entry, Grid, Mark, Standing};
use crate::report::markup::Escaped;
use crate::report::{bench, ladder, svg, words};
use crate::result::{Kind, Results};

const STYLE: &str = include_str!("html/page.css");

/// The whole report as one HTML page: no script, nothing from a network, light or dark as the
/// reader's system is. Of each cell it shows one run in full; all of them are in `results.json`.
/// It is well-formed XML too, so that tools can read it.
#[must_use]
pub fn page(results: &Results) -> String {
    let grid = Grid::of(results);
    let mut text = head(results);
    tiles(&mut text, results, &grid);
    surprises(&mut text, results, &grid);
    match results.kind {
        Kind::Bench => bench_section(&mut text, results),
        Kind::Matrix | Kind::Run => success(&mut text, &grid),
    }
    latency::section(&mut text, results, &grid);
    controls(&mut text, results, &grid);
    cells::section(&mut text, results, &grid);
    boxes::section(&mut text, results);
    boxes::machine(&mut text, results);
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

/// Everything up to the first section.
fn head(results: &Results) -> String {
    Opening {
        headline: &svg::headline(results),
        lead: &svg::subtitle(results),
        style: ladder::STYLE,
        complete: results.complete,
        seed: results.seed,
        command: &results.command,
    }
    .text()
}

/// How every page begins.
pub(super) struct Opening<'o> {
    pub(super) headline: &'o str,
    /// What it was, in one line.
    pub(super) lead: &'o str,
    /// Style beside that of all pages.
    pub(super) style: &'o str,
    pub(super) complete: bool,
    pub(super) seed: u64,
    /// The command that repeats it.
    pub(super) command: &'o str,
}

impl Opening<'_> {
    /// The policy in it forbids whatever a page has no need of, should some hostile name get past
    /// the escaping after all.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n\
             <title>simopen: {0}</title>\n<style>{1}{2}{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{0}</h1>\n<p class=\"lead\">{3}.</p>\n",
            Escaped(self.headline),
            svg::STYLE,
            self.style,
            Escaped(self.lead)
        );
        if !self.complete {
            text.push_str(
                "<p class=\"warning\"><strong>Incomplete.</strong> The experiment was broken off; \
                 what was not run is marked so.</p>\n",
            );
        }
        let _ = writeln!(
            text,
            "<p>This repeats it (seed {}):</p>\n<pre class=\"command\"><code>{}</code></pre>",
            self.seed,
            Escaped(self.command)
        );
        text
    }
}

/// The figures that matter most.
fn tiles(text: &mut String, results: &Results, grid: &Grid) {
    let marks: Vec<Mark> = grid.entries().map(|entry| entry.mark).collect();
    let standing = |wanted| marks.iter().filter(|mark| mark.standing() == Some(wanted)).count();
    let void = marks.iter().filter(|mark| **mark == Mark::Void).count();
    let pending = marks.iter().filter(|mark| **mark == Mark::Pending).count();
    let runs: usize = results.cells.iter().map(|cell| cell.runs.len()).sum();
    let thrown: u32 = results.cells.iter().map(|cell| cell.voided).sum();
    let noun = |count: usize, what| (count, words::plural(count, what));
    let surprises = standing(Standing::Surprise);
    let figures = [
        (noun(marks.len(), "cell"), "", true),
        (noun(runs, "run"), "", true),
        ((standing(Standing::AsPredicted), "as predicted".to_owned()), "", true),
        (noun(surprises, "surprise"), "alarm", true),
        ((standing(Standing::Explained), "explained by kernels".to_owned()), "known", false),
        ((standing(Standing::Unjudged), "not judged".to_owned()), "", false),
        (noun(void, "void cell"), "alarm", false),
        ((pending, "not run".to_owned()), "alarm", false),
        (noun(thrown as usize, "void run"), "", false),
    ];
    text.push_str("<ul class=\"tiles\">\n");
    for ((count, what), class, always) in figures {
        if always || count > 0 {
            let class = if count > 0 { class } else { "" };
            let _ = writeln!(text, "<li class=\"{class}\"><b>{count}</b> {what}</li>");
        }
    }
    text.push_str("</ul>\n");
}

/// What was not as predicted, before everything else.
fn surprises(text: &mut String, results: &Results, grid: &Grid) {
    let judged = grid.entries().any(|entry| entry.mark.standing() == Some(Standing::AsPredicted));
    let with = |standing| move |entry: &&Entry| -> bool { entry.mark.standing() == Some(standing) };
    let found: Vec<&Entry> = grid.entries().filter(with(Standing::Surprise)).collect();
    let explained: Vec<&Entry> = grid.entries().filter(with(Standing::Explained)).collect();
    if !judged && found.is_empty() && explained.is_empty() {
        return;
    }
    text.push_str("<section>\n<h2>Surprises</h2>\n");
    if found.is_empty() && explained.is_empty() {
        text.push_str(
            "<p>None. Every cell that was judged came out as the oracle had said, which reads the \
             boxes' specifications and no result.</p>\n",
        );
    }
    list(text, results, &found);
    if !explained.is_empty() {
        text.push_str("<h3>Not as predicted, and explained</h3>\n");
        list(text, results, &explained);
    }
    text.push_str("</section>\n");
}

fn list(text: &mut String, results: &Results, found: &[&Entry]) {
    if found.is_empty() {
        return;
    }
    text.push_str("<ul>\n");
    for entry in found {
        let _ = writeln!(
            text,
            "<li><a href=\"#c{}\">{}</a>: {}</li>",
            entry.cell,
            Escaped(&entry.title),
            Escaped(&words::verdict(&results.cells[entry.cell]))
        );
    }
    text.push_str("</ul>\n");
}

fn success(text: &mut String, grid: &Grid) {
    if grid.panels.is_empty() {
        return;
    }
    text.push_str(
        "<section>\n<h2>What connects where</h2>\n\
         <p>Each square is a pair of boxes, filled as far as its runs connected. It leads to what \
         was predicted, the runs, and the packets of one of them. A connection counts only if \
         bytes still flowed after the broker had been cut off.</p>\n<div class=\"wide\">\n",
    );
    text.push_str(&svg::embedded(grid));
    text.push_str("</div>\n</section>\n");
}

fn bench_section(text: &mut String, results: &Results) {
    text.push_str(
        "<section>\n<h2>Handshake latency</h2>\n\
         <p>Legs from the request until both kernels said ESTABLISHED: the median of the runs that \
         connected, with its 95 % interval. Dashed: what theory gives without loss.</p>\n\
         <div class=\"wide\">\n",
    );
    text.push_str(&bench::embedded(results));
    text.push_str("</div>\n");
    bench::html_table(text, results);
    text.push_str("</section>\n");
}

/// The cells that had to fail because the broker sent nothing.
fn controls(text: &mut String, results: &Results, grid: &Grid) {
    if grid.controls.is_empty() {
        return;
    }
    text.push_str(
        "<section>\n<h2>Controls</h2>\n\
         <p>The same techniques while the broker judges and sends nothing. Each must fail: a box \
         that lets everything through would be found out here.</p>\n",
    );
    list(text, results, &grid.controls.iter().collect::<Vec<_>>());
    text.push_str("</section>\n");
}
