//! What is tried next: boxes, conditions and faults, drawn.

use std::time::Duration;

use simopen_nat::{MiddleboxSpec, PRESETS, Role};
use simopen_scenario::file::LinkPlan;
use simopen_scenario::seed::nth_seed;
use simopen_scenario::star::IpVersion;

use super::SearchSpec;
use super::axes;
use super::dice::Dice;
use super::experiment::{Experiment, Fault, Trouble};

/// Legs that are round; every other one is drawn.
const LEGS: [u64; 9] = [1, 2, 5, 10, 20, 40, 80, 150, 300];
/// The longest leg that is drawn.
const LONGEST_LEG: Duration = Duration::from_millis(400);
/// Faults happen within this time after the request: all of an attempt that gets on.
const FAULTS_WITHIN: Duration = Duration::from_millis(3500);
/// Most turned axes of a preset.
const MOST_TURNED: u64 = 4;

/// Draws the nth experiment of a search.
pub(super) fn draw(spec: &SearchSpec, nth: u64) -> Experiment {
    let dice = &mut Dice::new(nth_seed(spec.seed, nth));
    let technique = dice.pick(&spec.techniques);
    let boxes = [(); 2].map(|()| one_box(spec, dice));
    let translates = boxes.iter().any(|spec| spec.role == Role::Nat);
    let ip = if !translates && dice.once_in(2) { IpVersion::V6 } else { IpVersion::V4 };
    let leg = if dice.once_in(2) {
        Duration::from_millis(dice.pick(&LEGS))
    } else {
        Duration::from_millis(1) + dice.time(LONGEST_LEG)
    };
    let mut experiment = Experiment {
        technique,
        forging: !dice.once_in(8),
        boxes,
        ip,
        links: links(leg, dice),
        skew: [(); 2].map(|()| skew(leg, dice)),
        source_validation: dice.once_in(8),
        faults: Vec::new(),
        // What a shell and a file's reader take for a small number.
        seed: dice.below(1 << 32),
    };
    if dice.once_in(10) {
        let count = 1 + dice.below(2);
        experiment.faults = (0..count).map(|_| fault(dice)).collect();
        experiment.faults.sort_by_key(|fault| fault.at);
    }
    experiment
}

/// A preset, a preset with axes turned, or all axes drawn, equally often; one of the boxes of the
/// search, where it has any.
fn one_box(spec: &SearchSpec, dice: &mut Dice) -> MiddleboxSpec {
    if !spec.boxes.is_empty() {
        return spec.boxes[dice.place(spec.boxes.len())].spec;
    }
    let mut drawn = PRESETS[dice.place(PRESETS.len())].spec;
    match dice.below(3) {
        0 => {}
        1 => {
            for _ in 0..=dice.below(MOST_TURNED) {
                axes::turn_one(&mut drawn, dice);
            }
        }
        _ => axes::turn_all(&mut drawn, dice),
    }
    drawn
}

/// Links that are all alike, mostly without any chance.
fn links(leg: Duration, dice: &mut Dice) -> [LinkPlan; 3] {
    let mut link = LinkPlan { delay: leg / 2, ..LinkPlan::default() };
    match dice.below(16) {
        0 => link.loss = 0.01 * f64::from(u8::try_from(1 + dice.below(20)).unwrap_or(1)),
        1 => link.jitter = Duration::from_micros(1) + dice.time(2 * leg),
        2 => {
            // Each at a distance of its own, and messages overtake packets.
            let jitter = dice.pick(&[Duration::ZERO, leg]);
            return [(); 3].map(|()| LinkPlan {
                delay: dice.time(leg) + Duration::from_micros(1),
                jitter,
                ..link
            });
        }
        _ => {}
    }
    [link; 3]
}

/// How much later than agreed a side begins: mostly not at all, sometimes by seconds.
fn skew(leg: Duration, dice: &mut Dice) -> Duration {
    match dice.below(8) {
        0 => dice.time(2 * leg),
        1 => dice.time(Duration::from_millis(500)),
        2 if dice.once_in(3) => dice.time(Duration::from_secs(5)),
        _ => Duration::ZERO,
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let at = dice.time(FAULTS_WITHIN);
    // Half of them early, where all the packets are.
    let at = if dice.once_in(2) { at / 10 } else { at };
    let what = if dice.once_in(2) {
        Trouble::Reboot(dice.place(2))
    } else {
        // Some take a single packet, some a whole exchange.
        let longest = Duration::from_millis(dice.pick(&[2, 20, 200, 2000]));
        let lasts = Duration::from_micros(1) + dice.time(longest);
        Trouble::Outage { of: dice.place(3), lasts }
    };
    Fault { at, what }
}
