//! The drill-down: what was predicted of a cell, its runs, and one of them in full.

use std::fmt::Write;

use crate::report::grid::{Entry, Grid, Panel, Standing};
use crate::report::markup::Escaped;
use crate::report::{difference, ladder, svg, words};
use crate::result::{CellResult, Results};
use crate::run::{RunRecord, TimelineEntry};

/// Lines of a timeline that a page shows.
const MOST_LINES: usize = 60;
/// Runs of a cell that a page lists.
const MOST_RUNS: usize = 25;

/// All cells, panel by panel, closed until they are asked for.
pub(super) fn section(text: &mut String, results: &Results, grid: &Grid) {
    text.push_str("<section>\n<h2>Cell by cell</h2>\n");
    for Panel { title, entries } in &grid.panels {
        let _ = writeln!(
            text,
            "<details class=\"way\"><summary>{}<span class=\"came\">{}</span></summary>",
            Escaped(title),
            words::counted(entries.len(), "pair")
        );
        if let Some(first) = entries.first() {
            let described = words::described(&results.cells[first.cell].cell.way);
            let _ = writeln!(text, "<p class=\"quiet\">{described}</p>");
        }
        entries.iter().for_each(|entry| cell(text, results, entry));
        text.push_str("<p></p></details>\n");
    }
    grid.controls.iter().for_each(|entry| cell(text, results, entry));
    text.push_str("</section>\n");
}

fn cell(text: &mut String, results: &Results, entry: &Entry) {
    let result = &results.cells[entry.cell];
    text.push_str(
        "<details class=\"cell\"><summary><svg class=\"sign\" aria-hidden=\"true\" width=\"15\" \
         height=\"15\">",
    );
    svg::sign(text, entry.mark);
    let class = match entry.mark.standing() {
        Some(Standing::Surprise) => "came alarm-text",
        Some(Standing::AsPredicted | Standing::Unjudged | Standing::Explained) | None => "came",
    };
    let [a, b] = [0, 1].map(|side: usize| &result.cell.boxes[side].name);
    let _ = write!(
        text,
        "</svg>{} → {}<span class=\"{class}\">{}/{} · {}</span></summary>\n\
         <div class=\"body\" id=\"c{}\">\n",
        Escaped(a),
        Escaped(b),
        result.success.successes,
        result.success.runs,
        Escaped(&words::verdict(result)),
        entry.cell
    );
    facts(text, result);
    runs(text, &result.runs);
    if let Some(run) = shown(result) {
        one_run(text, results, result, run);
    }
    text.push_str("</div></details>\n");
}

fn facts(text: &mut String, result: &CellResult) {
    text.push_str("<dl>\n");
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", Escaped(value));
    };
    if let Some(prediction) = &result.prediction {
        fact("predicted", &words::expectation(prediction));
        fact("because", &prediction.why);
    }
    fact("came", &words::success(&result.success));
    if let Some(explained) = &result.explained {
        fact("explained by", explained);
    }
    if let Some(legs) = &result.legs {
        let [low, middle, high] = [legs.min, legs.p50, legs.max].map(words::figure);
        fact("established after", &format!("{middle} legs at the median ({low} to {high})"));
    }
    fact("conditions", &words::conditions(&result.cell.conditions));
    if result.voided > 0 {
        fact("void runs", &result.voided.to_string());
    }
    text.push_str("</dl>\n");
}

fn runs(text: &mut String, runs: &[RunRecord]) {
    if runs.is_empty() {
        return;
    }
    text.push_str(
        "<table><thead><tr><th>seed</th><th>came</th><th class=\"figure\">established</th>\
         <th class=\"figure\">legs</th><th class=\"figure\">packets of a, b, in others' names</th>\
         <th class=\"figure\">mappings</th></tr></thead><tbody>\n",
    );
    for run in runs.iter().take(MOST_RUNS) {
        let came = match &run.void {
            Some(void) => format!("void: {}; {}", words::void(void), words::outcome(run)),
            None => words::outcome(run),
        };
        let established = run.phases.established_ms.filter(|_| run.is_success());
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td class=\"figure\">{}</td><td class=\"figure\">{}</td>\
             <td class=\"figure\">{}, {}, {}</td><td class=\"figure\">{}, {}</td></tr>",
            run.seed,
            Escaped(&came),
            or_none(established.map(|ms| format!("{} ms", words::figure(ms)))),
            or_none(run.legs.map(words::figure)),
            run.packets_sent.a,
            run.packets_sent.b,
            run.packets_sent.forged,
            run.mappings[0],
            run.mappings[1],
        );
    }
    text.push_str("</tbody></table>\n");
    if let Some(more) = runs.len().checked_sub(MOST_RUNS).filter(|more| *more > 0) {
        let more = words::counted(more, "run");
        let _ = writeln!(text, "<p class=\"quiet\">… and {more} more in results.json</p>");
    }
}

/// The run that is shown in full: the first that failed, or else the first, among those that count
/// if there are any.
fn shown(result: &CellResult) -> Option<&RunRecord> {
    let counting = || result.runs.iter().filter(|run| run.is_valid());
    counting().find(|run| !run.is_success()).or_else(|| counting().next()).or(result.runs.first())
}

fn one_run(text: &mut String, results: &Results, result: &CellResult, run: &RunRecord) {
    let _ = writeln!(text, "<h4>The run with seed {}</h4>", run.seed);
    let mut step = None;
    if !run.is_success()
        && let Some((cell, worked)) = one_that_worked(results, result)
        && let Some(difference) = difference::first(run, worked)
    {
        step = difference.packet;
        let _ = writeln!(
            text,
            "<p><strong>First step that differs from a run that worked</strong> ({} to {}, seed \
             {}): {}.</p>",
            Escaped(&cell.cell.boxes[0].name),
            Escaped(&cell.cell.boxes[1].name),
            worked.seed,
            Escaped(&difference.words)
        );
    }
    if !run.ladder.is_empty() {
        let diagram = ladder::embedded(run, step);
        let _ = writeln!(text, "<div class=\"wide\">{diagram}</div>");
    }
    timeline(text, &run.timeline);
}

/// A run of the same technique that worked: of the same cell, else of one that shares a box with
/// it, else of any.
fn one_that_worked<'r>(
    results: &'r Results,
    failed: &CellResult,
) -> Option<(&'r CellResult, &'r RunRecord)> {
    let distance = |other: &CellResult| {
        let alike = |side: usize| other.cell.boxes[side].name == failed.cell.boxes[side].name;
        let others = [0, 1].into_iter().filter(|side| !alike(*side)).count();
        (
            other.cell.conditions != failed.cell.conditions,
            others,
            other.cell.forging != failed.cell.forging,
        )
    };
    let same_way = results.cells.iter().filter(|other| other.cell.way == failed.cell.way);
    let worked = same_way.filter_map(|cell| {
        let mut runs = cell.runs.iter().filter(|run| run.is_valid() && run.is_success());
        runs.next().map(|run| (cell, run))
    });
    worked.min_by_key(|(cell, _)| distance(cell))
}

fn timeline(text: &mut String, timeline: &[TimelineEntry]) {
    if timeline.is_empty() {
        return;
    }
    text.push_str("<details><summary>Timeline</summary><table class=\"timeline\"><tbody>\n");
    for TimelineEntry { at_ms, host, event, packet } in timeline.iter().take(MOST_LINES) {
        let _ = writeln!(
            text,
            "<tr><td class=\"figure\">{at_ms:.1} ms</td><td>{}</td><td>{}</td>\
             <td class=\"packet\">{}</td></tr>",
            Escaped(host),
            Escaped(event),
            Escaped(packet.as_deref().unwrap_or_default())
        );
    }
    text.push_str("</tbody></table>\n");
    if let Some(more) = timeline.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        let more = words::counted(more, "line");
        let _ = writeln!(text, "<p class=\"quiet\">… and {more} more in results.json</p>");
    }
    text.push_str("</details>\n");
}
