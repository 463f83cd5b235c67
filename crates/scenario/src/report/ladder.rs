//! The ladder diagram of one run: hosts and boxes as lines, time downwards, packets across.

use std::fmt::Write;

use crate::report::markup::{Escaped, plain};
use crate::report::{svg, words};
use crate::run::{Fate, LadderPacket, RunRecord};

/// Packets that a diagram shows; what tells a story comes first.
const MOST: usize = 28;
/// Lanes that a diagram shows.
const MOST_LANES: usize = 12;
/// Between two lanes, and between the edge and a lane, in pixels.
const LANE: f64 = 118.0;
const EDGE: f64 = 74.0;
/// Above the first packet.
const HEAD: f64 = 44.0;
/// Between two packets that leave one after the other, at least: room for a label.
const STEP: f64 = 19.0;
/// Between two moments of which nothing tells, at most.
const PAUSE: f64 = 46.0;

/// The ladder diagram of a run as a picture that stands alone. `step` is the packet by which it
/// differs from a run that worked ([`crate::report::difference::first`]).
#[must_use]
pub fn diagram(run: &RunRecord, step: Option<usize>) -> String {
    draw(run, step, Sheet::Alone)
}

/// The same as a part of a page that has the style sheet.
pub(super) fn embedded(run: &RunRecord, step: Option<usize>) -> String {
    draw(run, step, Sheet::InPage)
}

#[derive(Clone, Copy, PartialEq)]
enum Sheet {
    Alone,
    InPage,
}

fn draw(run: &RunRecord, step: Option<usize>, sheet: Sheet) -> String {
    let packets: Vec<(usize, &LadderPacket)> = run.ladder.iter().enumerate().take(MOST).collect();
    let lanes = lanes(packets.iter().map(|(_, packet)| *packet));
    let times = Times::of(packets.iter().map(|(_, packet)| *packet));
    let width = EDGE * 2.0 + LANE * count(lanes.len().saturating_sub(1));
    let height = HEAD + times.height() + 34.0;
    let mut text = String::from("<svg role=\"img\" aria-label=\"Ladder diagram\"");
    if sheet == Sheet::Alone {
        text.push_str(" xmlns=\"http://www.w3.org/2000/svg\"");
    }
    let _ = writeln!(
        text,
        " class=\"sheet ladder\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">"
    );
    if sheet == Sheet::Alone {
        let _ = writeln!(
            text,
            "<style>{}{STYLE}</style><rect class=\"ground\" width=\"{width:.0}\" \
             height=\"{height:.0}\"/>",
            svg::STYLE
        );
    }
    for (place, lane) in lanes.iter().enumerate() {
        let x = EDGE + LANE * count(place);
        let _ = writeln!(
            text,
            "<text class=\"lane\" x=\"{x}\" y=\"18\">{}</text>\
             <path class=\"rail\" d=\"M{x} 26V{:.0}\"/>",
            Escaped(&plain(lane, 16)),
            height - 22.0
        );
    }
    times.marks(&mut text);
    for (place, packet) in packets {
        arrow(
            &mut text,
            &Arrow { packet, lanes: &lanes, times: &times, is_step: step == Some(place) },
        );
    }
    if let Some(more) = run.ladder.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(
            text,
            "<text class=\"quiet\" x=\"8\" y=\"{:.0}\">… and {} more</text>",
            height - 6.0,
            words::counted(more, "packet")
        );
    }
    text.push_str("</svg>\n");
    text
}

/// What a diagram needs beyond the style of all pictures.
pub(super) const STYLE: &str = include_str!("ladder.css");

/// The lanes in the order of the star, those that occur and both ends: the broker stands in the
/// middle, so that what it sends to either side crosses nobody else. Places that a star does not
/// have follow in the order in which they occur.
fn lanes<'r>(packets: impl Iterator<Item = &'r LadderPacket>) -> Vec<&'r str> {
    let occurring: Vec<&str> =
        packets.flat_map(|packet| [packet.from.as_str(), packet.to.as_str()]).collect();
    let star = ["a", "box-a", "c", "core", "box-b", "b"];
    let needed = |place: &&str| ["a", "b"].contains(place) || occurring.contains(place);
    let mut lanes: Vec<&str> = star.into_iter().filter(needed).collect();
    for place in occurring {
        if !lanes.contains(&place) && lanes.len() < MOST_LANES {
            lanes.push(place);
        }
    }
    lanes
}

/// Which moment stands at which height: in order, but long pauses are cut short.
struct Times {
    moments: Vec<(f64, f64)>,
}

impl Times {
    fn of<'r>(packets: impl Iterator<Item = &'r LadderPacket>) -> Self {
        let mut moments: Vec<(f64, bool)> = packets
            .flat_map(|packet| [(packet.sent_ms, true), (packet.ended_ms, false)])
            .filter(|(moment, _)| moment.is_finite())
            .collect();
        moments.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut placed: Vec<(f64, f64)> = Vec::new();
        let mut last_sent = f64::MIN;
        for (moment, is_sent) in moments {
            let mut height = placed
                .last()
                .map_or(0.0, |(before, height)| height + ((moment - before) * 4.0).min(PAUSE));
            if is_sent {
                height = height.max(last_sent + STEP);
                last_sent = height;
            }
            placed.push((moment, height));
        }
        Self { moments: placed }
    }

    fn height(&self) -> f64 {
        self.moments.last().map_or(0.0, |(_, height)| *height)
    }

    /// The height of a moment: of the first with that time for what ends, of the last for what is
    /// sent, which may have been moved down to make room.
    fn at(&self, moment: f64) -> f64 {
        let known = self.moments.iter().rev().find(|(known, _)| *known <= moment);
        HEAD + known.map_or(0.0, |(_, height)| *height)
    }

    /// The time beside the left edge, where there is room, and a sign where a pause was cut.
    fn marks(&self, text: &mut String) {
        let mut free_from = f64::MIN;
        for (moment, height) in &self.moments {
            if *height >= free_from {
                let _ = writeln!(
                    text,
                    "<text class=\"time\" x=\"4\" y=\"{:.0}\">{} ms</text>",
                    HEAD + height + 4.0,
                    words::figure(*moment)
                );
                free_from = height + STEP;
            }
        }
    }
}

/// A packet on its way across.
struct Arrow<'r> {
    packet: &'r LadderPacket,
    lanes: &'r [&'r str],
    times: &'r Times,
    is_step: bool,
}

fn arrow(text: &mut String, arrow: &Arrow<'_>) {
    let Arrow { packet, lanes, times, is_step } = arrow;
    let x = |place: &str| {
        let lane = lanes.iter().position(|lane| *lane == place).unwrap_or(0);
        EDGE + LANE * count(lane)
    };
    let (from, to) = (x(&packet.from), x(&packet.to));
    let (above, below) = (times.at(packet.sent_ms), times.at(packet.ended_ms));
    let side = if to < from { -1.0 } else { 1.0 };
    let class = match (packet.from.as_str(), packet.forged) {
        (_, true) => "forged",
        ("a", false) => "by-a",
        ("b", false) => "by-b",
        (_, false) => "by-other",
    };
    let step = if *is_step { " step" } else { "" };
    let (ends, why) = match &packet.fate {
        Fate::Delivered => ("received", String::new()),
        Fate::Dropped(why) => ("ended", format!(": {why}")),
    };
    let _ = write!(
        text,
        "<g class=\"{class}{step}\"><title>{}</title><path class=\"way\" d=\"M{from} {above:.1}L{to} {below:.1}\"/>",
        Escaped(&format!(
            "{} from {} at {} ms, {ends} at {} at {} ms{why}",
            packet.label,
            packet.from,
            words::figure(packet.sent_ms),
            packet.to,
            words::figure(packet.ended_ms)
        ))
    );
    let _ = match packet.fate {
        Fate::Delivered => {
            write!(text, "<path class=\"tip\" d=\"M{to} {below:.1}l{0} -4.5v9z\"/>", side * -8.0)
        }
        Fate::Dropped(_) => write!(
            text,
            "<path class=\"end\" d=\"M{0} {1:.1}l8 8m0 -8l-8 8\"/>",
            to - 4.0,
            below - 4.0
        ),
    };
    let anchor = if side > 0.0 { "start" } else { "end" };
    let forged = if packet.forged { ", forged" } else { "" };
    let _ = write!(
        text,
        "<text text-anchor=\"{anchor}\" x=\"{}\" y=\"{:.1}\">{}{forged}</text>",
        from + side * 8.0,
        above - 3.0,
        Escaped(&plain(&packet.label, 30)),
    );
    if let Fate::Dropped(why) = &packet.fate {
        // Behind the end, seen from the sender, where no line is.
        let _ = write!(
            text,
            "<text class=\"why\" text-anchor=\"{anchor}\" x=\"{}\" y=\"{:.1}\">{}</text>",
            to + side * 9.0,
            below + 4.0,
            Escaped(&plain(why, 40))
        );
    }
    text.push_str("</g>\n");
}

/// A small count as a length.
fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
