//! A survey of a population: a table for a terminal, and a page with a chart.

mod chart;

use std::fmt::Write;

pub use self::chart::chart;

use super::html::Opening;
use super::markup::{Escaped, plain};
use super::words;
use crate::population::{Alone, BetweenBoxes, InOrder, Survey};
use crate::result::Rate;

/// The longest name and the longest line that a terminal is shown.
const LONGEST_NAME: usize = 32;
const LONGEST_LINE: usize = 400;

/// The columns of the table of techniques. The third is empty, and is left out, where all brokers'
/// networks let foreign sources out, or none does.
const HEADINGS: [&str; 6] =
    ["technique", "alone", "where sources pass", "established, ms", "in this order", "adds"];

/// The survey in a few words, for a terminal.
#[must_use]
pub fn text(survey: &Survey) -> String {
    let mut text = format!("{}: {}\n", plain(&survey.name, LONGEST_LINE), told(survey));
    for line in survey.description.iter().chain([&format!("shares: {}", survey.source)]) {
        let _ = writeln!(text, "{}", plain(line, LONGEST_LINE));
    }
    text.push('\n');
    table(&mut text, &rows(survey));
    if !survey.left.is_empty() {
        let pairs = words::counted(survey.relay.successes as usize, "pair");
        let _ = writeln!(text, "\n{pairs} only a relay could join, because");
    }
    for left in &survey.left {
        let (rate, cause) = (interval(&left.pairs), plain(&left.cause, LONGEST_LINE));
        let _ = writeln!(text, "  {rate:>22}  {cause}");
    }
    for (violation, times) in &survey.violations {
        let violation = plain(violation, LONGEST_LINE);
        let _ = writeln!(text, "\nMUST NEVER HAPPEN, {times} times: {violation}");
    }
    if !survey.complete {
        text.push_str("\nINCOMPLETE: broken off before as many pairs were drawn as asked for\n");
    }
    text
}

/// How many pairs of what.
fn told(survey: &Survey) -> String {
    let mut text = words::counted(survey.pairs as usize, "pair");
    let kinds = words::counted(survey.boxes.len(), "kind");
    let _ = write!(text, " behind {kinds} of boxes; ");
    match &survey.paths[..] {
        [only] => text.push_str(&words::conditions(&only.of)),
        paths => {
            let _ = write!(text, "{} kinds of paths", paths.len());
        }
    }
    let share = words::percent(survey.lets_foreign_sources_out);
    let _ = write!(text, "; {share} of brokers' networks let foreign sources out");
    text
}

/// The techniques: those in an order, and then those beside it.
fn techniques(survey: &Survey) -> Vec<(&Alone, Option<&InOrder>)> {
    let place = |alone: &Alone| {
        let is_meant = |row: &InOrder| row.technique == alone.technique;
        survey.order.iter().position(is_meant)
    };
    let placed = survey.alone.iter().map(|alone| (alone, place(alone)));
    let mut techniques: Vec<_> = placed.collect();
    techniques.sort_by_key(|(_, place)| place.unwrap_or(usize::MAX));
    let row = |place: Option<usize>| place.and_then(|place| survey.order.get(place));
    techniques.into_iter().map(|(alone, place)| (alone, row(place))).collect()
}

/// The rows of the table: the techniques, and what is left.
fn rows(survey: &Survey) -> Vec<[String; 6]> {
    let told = techniques(survey).into_iter().map(|(alone, row)| technique(survey, alone, row));
    let mut relay: [String; 6] = Default::default();
    relay[0] = "only a relay".to_owned();
    relay[4] = interval(&survey.relay);
    told.chain([relay]).collect()
}

fn technique(survey: &Survey, alone: &Alone, row: Option<&InOrder>) -> [String; 6] {
    let is_divided = (1..survey.pairs).contains(&alone.where_sources_pass.runs);
    let or_none = |told: Option<String>| told.unwrap_or_else(|| "–".to_owned());
    [
        plain(&alone.technique.to_string(), LONGEST_NAME),
        interval(&alone.joined),
        if is_divided { interval(&alone.where_sources_pass) } else { String::new() },
        or_none(alone.established_ms.map(|times| words::figure(times.p50))),
        or_none(row.map(|row| interval(&row.joined))),
        or_none(row.map(|row| interval(&row.adds))),
    ]
}

/// `61 % (60 to 62)`.
fn interval(rate: &Rate) -> String {
    let Some(share) = rate.share() else { return "–".to_owned() };
    let figure = |share: f64| format!("{:.1}", share * 100.0);
    format!("{} % ({} to {})", figure(share), figure(rate.low), figure(rate.high))
}

fn table(text: &mut String, rows: &[[String; 6]]) {
    let is_shown = |column: &usize| rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..6).filter(is_shown).collect();
    let mut line = |row: &dyn Fn(usize) -> String| {
        for column in &columns {
            let cells = rows.iter().map(|row| row[*column].chars().count());
            let width = cells.chain([HEADINGS[*column].chars().count()]).max().unwrap_or(0);
            let cell = row(*column);
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(&|column| HEADINGS[column].to_owned());
    rows.iter().for_each(|row| line(&|column| row[column].clone()));
}

/// The survey as one HTML page: no script, nothing from a network, light or dark as the reader's
/// system is. It is well-formed XML too.
#[must_use]
pub fn page(survey: &Survey) -> String {
    let mut text = Opening {
        headline: &survey.name,
        lead: &told(survey),
        style: chart::STYLE,
        complete: survey.complete,
        seed: survey.seed,
        command: &survey.command,
    }
    .text();
    if let Some(words) = &survey.description {
        let _ = writeln!(text, "<p>{}.</p>", Escaped(words));
    }
    let _ = writeln!(text, "<p class=\"quiet\">Shares: {}.</p>", Escaped(&survey.source));
    text.push_str("<section>\n<h2>What joins how many</h2>\n<div class=\"wide\">\n");
    text.push_str(&chart::embedded(survey));
    text.push_str("</div>\n");
    html_table(&mut text, survey);
    text.push_str("</section>\n");
    left(&mut text, survey);
    between(&mut text, survey);
    shares(&mut text, survey);
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn html_table(text: &mut String, survey: &Survey) {
    let rows = rows(survey);
    let is_shown = |column: &usize| rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..6).filter(is_shown).collect();
    let class = |column: usize| if column == 0 { "" } else { " class=\"figure\"" };
    text.push_str("<table><thead><tr>");
    for column in &columns {
        let _ = write!(text, "<th{}>{}</th>", class(*column), HEADINGS[*column]);
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in &rows {
        text.push_str("<tr>");
        for column in &columns {
            let _ = write!(text, "<td{}>{}</td>", class(*column), Escaped(&row[*column]));
        }
        text.push_str("</tr>\n");
    }
    text.push_str(
        "</tbody></table>\n<p class=\"quiet\">Alone: pairs that the technique joins by itself. Where \
         sources pass: the same, of the pairs whose broker's network lets foreign sources out. \
         Established: the median. In this order: pairs that it or one above it joins, and what it \
         adds to those above. In brackets Wilson intervals at 95 %.</p>\n",
    );
}

fn left(text: &mut String, survey: &Survey) {
    if survey.left.is_empty() && survey.violations.is_empty() {
        return;
    }
    text.push_str("<section>\n<h2>What only a relay could join</h2>\n<table><tbody>\n");
    for left in &survey.left {
        let _ = writeln!(
            text,
            "<tr><td class=\"figure\">{}</td><td>{}</td></tr>",
            interval(&left.pairs),
            Escaped(&left.cause)
        );
    }
    text.push_str("</tbody></table>\n");
    for (violation, times) in &survey.violations {
        let _ = writeln!(
            text,
            "<p class=\"warning\"><strong>Must never happen, {times} times:</strong> {}</p>",
            Escaped(violation)
        );
    }
    text.push_str("</section>\n");
}

/// The share of pairs that are joined by anything, box by box.
fn between(text: &mut String, survey: &Survey) {
    text.push_str(
        "<section>\n<h2>Between which boxes</h2>\n\
         <p>The share of pairs that any technique joins. Rows: the box before the originator.</p>\n\
         <div class=\"wide\">\n<table><thead><tr><th></th>",
    );
    let places: Vec<usize> = (0..survey.boxes.len()).collect();
    for place in &places {
        let _ = write!(text, "<th class=\"figure\">{}</th>", place + 1);
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in &places {
        let name = &survey.boxes[*row].of.name;
        let _ = write!(text, "<tr><td>{} {}</td>", row + 1, Escaped(name));
        for column in &places {
            let meant = |met: &&BetweenBoxes| met.boxes == [*row, *column];
            let rate = survey.between.iter().find(meant).map(|met| met.joined);
            let share = rate.and_then(|rate| rate.share()).map(words::percent);
            let _ = write!(text, "<td class=\"figure\">{}</td>", share.as_deref().unwrap_or("–"));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table>\n</div>\n</section>\n");
}

/// What the population is.
fn shares(text: &mut String, survey: &Survey) {
    text.push_str("<section>\n<h2>The population</h2>\n<table><tbody>\n");
    let boxes = survey.boxes.iter().map(|one| (one.share, one.of.name.clone()));
    let paths = survey.paths.iter().map(|one| (one.share, words::conditions(&one.of)));
    for (share, words) in boxes.chain(paths) {
        let _ = writeln!(
            text,
            "<tr><td class=\"figure\">{}</td><td>{}</td></tr>",
            words::percent(share),
            Escaped(&words)
        );
    }
    text.push_str("</tbody></table>\n</section>\n");
}
