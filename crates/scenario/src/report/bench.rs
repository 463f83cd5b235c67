//! Handshake latency over delay and loss, beside the legs that theory gives.

mod chart;

use std::fmt::Write;
use std::time::Duration;

use simopen_protocol::technique::{Carriage, SynOwner, Technique};

use crate::cell::{Cell, Way};
use crate::milliseconds;
use crate::report::markup::{Escaped, plain};
use crate::report::words;
use crate::result::{CellResult, Results};
use crate::statistics::{Estimate, median};

pub use chart::chart;
pub(super) use chart::embedded;

/// How long a technique takes by the order of its messages alone: from the request until both ends
/// are ESTABLISHED, without loss, boxes or work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theory {
    /// One-way trips that follow one another.
    pub legs: f64,
    /// Waits that are part of the technique, however long a leg is.
    pub waits: Duration,
}

impl Theory {
    /// What theory says of a way; `None` of somebody else's program.
    ///
    /// Every technique that ends direct, but one, begins with the request to the broker (1), on to `b` (2), its
    /// acceptance (3) and the acknowledgement to `a` (4).
    #[must_use]
    pub fn of(way: &Way) -> Option<Self> {
        let (legs, waits) = match way {
            // SYN (5), SYN-ACK (6), and the ACK that establishes the listening side (7).
            Way::Own(Technique::Direct | Technique::PunchAndListen) => (7.0, Duration::ZERO),
            // The SYNs cross (5), and so do the SYN-ACKs (6).
            Way::Own(Technique::SimultaneousOpen) => (6.0, Duration::ZERO),
            // The same with the second SYN, which a kernel sends after a second (RFC 6298 §2.1).
            Way::Own(Technique::SimultaneousOpenLowTtl) => (6.0, Duration::from_secs(1)),
            // `a` reports its SYN (5), the forged SYN-ACKs (6).
            Way::Own(Technique::ForgedSynAck(SynOwner::Kernel)) => (6.0, Duration::ZERO),
            // The request commits to the SYN, so the acceptance (3) is answered by SYN-ACKs (4);
            // the broker gives `a` 5 ms to send the SYN that it had committed to.
            Way::Own(Technique::ForgedSynAck(SynOwner::Userspace)) => {
                (4.0, Duration::from_millis(5))
            }
            // The request to the broker (1), which names the relay to both at once (2); a SYN to
            // it (3) and its answer (4); the value and the first byte behind it (5), on to `b` (6).
            Way::Own(Technique::Relay(Carriage::Any)) => (6.0, Duration::ZERO),
            // Half a leg to the proxy, which dials the relay once it is asked to: one leg more.
            Way::Own(Technique::Relay(Carriage::Connect)) => (7.0, Duration::ZERO),
            Way::Own(_) | Way::Program(_) => return None,
        };
        Some(Self { legs, waits })
    }

    /// The legs that all of it takes where a leg is that long.
    #[must_use]
    pub fn in_legs_of(&self, leg: Duration) -> f64 {
        self.legs + self.waits.as_secs_f64() / leg.as_secs_f64()
    }
}

/// One line of a bench: a way under conditions.
struct Row<'r> {
    cell: &'r Cell,
    success: String,
    milliseconds: Option<Estimate>,
    legs: Option<Estimate>,
    theory: Option<f64>,
}

impl<'r> Row<'r> {
    fn of(result: &'r CellResult) -> Self {
        let over = |of: fn(&crate::run::RunRecord) -> Option<f64>| {
            let counting = result.runs.iter().filter(|run| run.is_valid() && run.is_success());
            median(&mut counting.filter_map(of).collect::<Vec<f64>>())
        };
        let cell = &result.cell;
        Self {
            cell,
            success: format!("{}/{}", result.success.successes, result.success.runs),
            milliseconds: over(|run| run.phases.established_ms),
            legs: over(|run| run.legs),
            theory: Theory::of(&cell.way).map(|theory| theory.in_legs_of(cell.conditions.leg)),
        }
    }

    /// The columns, as text.
    fn columns(&self) -> [String; 7] {
        let conditions = &self.cell.conditions;
        [
            plain(&self.cell.way.to_string(), 32),
            words::figure(milliseconds::of(conditions.leg)),
            words::figure(conditions.loss * 100.0),
            self.success.clone(),
            told(self.milliseconds),
            told(self.legs),
            self.theory.map_or_else(|| "–".to_owned(), words::figure),
        ]
    }
}

/// A median with its interval: `61 [60.2, 61.9]`.
fn told(estimate: Option<Estimate>) -> String {
    let Some(Estimate { value, interval, .. }) = estimate else {
        return "–".to_owned();
    };
    match interval {
        Some(found) => format!(
            "{} [{}, {}]",
            words::figure(value),
            words::figure(found.low),
            words::figure(found.high)
        ),
        None => words::figure(value),
    }
}

const HEADINGS: [&str; 7] =
    ["technique", "leg, ms", "loss, %", "connects", "established, ms", "legs", "theory, legs"];

/// The figures for a terminal: medians over the runs that connected, with their 95 % intervals
/// where there are runs enough for one.
#[must_use]
pub fn table(results: &Results) -> String {
    let rows: Vec<[String; 7]> = results.cells.iter().map(|cell| Row::of(cell).columns()).collect();
    let longest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(longest);
    let mut text = String::new();
    let mut line = |row: [&str; 7]| {
        for (column, (cell, width)) in row.into_iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    };
    line(HEADINGS);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
    text
}

/// The same as a part of a page.
pub(super) fn html_table(text: &mut String, results: &Results) {
    text.push_str("<table><thead><tr>");
    for (column, heading) in HEADINGS.iter().enumerate() {
        let class = if column == 0 { "" } else { " class=\"figure\"" };
        let _ = write!(text, "<th{class}>{heading}</th>");
    }
    text.push_str("</tr></thead><tbody>\n");
    for result in &results.cells {
        text.push_str("<tr>");
        for (column, cell) in Row::of(result).columns().iter().enumerate() {
            let class = if column == 0 { "" } else { " class=\"figure\"" };
            let _ = write!(text, "<td{class}>{}</td>", Escaped(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str(
        "</tbody></table>\n<p class=\"quiet\">Medians over the runs that connected; in brackets, \
         their 95 % intervals, where there are runs enough for one.</p>\n",
    );
}
