//! Populations: which boxes, brokers' networks and paths are met, and how often.
//!
//! A population is a distribution, from a file that names the source of its numbers
//! (`docs/population-files.md`). Pairs are drawn from it, each pair tries each technique, and the
//! [`Survey`] says how many a technique joins alone, how many all of them join that are tried in an
//! order, and what each adds to those before it.

mod survey;
mod tally;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use simopen_protocol::technique::{SynOwner, Technique};

pub use self::survey::{
    Alone, BetweenBoxes, Frame, InOrder, Left, SCHEMA, Survey, UnknownInOrder, VERSION,
};
pub use self::tally::{Tally, Tried};

use crate::boxes::NamedBox;
use crate::cell::{Cell, Way};
use crate::conditions::Conditions;
use crate::seed::entropy_of;

/// One leg where a file names no paths.
pub const LEG: Duration = Duration::from_millis(25);

/// The file that is meant where none is named, and its name.
pub const DEFAULT: (&str, &str) =
    ("population-nat-check.toml", include_str!("../../../docs/examples/population-nat-check.toml"));

/// The order in which techniques are tried where nobody says otherwise: by what they cost.
///
/// First those that need no privilege, the quicker first, then the one that lets a second pass and
/// may need privileges, then those that need the broker's network too.
pub const BY_COST: [Technique; 6] = [
    Technique::Direct,
    Technique::SimultaneousOpen,
    Technique::PunchAndListen,
    Technique::SimultaneousOpenLowTtl,
    Technique::ForgedSynAck(SynOwner::Kernel),
    Technique::ForgedSynAck(SynOwner::Userspace),
];

/// Which boxes, brokers' networks and paths are met, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// Its name; the file's, if it gives none.
    pub name: String,
    /// What it is, for a person.
    pub description: Option<String>,
    /// Where the numbers come from.
    pub source: String,
    /// The boxes before either end, at least one. The two of a pair are drawn independently.
    pub boxes: Vec<Weighted<NamedBox>>,
    /// The share of brokers whose network lets foreign source addresses out.
    pub lets_foreign_sources_out: f64,
    /// The conditions between the two ends and the broker, at least one.
    pub paths: Vec<Weighted<Conditions>>,
}

/// One of several, and its share of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Weighted<T> {
    /// Between 0 and 1; those of all add up to 1.
    pub share: f64,
    /// What it is.
    pub of: T,
}

/// What was drawn: places in the lists of a population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The boxes before the originator and the responder.
    pub boxes: [usize; 2],
    /// Whether the broker's network lets foreign source addresses out.
    pub foreign_sources: bool,
    /// The path.
    pub path: usize,
}

impl Population {
    /// Draws a pair; the same seed draws the same.
    #[must_use]
    pub fn draw(&self, seed: u64) -> Pair {
        let [a, b, broker, path] = parts(seed);
        Pair {
            boxes: [chosen(&self.boxes, a), chosen(&self.boxes, b)],
            foreign_sources: broker < self.lets_foreign_sources_out,
            path: chosen(&self.paths, path),
        }
    }

    /// What a pair is to try by a technique.
    #[must_use]
    pub fn cell(&self, pair: Pair, technique: Technique) -> Cell {
        Cell {
            boxes: pair.boxes.map(|place| self.boxes[place].of.clone()),
            way: Way::Own(technique),
            forging: true,
            conditions: self.conditions(pair),
        }
    }

    /// Under which conditions a pair tries anything.
    #[must_use]
    pub fn conditions(&self, pair: Pair) -> Conditions {
        Conditions { source_validation: !pair.foreign_sources, ..self.paths[pair.path].of }
    }

    /// Replaces the legs of all paths by ones that are that long.
    pub fn set_leg(&mut self, leg: Duration) {
        for path in &mut self.paths {
            path.of.leg = leg;
        }
    }
}

/// Four numbers from 0 to less than 1.
fn parts(seed: u64) -> [f64; 4] {
    let bytes = entropy_of(seed).into_bytes();
    let word = |nth: usize| {
        let at = nth * 8;
        u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    [0, 1, 2, 3].map(|nth| f64::from(word(nth)) / 2_f64.powi(32))
}

/// The place of the one that a number from 0 to less than 1 falls to.
fn chosen<T>(among: &[Weighted<T>], part: f64) -> usize {
    let mut below = 0.0;
    let falls = |one: &Weighted<T>| {
        below += one.share;
        part < below
    };
    // Shares add up to 1 but for their rounding: what falls behind the last is the last one's.
    among.iter().position(falls).unwrap_or(among.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> Population {
        Population::from_toml(DEFAULT.0, DEFAULT.1).unwrap()
    }

    #[test]
    fn pairs_are_drawn_as_often_as_their_shares_say() {
        let population = default();
        let mut met = vec![0_u32; population.boxes.len()];
        for nth in 0..20_000 {
            let pair = population.draw(crate::seed::nth_seed(3, nth));
            pair.boxes.into_iter().for_each(|place| met[place] += 1);
        }

        for (boxes, met) in population.boxes.iter().zip(met) {
            // Five standard deviations of a share among 40,000 are 1.25 % at most.
            let off = (f64::from(met) / 40_000.0 - boxes.share).abs();
            assert!(off < 0.0125, "{}: {met}", boxes.of.name);
        }
    }

    #[test]
    fn the_two_ends_and_the_broker_are_drawn_independently() {
        let population = default();
        let (mut alike, mut out) = (0_u32, 0_u32);
        for nth in 0..20_000 {
            let pair = population.draw(crate::seed::nth_seed(4, nth));
            alike += u32::from(pair.boxes[0] == pair.boxes[1]);
            out += u32::from(pair.foreign_sources && pair.boxes[0] == pair.boxes[1]);
        }

        let expected: f64 = population.boxes.iter().map(|one| one.share * one.share).sum();
        assert!((f64::from(alike) / 20_000.0 - expected).abs() < 0.018, "{alike}");
        let both = expected * population.lets_foreign_sources_out;
        assert!((f64::from(out) / 20_000.0 - both).abs() < 0.018, "{out}");
    }

    #[test]
    fn what_rounding_leaves_over_is_the_last_ones() {
        let among = [0.3, 0.3].map(|share| Weighted { share, of: () });
        assert_eq!([0.0, 0.29, 0.3, 0.59, 0.99].map(|part| chosen(&among, part)), [0, 0, 1, 1, 1]);
    }

    #[test]
    fn the_default_order_has_every_technique_once() {
        let mut order = BY_COST;
        order.sort();
        let mut all = Technique::WITHOUT_RELAY;
        all.sort();
        assert_eq!(order, all);
    }
}
