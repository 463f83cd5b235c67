//! Latency by phase, technique by technique.

use std::fmt::Write;

use crate::report::grid::{Grid, Panel};
use crate::report::markup::{Escaped, plain};
use crate::report::words;
use crate::result::Results;
use crate::run::{Phases, RunRecord};
use crate::statistics::{Quantiles, quantiles};

/// A phase: its class in the style sheet, its name, and where a run has it.
type Phase = (&'static str, &'static str, fn(&Phases) -> Option<f64>);

/// The phases after the request, in their order.
const PHASES: [Phase; 4] = [
    ("signal", "signal", |phases| phases.signal_ms),
    ("first-packet", "first packet", |phases| phases.first_packet_ms),
    ("established", "established", |phases| phases.established_ms),
    ("first-byte", "first byte", |phases| phases.first_byte_ms),
];
/// Where the axis begins, how long it is, and the height of one technique, in pixels.
const LEFT: f64 = 230.0;
const LENGTH: f64 = 900.0;
const ROW: f64 = 40.0;

/// One technique's figures.
struct Line<'g> {
    panel: &'g Panel,
    phases: [Option<Quantiles>; 4],
    gather: Option<Quantiles>,
    legs: Option<Quantiles>,
}

/// A chart and a table; nothing where no run connected.
pub(super) fn section(text: &mut String, results: &Results, grid: &Grid) {
    let lines: Vec<Line<'_>> = grid.panels.iter().map(|panel| Line::of(results, panel)).collect();
    let Some(scale) = Scale::of(&lines) else {
        return;
    };
    text.push_str(
        "<section>\n<h2>Latency by phase</h2>\n\
         <p>When each phase was over, since the request, over all runs that connected: the median, \
         and a line from the least to 99 of 100. The scale is logarithmic.</p>\n<div class=\"wide\">\n",
    );
    chart(text, &lines, &scale);
    text.push_str("</div>\n");
    table(text, &lines);
    text.push_str("</section>\n");
}

impl<'g> Line<'g> {
    fn of(results: &Results, panel: &'g Panel) -> Self {
        let runs: Vec<&RunRecord> = panel
            .entries
            .iter()
            .flat_map(|entry| &results.cells[entry.cell].runs)
            .filter(|run| run.is_valid() && run.is_success())
            .collect();
        let over = |of: &dyn Fn(&RunRecord) -> Option<f64>| {
            let mut values: Vec<f64> = runs.iter().filter_map(|run| of(run)).collect();
            quantiles(&mut values)
        };
        Self {
            panel,
            phases: PHASES.map(|(_, _, phase)| over(&|run| phase(&run.phases))),
            gather: over(&|run| run.phases.gather_ms),
            legs: over(&|run| run.legs),
        }
    }
}

/// A logarithmic axis.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(lines: &[Line<'_>]) -> Option<Self> {
        let found = lines.iter().flat_map(|line| line.phases).flatten();
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for phase in found {
            low = low.min(phase.min);
            high = high.max(phase.p99);
        }
        // What takes less than a tenth of a millisecond is drawn as if it took that.
        (high > 0.0).then(|| Self { low: (low * 0.8).max(0.1), high: high * 1.2 })
    }

    fn x(&self, moment: f64) -> f64 {
        let part = (moment.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        LEFT + LENGTH * part
    }

    /// 1, 2, 3, 5, 7, 10 and so on, as far as they lie on the axis.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let decades =
            (-1..7).flat_map(|power| [1.0, 2.0, 3.0, 5.0, 7.0].map(|d| d * 10_f64.powi(power)));
        decades.filter(|tick| (self.low..=self.high).contains(tick))
    }
}

fn chart(text: &mut String, lines: &[Line<'_>], scale: &Scale) {
    let rows = u32::try_from(lines.len()).map_or(f64::MAX, f64::from) * ROW;
    let (width, height) = (LEFT + LENGTH + 20.0, rows + 62.0);
    let _ = writeln!(
        text,
        "<svg class=\"latency\" role=\"img\" aria-label=\"Latency by phase; the table below has \
         the figures\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    );
    let mut x = LEFT;
    for (class, name, _) in PHASES {
        marker(text, class, x, 12.0);
        let _ = writeln!(text, "<text x=\"{}\" y=\"16\">{name}</text>", x + 12.0);
        x += 120.0;
    }
    for tick in scale.ticks() {
        let (x, bottom) = (scale.x(tick), rows + 34.0);
        let _ = writeln!(
            text,
            "<path class=\"rule\" d=\"M{x:.1} 30V{bottom}\"/><text class=\"quiet\" \
             text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{} ms</text>",
            bottom + 16.0,
            words::figure(tick)
        );
    }
    let mut y = 34.0 + ROW / 2.0;
    for line in lines {
        let title = plain(&line.panel.title, 34);
        let _ = writeln!(
            text,
            "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 12.0,
            y + 4.0,
            Escaped(&title)
        );
        if line.phases.iter().all(Option::is_none) {
            let _ = writeln!(
                text,
                "<text class=\"quiet\" x=\"{}\" y=\"{}\">never connected</text>",
                LEFT + 8.0,
                y + 4.0
            );
        }
        for (number, ((class, name, _), phase)) in PHASES.iter().zip(line.phases).enumerate() {
            let Some(phase) = phase else { continue };
            // Each phase a little below the one before, so that lines do not cover each other.
            let y = y - 9.0 + 6.0 * f64::from(u8::try_from(number).unwrap_or(0));
            let _ = write!(
                text,
                "<g><title>{name}: {} ms at the median, {} to {}</title>\
                 <path class=\"whisker\" d=\"M{:.1} {y}H{:.1}\"/>",
                words::figure(phase.p50),
                words::figure(phase.min),
                words::figure(phase.p99),
                scale.x(phase.min),
                scale.x(phase.p99)
            );
            marker(text, class, scale.x(phase.p50), y);
            text.push_str("</g>\n");
        }
        y += ROW;
    }
    text.push_str("</svg>\n");
}

/// Each phase has a shape of its own.
fn marker(text: &mut String, class: &str, x: f64, y: f64) {
    let path = match class {
        "signal" => "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        "first-packet" => "m0 -6l6 6l-6 6l-6 -6z",
        "established" => "m-5 -5h10v10h-10z",
        _ => "m0 -6l6 10h-12z",
    };
    let _ = write!(text, "<path class=\"mark {class}\" d=\"M{x:.1} {y:.1}{path}\"/>");
}

fn table(text: &mut String, lines: &[Line<'_>]) {
    text.push_str(
        "<table><thead><tr><th>technique</th><th class=\"figure\">runs</th>\
         <th class=\"figure\">gather, before</th>",
    );
    for (_, name, _) in PHASES {
        let _ = write!(text, "<th class=\"figure\">{name}</th>");
    }
    text.push_str("<th class=\"figure\">legs to established</th></tr></thead><tbody>\n");
    let cell = |text: &mut String, found: Option<Quantiles>, unit: &str| {
        let value = found.map_or_else(
            || "–".to_owned(),
            |found| format!("{} ({}){unit}", words::figure(found.p50), words::figure(found.p90)),
        );
        let _ = write!(text, "<td class=\"figure\">{value}</td>");
    };
    for line in lines {
        let runs = line.phases[2].map_or(0, |established| established.n);
        let title = Escaped(&line.panel.title);
        let _ = write!(text, "<tr><td>{title}</td><td class=\"figure\">{runs}</td>");
        cell(text, line.gather, " ms");
        line.phases.into_iter().for_each(|phase| cell(text, phase, " ms"));
        cell(text, line.legs, "");
        text.push_str("</tr>\n");
    }
    text.push_str(
        "</tbody></table>\n<p class=\"quiet\">Medians; in brackets, nine of ten were no greater. \
         Gather is a duration before the request.</p>\n",
    );
}
