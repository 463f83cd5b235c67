//! The grid as a picture.

use std::fmt::Write;

use crate::report::grid::{Entry, Grid, Mark, Panel, Standing};
use crate::report::markup::{Escaped, plain};
use crate::report::words;
use crate::result::{Kind, Results};

/// Colours and type of every picture; the HTML report has the same sheet. Both schemes are in it:
/// a browser picks one, also for a picture that a page embeds.
pub(super) const STYLE: &str = include_str!("svg.css");

/// Side of a cell and distance of two cells, in pixels.
const SIDE: f64 = 15.0;
const PITCH: f64 = 18.0;
/// Between two panels.
const GAP: f64 = 34.0;
/// Above a panel's cells: its title, its tally and the columns' numbers.
const HEAD: f64 = 56.0;
/// Width of one letter of a label, for room: the widest fonts of this size need no more.
const LETTER: f64 = 6.9;
/// What a picture is at most wide, unless one panel is wider.
const WIDEST: f64 = 1240.0;
/// The longest name that is shown whole.
const LONGEST_NAME: usize = 32;

/// What a cell of a picture leads to. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Nothing: a picture that stands alone.
    None,
    /// The cell's part of the page around it, `#c` and its number.
    ToCells,
}

/// The grid as a picture that stands alone: `grid.svg`.
#[must_use]
pub fn grid(results: &Results) -> String {
    let grid = Grid::of(results);
    let layout = Layout::of(&grid);
    let (width, top) = (layout.width, 66.0);
    let height = top + layout.height + 40.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sheet\" role=\"img\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{}</text>\n\
         <text class=\"quiet\" x=\"16\" y=\"48\">{}</text>\n",
        Escaped(&headline(results)),
        Escaped(&headline(results)),
        Escaped(&subtitle(results)),
    );
    let _ = writeln!(text, "<g transform=\"translate(0 {top})\">");
    layout.draw(&mut text, Links::None);
    text.push_str("</g>\n");
    let _ = writeln!(text, "<g transform=\"translate(16 {})\">", height - 30.0);
    legend(&mut text, &grid);
    text.push_str("</g>\n</svg>\n");
    text
}

/// The grid as a part of a page.
pub(super) fn embedded(grid: &Grid) -> String {
    let layout = Layout::of(grid);
    let mut text = format!(
        "<svg class=\"grid\" role=\"group\" aria-label=\"Success of each technique between each \
         two boxes\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n",
        layout.width, layout.height
    );
    layout.draw(&mut text, Links::ToCells);
    text.push_str("</svg>\n");
    let _ = writeln!(
        text,
        "<svg class=\"legend\" role=\"group\" aria-label=\"Legend\" width=\"{0}\" height=\"24\" \
         viewBox=\"0 0 {0} 24\">",
        layout.width
    );
    legend(&mut text, grid);
    text.push_str("</svg>\n");
    text
}

/// What the experiment was, in one line.
pub(super) fn headline(results: &Results) -> String {
    match results.kind {
        Kind::Matrix => format!(
            "{0} × {0} boxes, {1}",
            results.boxes.len(),
            words::counted(results.ways.len(), "technique")
        ),
        Kind::Run => words::counted(results.cells.len(), "attempt"),
        Kind::Bench => "Handshake latency".to_owned(),
    }
}

/// Under which conditions, and how much was run.
pub(super) fn subtitle(results: &Results) -> String {
    let runs: usize = results.cells.iter().map(|cell| cell.runs.len()).sum();
    let first = results.cells.first().map(|cell| words::conditions(&cell.cell.conditions));
    let incomplete = if results.complete { "" } else { ", broken off before the end" };
    let stack = results.stack.as_ref().map_or_else(String::new, |stack| {
        format!(", in virtual time between hosts with the TCP of {}", plain(stack, 20))
    });
    format!(
        "{}, {}{}; boxes turned by {}{stack}{incomplete}",
        words::counted(results.cells.len(), "cell"),
        words::counted(runs, "run"),
        first
            .filter(|_| results.kind == Kind::Matrix)
            .map_or_else(String::new, |first| format!(", {first}")),
        match results.executor {
            crate::network::Executor::Model => "the model",
            crate::network::Executor::Nft => "kernels with nftables",
        }
    )
}

/// Where everything stands.
struct Layout<'g> {
    grid: &'g Grid,
    labels: f64,
    in_band: usize,
    panel: [f64; 2],
    width: f64,
    height: f64,
}

impl<'g> Layout<'g> {
    fn of(grid: &'g Grid) -> Self {
        let longest = grid.boxes.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let labels = number(longest.min(LONGEST_NAME)) * LETTER + 52.0;
        let cells = number(grid.boxes.len()) * PITCH;
        // A title must not run into its neighbour's.
        let titles = grid.panels.iter().map(|panel| panel.title.chars().count()).max().unwrap_or(0);
        let panel = [cells.max(number(titles.min(LONGEST_NAME)) * LETTER * 1.1), cells + HEAD];
        let room = ((WIDEST - labels - 16.0 + GAP) / (panel[0] + GAP)).floor().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let most = room as usize;
        let many = grid.panels.len().max(1);
        // As even as possible: six panels are three and three rather than four and two.
        let in_band = many.div_ceil(many.div_ceil(most));
        let width = labels + number(in_band) * (panel[0] + GAP) - GAP + 16.0;
        let height = number(many.div_ceil(in_band)) * (panel[1] + 22.0);
        Self { grid, labels, in_band, panel, width: width.max(620.0), height }
    }

    fn draw(&self, text: &mut String, links: Links) {
        for (number_of_band, band) in self.grid.panels.chunks(self.in_band.max(1)).enumerate() {
            let y = number(number_of_band) * (self.panel[1] + 22.0);
            let _ = writeln!(text, "<g transform=\"translate(0 {y})\">");
            self.labels(text);
            for (place, panel) in band.iter().enumerate() {
                let x = self.labels + number(place) * (self.panel[0] + GAP);
                let _ = writeln!(text, "<g transform=\"translate({x} 0)\">");
                self.panel(text, panel, links);
                text.push_str("</g>\n");
            }
            text.push_str("</g>\n");
        }
    }

    /// The rows' names and numbers.
    fn labels(&self, text: &mut String) {
        for (row, name) in self.grid.boxes.iter().enumerate() {
            let y = HEAD + number(row) * PITCH + 11.5;
            let _ = writeln!(
                text,
                "<text class=\"label\" x=\"{}\" y=\"{y}\">{}</text>\
                 <text class=\"number\" x=\"{}\" y=\"{y}\">{}</text>",
                self.labels - 30.0,
                Escaped(&plain(name, LONGEST_NAME)),
                self.labels - 8.0,
                row + 1
            );
        }
    }

    fn panel(&self, text: &mut String, panel: &Panel, links: Links) {
        let [always, sometimes, never] = panel.tally();
        let tried = always + sometimes + never;
        let at_times =
            if sometimes > 0 { format!(", {sometimes} at times") } else { String::new() };
        let _ = writeln!(
            text,
            "<text class=\"way\" x=\"0\" y=\"14\">{}</text>\
             <text class=\"quiet\" x=\"0\" y=\"30\">{always} of {tried} pairs connect{at_times}</text>",
            Escaped(&plain(&panel.title, LONGEST_NAME))
        );
        for (column, name) in self.grid.boxes.iter().enumerate() {
            let _ = writeln!(
                text,
                "<text class=\"column\" x=\"{}\" y=\"50\"><title>{}</title>{}</text>",
                number(column) * PITCH + SIDE / 2.0,
                Escaped(name),
                column + 1
            );
        }
        for entry in &panel.entries {
            let (x, y) = (number(entry.column) * PITCH, HEAD + number(entry.row) * PITCH);
            let link = match links {
                Links::None => None,
                Links::ToCells => Some(entry.cell),
            };
            if let Some(cell) = link {
                let _ = write!(text, "<a href=\"#c{cell}\">");
            }
            let _ = write!(text, "<g transform=\"translate({x} {y})\">");
            let _ = write!(text, "<title>{}</title>", Escaped(&told(entry)));
            sign(text, entry.mark);
            text.push_str(if link.is_some() { "</g></a>\n" } else { "</g>\n" });
        }
    }
}

/// What a pointer over the cell shows.
fn told(entry: &Entry) -> String {
    let stands = match entry.mark.standing() {
        Some(Standing::AsPredicted) => ", as predicted",
        Some(Standing::Unjudged) => "",
        Some(Standing::Explained) => ", not as predicted, explained",
        Some(Standing::Surprise) => ", a surprise",
        None => "",
    };
    let came = match entry.mark {
        Mark::Pending => "not run".to_owned(),
        Mark::Void => "void".to_owned(),
        Mark::Tried { success, .. } => words::success(&success),
    };
    format!("{}: {came}{stands}", entry.title)
}

/// A mark: how far it is filled says how often it connects, its rim how that stands to the
/// prediction. Each is told apart by shape as well as by colour.
pub(super) fn sign(text: &mut String, mark: Mark) {
    let _ = match mark {
        Mark::Pending => {
            write!(text, "<rect class=\"none\" width=\"{SIDE}\" height=\"{SIDE}\" rx=\"2\"/>")
        }
        Mark::Void => write!(
            text,
            "<rect class=\"none\" width=\"{SIDE}\" height=\"{SIDE}\" rx=\"2\"/>\
             <path class=\"void\" d=\"M4 4L11 11M11 4L4 11\"/>"
        ),
        Mark::Tried { success, standing } => {
            let share = success.share().unwrap_or(0.0);
            let _ =
                write!(text, "<rect class=\"cell\" width=\"{SIDE}\" height=\"{SIDE}\" rx=\"2\"/>");
            if success.successes > 0 {
                // A cell that connects but seldom shows at least a line.
                let filled = (SIDE * share).max(2.0);
                let _ = write!(
                    text,
                    "<rect class=\"full\" y=\"{:.1}\" width=\"{SIDE}\" height=\"{filled:.1}\" rx=\"2\"/>",
                    SIDE - filled
                );
            }
            match standing {
                Standing::AsPredicted | Standing::Unjudged => Ok(()),
                Standing::Explained => {
                    write!(text, "<circle class=\"known\" cx=\"7.5\" cy=\"7.5\" r=\"4\"/>")
                }
                Standing::Surprise => write!(
                    text,
                    "<rect class=\"rim\" x=\"-1\" y=\"-1\" width=\"17\" height=\"17\" rx=\"3\"/>\
                     <path class=\"cry\" d=\"M7.5 3V8.5M7.5 11V12.5\"/>"
                ),
            }
        }
    };
}

/// The marks that occur and what they mean, beside each other.
fn legend(text: &mut String, grid: &Grid) {
    let occurring: Vec<Mark> =
        grid.panels.iter().flat_map(|panel| &panel.entries).map(|entry| entry.mark).collect();
    let mut x = 0.0;
    for (sample, meaning, occurs) in samples() {
        if !occurring.iter().any(|mark| occurs(*mark)) {
            continue;
        }
        let _ = write!(text, "<g transform=\"translate({x} 4)\">");
        sign(text, sample);
        let _ = writeln!(text, "<text class=\"key\" x=\"22\" y=\"12\">{meaning}</text></g>");
        x += 22.0 + number(meaning.chars().count()) * LETTER + 14.0;
    }
    let _ = writeln!(
        text,
        "<text class=\"key quiet\" x=\"{x}\" y=\"16\">row: box before a; column: before b</text>"
    );
}

/// A mark, what it means, and which marks mean the same.
type Sample = (Mark, &'static str, fn(Mark) -> bool);

/// One mark of each meaning.
fn samples() -> [Sample; 7] {
    use crate::report::grid::Frequency;
    use crate::result::Rate;
    let tried = |successes, standing| Mark::Tried {
        success: Rate { successes, runs: 2, low: 0.0, high: 1.0 },
        standing,
    };
    let usual = Standing::AsPredicted;
    [
        (tried(2, usual), "connects", |mark| mark.frequency() == Some(Frequency::Always)),
        (tried(1, usual), "that often", |mark| mark.frequency() == Some(Frequency::Sometimes)),
        (tried(0, usual), "fails", |mark| mark.frequency() == Some(Frequency::Never)),
        (tried(0, Standing::Surprise), "not as predicted", |mark| {
            mark.standing() == Some(Standing::Surprise)
        }),
        (tried(0, Standing::Explained), "explained", |mark| {
            mark.standing() == Some(Standing::Explained)
        }),
        (Mark::Void, "void", |mark| mark == Mark::Void),
        (Mark::Pending, "not run", |mark| mark == Mark::Pending),
    ]
}

/// A small count as a length.
fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
