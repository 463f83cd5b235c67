//! Reports for a terminal.

use std::fmt::Write;
use std::time::Duration;

use crate::report::grid::{Entry, Frequency, Grid, Mark, Panel, Standing};
use crate::report::markup::plain;
use crate::report::words;
use crate::result::Results;

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line.
    pub columns: usize,
    /// Lines, where a picture has to fit onto them to be drawn again over itself.
    pub rows: Option<usize>,
    /// Whether it may have colours.
    pub colour: Colour,
}

/// Whether text has colours. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Signs alone.
    Off,
    /// By the codes of ECMA-48.
    On,
}

/// How far an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Runs that were made.
    pub done: u32,
    /// Runs in all, as far as is known by now.
    pub planned: u32,
    /// How long it has been running.
    pub elapsed: Duration,
    /// How long it will still take; `None` where it is too early to say.
    pub left: Option<Duration>,
}

/// The longest name of a box or way that is shown whole.
const LONGEST_NAME: usize = 30;
/// Between two panels.
const GAP: usize = 3;
/// What the corner above the boxes' names says of rows and columns.
const CORNER: &str = "a behind ↓  b behind →";
/// Room for a panel's title where panels stand close.
const SHORT_TITLE: usize = 18;
/// How many findings a summary spells out.
const MOST_FINDINGS: usize = 12;

/// The grid, panel beside panel as far as the screen is wide, with a legend.
#[must_use]
pub fn grid(grid: &Grid, screen: &Screen) -> String {
    drawn(grid, screen, Spacing::Wide)
}

/// The grid while it is being filled, as small as it must be to fit onto the screen: without
/// spaces, or at last as one line for each panel.
#[must_use]
pub fn live(grid: &Grid, progress: &Progress, screen: &Screen) -> String {
    let head = progress_line(progress, screen.columns);
    let rows = screen.rows.unwrap_or(usize::MAX);
    let fits = |text: &String| text.lines().count() + 2 <= rows;
    let drawn = [Spacing::Wide, Spacing::Close]
        .map(|spacing| drawn(grid, screen, spacing))
        .into_iter()
        .find(fits);
    let picture = drawn.unwrap_or_else(|| tallies(grid, rows.saturating_sub(2)));
    format!("{picture}\n{head}\n")
}

/// How far it is, in one line.
#[must_use]
pub fn progress_line(progress: &Progress, columns: usize) -> String {
    let Progress { done, planned, elapsed, left } = *progress;
    let left = left.map_or_else(|| "too early to say".to_owned(), |left| clock(left) + " left");
    let figures = format!("{done} of {planned} runs, {} gone, {left}", clock(elapsed));
    let room = columns.saturating_sub(figures.chars().count() + 5).min(40);
    let full = room * (done.min(planned) as usize) / (planned.max(1) as usize);
    format!("  {}{}  {figures}", "█".repeat(full), "░".repeat(room - full))
}

/// What came of it all, in words: how many cells, each surprise, each void cell.
#[must_use]
pub fn summary(results: &Results) -> String {
    let grid = Grid::of(results);
    let mut text = counts(&grid, results);
    let with = |standing| move |entry: &&Entry| entry.mark.standing() == Some(standing);
    findings(&mut text, results, "surprises", grid.entries().filter(with(Standing::Surprise)));
    findings(&mut text, results, "explained", grid.entries().filter(with(Standing::Explained)));
    findings(&mut text, results, "void", grid.entries().filter(|entry| entry.mark == Mark::Void));
    if !grid.controls.is_empty() {
        let usual = |entry: &&Entry| entry.mark.standing() == Some(Standing::AsPredicted);
        let _ = writeln!(
            text,
            "  with forging withheld: {} of {} as predicted",
            grid.controls.iter().filter(usual).count(),
            words::counted(grid.controls.len(), "control")
        );
    }
    for check in results.classification.iter().filter(|check| !check.differences.is_empty()) {
        let axes: Vec<_> = check.differences.iter().map(|found| plain(&found.axis, 40)).collect();
        let name = plain(&check.name, LONGEST_NAME);
        let _ = writeln!(text, "  {name} is not what it says: {}", axes.join(", "));
    }
    if !results.complete {
        text.push_str("  INCOMPLETE: broken off before everything was run\n");
    }
    text
}

/// How many cells stand how to their predictions, in one line.
fn counts(grid: &Grid, results: &Results) -> String {
    let count =
        |standing| grid.entries().filter(|entry| entry.mark.standing() == Some(standing)).count();
    let runs: usize = results.cells.iter().map(|cell| cell.runs.len()).sum();
    let mut parts = vec![
        words::counted(results.cells.len(), "cell"),
        words::counted(runs, "run"),
        format!("{} as predicted", count(Standing::AsPredicted)),
        words::counted(count(Standing::Surprise), "surprise"),
    ];
    let rest = [
        (count(Standing::Explained), "explained by facts about kernels"),
        (count(Standing::Unjudged), "without a prediction or verdict"),
        (grid.entries().filter(|entry| entry.mark == Mark::Void).count(), "void"),
        (grid.entries().filter(|entry| entry.mark == Mark::Pending).count(), "not run"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0);
    parts.extend(rest.map(|(count, what)| format!("{count} {what}")));
    format!("  {}\n", parts.join(", "))
}

fn findings<'g>(
    text: &mut String,
    results: &Results,
    what: &str,
    found: impl Iterator<Item = &'g Entry>,
) {
    let found: Vec<&Entry> = found.collect();
    for entry in found.iter().take(MOST_FINDINGS) {
        let verdict = plain(&words::verdict(&results.cells[entry.cell]), 300);
        let _ = writeln!(text, "  {}: {verdict}", plain(&entry.title, 100));
    }
    if let Some(more) = found.len().checked_sub(MOST_FINDINGS).filter(|more| *more > 0) {
        let _ = writeln!(text, "  … and {more} more that are {what}");
    }
}

/// How close panels stand. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Two characters a cell, and each panel's tally.
    Wide,
    /// One character a cell, titles cut short.
    Close,
}

impl Spacing {
    const fn cell(self) -> usize {
        match self {
            Self::Wide => 2,
            Self::Close => 1,
        }
    }

    /// What a panel takes of a line, with the gap behind it.
    fn panel(self, grid: &Grid, panel: &Panel) -> usize {
        let words = match self {
            Self::Wide => {
                let title = panel.title.chars().count().min(LONGEST_NAME);
                title.max(tally(panel).chars().count())
            }
            Self::Close => SHORT_TITLE,
        };
        (grid.boxes.len() * self.cell()).max(words) + GAP
    }
}

/// The grid, drawn as wide as that.
fn drawn(grid: &Grid, screen: &Screen, spacing: Spacing) -> String {
    let names: Vec<String> = grid.boxes.iter().map(|name| plain(name, LONGEST_NAME)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // Also wide enough for the corner.
    let labels = (longest + 6).max(CORNER.chars().count() + 1);
    let mut text = String::new();
    for band in bands(grid, screen.columns.saturating_sub(labels), spacing) {
        let mut line = |label: &str, cell: &dyn Fn(&Panel, usize) -> String| {
            let _ = write!(text, "{label:<labels$}");
            for panel in band {
                text.push_str(&cell(panel, spacing.panel(grid, panel)));
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        };
        line("", &|panel, size| format!("{:<size$}", short(&panel.title, size - GAP)));
        if spacing == Spacing::Wide {
            line("", &|panel, size| format!("{:<size$}", plain(&tally(panel), size - GAP)));
        }
        let [tens, ones] = heading(grid.boxes.len(), spacing.cell());
        if grid.boxes.len() >= 10 {
            line("", &|_, size| format!("{tens:<size$}"));
        }
        line(CORNER, &|_, size| format!("{ones:<size$}"));
        for (row, name) in names.iter().enumerate() {
            let label = format!(" {:>2} {name}", row + 1);
            line(&label, &|panel, size| row_of(grid, panel, row, size, spacing, screen.colour));
        }
        text.push('\n');
    }
    text + &legend(grid, screen.colour)
}

/// A title that is cut in front: techniques differ in how they end.
fn short(title: &str, longest: usize) -> String {
    match title.chars().count().checked_sub(longest).filter(|beyond| *beyond > 0) {
        None => plain(title, longest),
        Some(beyond) => plain(&title.chars().skip(beyond + 1).collect::<String>(), longest - 1)
            .replacen("", "…", 1),
    }
}

/// The panels, as many beside each other as there is room for.
fn bands(grid: &Grid, room: usize, spacing: Spacing) -> impl Iterator<Item = &[Panel]> {
    let mut rest = grid.panels.as_slice();
    std::iter::from_fn(move || {
        let mut used = 0;
        let fitting = rest.iter().take_while(|panel| {
            used += spacing.panel(grid, panel);
            used <= room + GAP
        });
        let many = fitting.count().clamp(1, rest.len().max(1));
        let (band, behind) = rest.split_at_checked(many)?;
        rest = behind;
        Some(band)
    })
}

/// The columns' numbers, tens above ones.
fn heading(boxes: usize, width: usize) -> [String; 2] {
    let tens = |number: usize| if number >= 10 { (number / 10).to_string() } else { String::new() };
    [
        (1..=boxes).map(|number| format!("{:<width$}", tens(number))).collect(),
        (1..=boxes).map(|number| format!("{:<width$}", number % 10)).collect(),
    ]
}

/// One row of one panel.
fn row_of(
    grid: &Grid,
    panel: &Panel,
    row: usize,
    size: usize,
    spacing: Spacing,
    colour: Colour,
) -> String {
    let width = spacing.cell();
    let mut text = String::new();
    for column in 0..grid.boxes.len() {
        let entry = panel.entries.iter().find(|entry| (entry.row, entry.column) == (row, column));
        let sign = entry.map_or_else(|| " ".to_owned(), |entry| sign(entry.mark, colour));
        let _ = write!(text, "{sign}{:1$}", "", width - 1);
    }
    // Not padded by the formatter, which would count the codes of colours.
    let _ = write!(text, "{:1$}", "", size - grid.boxes.len() * width);
    text
}

/// `30 of 78 connect, 2 at times`.
fn tally(panel: &Panel) -> String {
    let [always, sometimes, never] = panel.tally();
    let at_times = if sometimes > 0 { format!(", {sometimes} at times") } else { String::new() };
    format!("{always} of {} connect{at_times}", always + sometimes + never)
}

/// One line for each panel, where there is no room for the grid.
fn tallies(grid: &Grid, most: usize) -> String {
    let line = |panel: &Panel| {
        let pending = panel.entries.iter().filter(|entry| entry.mark == Mark::Pending).count();
        let title = plain(&panel.title, LONGEST_NAME);
        format!("  {title:<LONGEST_NAME$}  {}, {pending} pending\n", tally(panel))
    };
    grid.panels.iter().take(most).map(line).collect()
}

/// The signs that occur, and what they mean.
fn legend(grid: &Grid, colour: Colour) -> String {
    let marks: Vec<Mark> =
        grid.panels.iter().flat_map(|panel| &panel.entries).map(|entry| entry.mark).collect();
    let first = |known: &char| marks.iter().find(|mark| letter(**mark) == *known);
    let words: Vec<String> = SIGNS
        .iter()
        .filter_map(first)
        .map(|mark| format!("{} {}", sign(*mark, colour), meaning(*mark)))
        .collect();
    words.chunks(3).map(|line| format!("  {}\n", line.join("   "))).collect()
}

/// All signs, in the order of the legend.
const SIGNS: [char; 14] = ['●', '◐', '○', '■', '◧', '□', '▲', '◆', '▼', '△', '◇', '▽', '×', '·'];

/// The sign of a mark; each shape means one thing, whatever its colour.
const fn letter(mark: Mark) -> char {
    let (Some(frequency), Some(standing)) = (mark.frequency(), mark.standing()) else {
        return if matches!(mark, Mark::Void) { '×' } else { '·' };
    };
    match (standing, frequency) {
        (Standing::AsPredicted, Frequency::Always) => '●',
        (Standing::AsPredicted, Frequency::Sometimes) => '◐',
        (Standing::AsPredicted, Frequency::Never) => '○',
        (Standing::Unjudged, Frequency::Always) => '■',
        (Standing::Unjudged, Frequency::Sometimes) => '◧',
        (Standing::Unjudged, Frequency::Never) => '□',
        (Standing::Surprise, Frequency::Always) => '▲',
        (Standing::Surprise, Frequency::Sometimes) => '◆',
        (Standing::Surprise, Frequency::Never) => '▼',
        (Standing::Explained, Frequency::Always) => '△',
        (Standing::Explained, Frequency::Sometimes) => '◇',
        (Standing::Explained, Frequency::Never) => '▽',
    }
}

/// What the sign of a mark means.
fn meaning(mark: Mark) -> String {
    let (Some(frequency), Some(standing)) = (mark.frequency(), mark.standing()) else {
        return if mark == Mark::Void { "void" } else { "pending" }.to_owned();
    };
    let connects = match frequency {
        Frequency::Always => "connects",
        Frequency::Sometimes => "connects at times",
        Frequency::Never => "fails",
    };
    let stands = match standing {
        Standing::AsPredicted => ", as predicted",
        Standing::Unjudged => "",
        Standing::Surprise => ": a surprise",
        Standing::Explained => ": not as predicted, explained",
    };
    format!("{connects}{stands}")
}

fn sign(mark: Mark, colour: Colour) -> String {
    let letter = letter(mark);
    let code = match (mark.standing(), mark.frequency()) {
        (Some(Standing::Surprise), _) => "1;31",
        (Some(Standing::Explained), _) => "35",
        (_, Some(Frequency::Always)) => "32",
        (_, Some(Frequency::Sometimes)) => "36",
        (_, Some(Frequency::Never)) => "2",
        (_, None) if mark == Mark::Void => "33",
        (_, None) => "2",
    };
    match colour {
        Colour::Off => letter.to_string(),
        Colour::On => format!("\x1b[{code}m{letter}\x1b[0m"),
    }
}

/// `4:07`, in minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
