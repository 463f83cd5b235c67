//! The chart of a bench: one panel for each loss, legs over the length of a leg.

use std::fmt::Write;

use super::{Row, Theory};
use crate::milliseconds;
use crate::report::markup::{Escaped, plain};
use crate::report::{svg, words};
use crate::result::Results;

/// A panel's inside, and what is around it, in pixels.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 44.0;
const PITCH: [f64; 2] = [WIDTH + LEFT + 40.0, HEIGHT + TOP + 56.0];
/// A line for each technique in the legend.
const KEY: f64 = 20.0;
/// What a chart needs beyond the style of all pictures.
const STYLE: &str = include_str!("chart.css");
/// Shapes of the marks, one for each technique: they are told apart without colours too.
const SHAPES: [&str; 6] = [
    "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "m-4 -4h8v8h-8z",
    "m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
    "m0 -5l5.5 9h-11z",
    "m0 5l5.5 -9h-11z",
    "m-1.7 -5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
];

/// The chart as a picture that stands alone: `bench.svg`.
#[must_use]
pub fn chart(results: &Results) -> String {
    let body = draw(results);
    let (width, height) = (body.width, body.height + 40.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sheet bench\" role=\"img\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title>Handshake latency</title>\n<style>{}{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">Legs until both kernels are established</text>\n\
         <g transform=\"translate(0 36)\">\n{}</g>\n</svg>\n",
        svg::STYLE,
        body.text
    )
}

/// The same as a part of a page that has the style of all pictures.
pub(in crate::report) fn embedded(results: &Results) -> String {
    let Body { text, width, height } = draw(results);
    format!(
        "<svg class=\"bench\" role=\"img\" aria-label=\"Legs until established over the length of \
         a leg; the table below has the figures\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n{text}</svg>\n"
    )
}

struct Body {
    text: String,
    width: f64,
    height: f64,
}

fn draw(results: &Results) -> Body {
    let rows: Vec<Row<'_>> = results.cells.iter().map(Row::of).collect();
    let mut losses: Vec<f64> = rows.iter().map(|row| row.cell.conditions.loss).collect();
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    let axes = Axes::of(&rows);
    let mut text = String::new();
    for (place, loss) in losses.iter().enumerate() {
        let (x, y) = (count(place % 2) * PITCH[0] + LEFT, count(place / 2) * PITCH[1] + TOP);
        let _ = writeln!(text, "<g transform=\"translate({x} {y})\">");
        let title = format!("loss {} a link", words::percent(*loss));
        let _ = writeln!(text, "<text class=\"way\" x=\"0\" y=\"-14\">{title}</text>");
        axes.draw(&mut text);
        for (number, way) in results.ways.iter().enumerate() {
            let line: Vec<&Row<'_>> = rows
                .iter()
                .filter(|row| {
                    row.cell.way == *way && row.cell.conditions.loss.total_cmp(loss).is_eq()
                })
                .collect();
            axes.line(&mut text, number, &line);
        }
        text.push_str("</g>\n");
    }
    let below = count(losses.len().div_ceil(2)) * PITCH[1] + 10.0;
    for (number, way) in results.ways.iter().enumerate() {
        let (x, y) = (LEFT + count(number % 3) * 320.0, below + count(number / 3) * KEY);
        let class = number % SHAPES.len();
        let _ = writeln!(
            text,
            "<g class=\"t{class}\"><path class=\"mark\" d=\"M{x} {y}{}\"/></g>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            SHAPES[class],
            x + 12.0,
            y + 4.0,
            Escaped(&plain(&way.to_string(), 40))
        );
    }
    let height = below + count(results.ways.len().div_ceil(3)) * KEY + 8.0;
    let width = PITCH[0] * count(losses.len().clamp(1, 2)) + 20.0;
    Body { text, width: width.max(LEFT + 960.0), height }
}

/// Both axes are logarithmic: legs from 1 ms to 200 ms, and times of seconds beside milliseconds.
struct Axes {
    x: [f64; 2],
    y: [f64; 2],
    legs: Vec<f64>,
}

impl Axes {
    fn of(rows: &[Row<'_>]) -> Self {
        let mut legs: Vec<f64> =
            rows.iter().map(|row| milliseconds::of(row.cell.conditions.leg).max(1e-3)).collect();
        legs.sort_by(f64::total_cmp);
        legs.dedup();
        let ends = |row: &Row<'_>| {
            let estimate = row.legs.map(|legs| match legs.interval {
                Some(interval) => [interval.low, interval.high],
                None => [legs.value; 2],
            });
            estimate.into_iter().flatten().chain(row.theory).collect::<Vec<f64>>()
        };
        let values: Vec<f64> =
            rows.iter().flat_map(ends).filter(|legs| legs.is_finite() && *legs > 0.0).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min).min(4.0);
        let high = values.iter().copied().fold(10.0, f64::max);
        let first = legs.first().copied().unwrap_or(1.0);
        let last = legs.last().copied().unwrap_or(1.0);
        Self { x: [first * 0.8, last * 1.25], y: [low * 0.8, high * 1.25], legs }
    }

    fn x(&self, leg: f64) -> f64 {
        WIDTH * part(self.x, leg)
    }

    fn y(&self, legs: f64) -> f64 {
        HEIGHT * (1.0 - part(self.y, legs))
    }

    fn draw(&self, text: &mut String) {
        for leg in &self.legs {
            let x = self.x(*leg);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M{x:.1} 0V{HEIGHT}\"/><text class=\"tick\" \
                 text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                HEIGHT + 16.0,
                words::figure(*leg)
            );
        }
        let decades = (0..6).flat_map(|power| [1.0, 2.0, 4.0, 6.0].map(|d| d * 10_f64.powi(power)));
        for legs in decades.filter(|legs| (self.y[0]..=self.y[1]).contains(legs)) {
            let y = self.y(legs);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M0 {y:.1}H{WIDTH}\"/><text class=\"tick\" \
                 text-anchor=\"end\" x=\"-6\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                words::figure(legs)
            );
        }
        let _ = writeln!(
            text,
            "<text class=\"quiet\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">one leg, ms</text>\
             <text class=\"quiet\" text-anchor=\"middle\" transform=\"translate(-44 {}) \
             rotate(-90)\">legs</text>",
            WIDTH / 2.0,
            HEIGHT + 34.0,
            HEIGHT / 2.0
        );
    }

    /// One technique: theory dashed, the medians joined, each with its interval.
    fn line(&self, text: &mut String, number: usize, rows: &[&Row<'_>]) {
        let class = number % SHAPES.len();
        let _ = write!(text, "<g class=\"t{class}\">");
        if let Some(theory) = rows.first().and_then(|row| Theory::of(&row.cell.way)) {
            let steps = (0_u8..=24).map(|step| {
                let leg = self.x[0] * (self.x[1] / self.x[0]).powf(f64::from(step) / 24.0);
                (leg, theory.legs + milliseconds::of(theory.waits) / leg)
            });
            let inside = steps.filter(|(_, legs)| *legs <= self.y[1]);
            self.path(text, "theory", inside);
        }
        let place = |row: &&Row<'_>| {
            let leg = milliseconds::of(row.cell.conditions.leg).max(1e-3);
            row.legs.map(|legs| (leg, legs))
        };
        let points: Vec<_> = rows.iter().filter_map(place).collect();
        self.path(text, "measured", points.iter().map(|(leg, legs)| (*leg, legs.value)));
        // A little beside each other: techniques with the same number of legs would cover each other.
        let beside = (count(class) - 2.5) * 2.5;
        for (leg, legs) in points {
            let x = self.x(leg) + beside;
            let _ = write!(
                text,
                "<g><title>{}: {} legs of {} ms</title>",
                Escaped(&rows[0].cell.way.to_string()),
                super::told(Some(legs)),
                words::figure(leg)
            );
            if let Some(interval) = legs.interval {
                let (low, high) = (self.y(interval.low), self.y(interval.high));
                let _ = write!(
                    text,
                    "<path class=\"interval\" d=\"M{x:.1} {low:.1}V{high:.1}m-4 0h8M{:.1} {low:.1}h8\"/>",
                    x - 4.0
                );
            }
            let y = self.y(legs.value);
            let _ =
                write!(text, "<path class=\"mark\" d=\"M{x:.1} {y:.1}{}\"/></g>", SHAPES[class]);
        }
        text.push_str("</g>\n");
    }

    fn path(&self, text: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> =
            points.map(|(leg, legs)| format!("{:.1} {:.1}", self.x(leg), self.y(legs))).collect();
        if points.len() > 1 {
            let _ = write!(text, "<path class=\"{class}\" d=\"M{}\"/>", points.join("L"));
        }
    }
}

/// Where on a logarithmic axis a number lies, between 0 and 1.
fn part([low, high]: [f64; 2], number: f64) -> f64 {
    ((number.max(low) / low).ln() / (high / low).ln()).min(1.0)
}

/// A small count as a length.
fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
