//! The chart of a survey: a bar for each technique of the order, what was joined before it and what
//! it adds, and a mark for what it joins alone.

use std::fmt::Write;

use super::{interval, techniques, told};
use crate::population::{Alone, Survey};
use crate::report::markup::{Escaped, plain};
use crate::report::svg;
use crate::result::Rate;

/// What a chart needs beyond the style of all pictures.
pub(super) const STYLE: &str = include_str!("chart.css");

/// Where bars begin, how long a whole one is, and how much there is besides, in pixels.
const LEFT: f64 = 200.0;
const LENGTH: f64 = 560.0;
const RIGHT: f64 = 190.0;
/// From one row to the next, and the height of a bar.
const PITCH: f64 = 40.0;
const BAR: f64 = 16.0;
/// Above the first row.
const TOP: f64 = 22.0;
/// The shape of the mark of what a technique joins alone.
const MARK: &str = "m0 -5l5 5l-5 5l-5 -5z";

/// The chart as a picture that stands alone: `population.svg`.
#[must_use]
pub fn chart(survey: &Survey) -> String {
    let (body, height) = draw(survey);
    let (width, whole) = (LEFT + LENGTH + RIGHT, height + 60.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sheet population\" role=\"img\" \
         width=\"{width}\" height=\"{whole}\" viewBox=\"0 0 {width} {whole}\">\n\
         <title>{0}</title>\n<style>{1}{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{whole}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{0}</text>\n\
         <text class=\"quiet\" x=\"16\" y=\"48\">{2}</text>\n\
         <g transform=\"translate(0 60)\">\n{body}</g>\n</svg>\n",
        Escaped(&plain(&survey.name, 80)),
        svg::STYLE,
        Escaped(&told(survey))
    )
}

/// The same as a part of a page that has its style.
pub(super) fn embedded(survey: &Survey) -> String {
    let (body, height) = draw(survey);
    let width = LEFT + LENGTH + RIGHT;
    format!(
        "<svg class=\"population\" role=\"img\" aria-label=\"Pairs that each technique joins alone \
         and one after the other; the table below has the figures\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n{body}</svg>\n"
    )
}

fn draw(survey: &Survey) -> (String, f64) {
    let mut text = String::new();
    let rows = techniques(survey);
    let height = TOP + count(rows.len() + 1) * PITCH + 30.0;
    rules(&mut text, height - 30.0);
    let (mut y, mut before) = (TOP, 0.0);
    for (alone, row) in rows {
        name(&mut text, y, &alone.technique.to_string());
        if let Some(row) = row {
            track(&mut text, y);
            let joined = row.joined.share().unwrap_or(0.0);
            bar(&mut text, y, "before", [0.0, before]);
            bar(&mut text, y, "adds", [before, joined]);
            whisker(&mut text, y + BAR / 2.0, "whisker", &row.joined);
            let adds = (joined - before) * 100.0;
            note(&mut text, y, &format!("{:.1} %, adds {adds:.1}", joined * 100.0));
            before = joined;
        }
        mark(&mut text, y, alone);
        y += PITCH;
    }
    name(&mut text, y, "only a relay");
    track(&mut text, y);
    bar(&mut text, y, "relay", [1.0 - survey.relay.share().unwrap_or(0.0), 1.0]);
    note(&mut text, y, &interval(&survey.relay));
    legend(&mut text, height - 8.0);
    (text, height)
}

/// A line at every fifth of the whole.
fn rules(text: &mut String, bottom: f64) {
    for fifth in 0_u8..=5 {
        let x = LEFT + LENGTH * f64::from(fifth) / 5.0;
        let _ = writeln!(
            text,
            "<path class=\"rule\" d=\"M{x} {}V{bottom}\"/>\
             <text class=\"tick\" x=\"{x}\" y=\"10\">{} %</text>",
            TOP - 8.0,
            fifth * 20
        );
    }
}

fn name(text: &mut String, y: f64, name: &str) {
    let (x, y, name) = (LEFT - 12.0, y + 12.5, plain(name, 32));
    let _ = writeln!(text, "<text class=\"row\" x=\"{x}\" y=\"{y}\">{}</text>", Escaped(&name));
}

fn note(text: &mut String, y: f64, words: &str) {
    let (x, y) = (LEFT + LENGTH + 12.0, y + 12.5);
    let _ = writeln!(text, "<text class=\"quiet\" x=\"{x}\" y=\"{y}\">{}</text>", Escaped(words));
}

fn track(text: &mut String, y: f64) {
    let _ = writeln!(
        text,
        "<rect class=\"track\" x=\"{LEFT}\" y=\"{y}\" width=\"{LENGTH}\" height=\"{BAR}\" rx=\"2\"/>"
    );
}

/// A bar between two shares of the whole.
fn bar(text: &mut String, y: f64, class: &str, [low, high]: [f64; 2]) {
    if high > low {
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\"/>",
            LEFT + LENGTH * low,
            LENGTH * (high - low)
        );
    }
}

/// The interval of a rate.
fn whisker(text: &mut String, y: f64, class: &str, rate: &Rate) {
    let (low, high) = (LEFT + LENGTH * rate.low, LEFT + LENGTH * rate.high);
    let _ = writeln!(
        text,
        "<path class=\"{class}\" d=\"M{low:.1} {y}H{high:.1}M{low:.1} {}v6M{high:.1} {0}v6\"/>",
        y - 3.0
    );
}

/// What a technique joins alone, below its bar.
fn mark(text: &mut String, y: f64, alone: &Alone) {
    let (x, y) = (LEFT + LENGTH * alone.joined.share().unwrap_or(0.0), y + BAR + 8.0);
    let told = format!("{} alone: {}", alone.technique, interval(&alone.joined));
    let _ = writeln!(text, "<g><title>{}</title>", Escaped(&told));
    whisker(text, y, "reach", &alone.joined);
    let _ = writeln!(text, "<path class=\"alone\" d=\"M{x:.1} {y}{MARK}\"/></g>");
}

fn legend(text: &mut String, y: f64) {
    let top = y - 11.0;
    for (x, class, meaning) in [
        (LEFT, "before", "joined by one above"),
        (LEFT + 160.0, "adds", "added"),
        (LEFT + 340.0, "relay", "only a relay"),
    ] {
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"14\" height=\"12\"/>\
             <text class=\"quiet\" x=\"{}\" y=\"{y}\">{meaning}</text>",
            x + 20.0
        );
    }
    let x = LEFT + 252.0;
    let _ = writeln!(
        text,
        "<path class=\"alone\" d=\"M{x} {}{MARK}\"/><text class=\"quiet\" x=\"{}\" y=\"{y}\">by \
         itself</text>",
        y - 5.0,
        x + 12.0
    );
}

/// A small count as a length.
fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
