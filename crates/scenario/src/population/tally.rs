//! What the pairs of a population came to, counted.

use std::collections::BTreeMap;

use simopen_protocol::technique::Technique;

use super::Pair;
use crate::run::RunRecord;

/// What came of one technique tried by one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// Whether it connected, directly.
    pub joined: bool,
    /// From the request to *established*, in milliseconds.
    pub established_ms: Option<f64>,
}

impl From<&RunRecord> for Tried {
    fn from(run: &RunRecord) -> Self {
        Self { joined: run.is_success(), established_ms: run.phases.established_ms }
    }
}

/// What the pairs of a population came to, counted. The order in which they are added, and in which
/// tallies are merged, leaves no trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    pub(super) techniques: Vec<Technique>,
    /// How many pairs of each kind were joined by just these techniques.
    pub(super) pairs: BTreeMap<(Pair, Joined), u32>,
    /// When those that succeeded were established, technique by technique.
    pub(super) times: Vec<Vec<f64>>,
    /// What must never happen and did, and how often.
    pub(super) violations: BTreeMap<String, u32>,
}

/// Which of the techniques of a tally joined a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Joined(u32);

impl Joined {
    /// Those whose places are given.
    pub(super) fn by(places: impl IntoIterator<Item = usize>) -> Self {
        Self(places.into_iter().fold(0, |set, place| set | 1 << place))
    }

    /// Whether any of those joined it too.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Tally {
    /// Nothing yet. Each technique counts once, where it stands first.
    #[must_use]
    pub fn new(techniques: &[Technique]) -> Self {
        let mut once: Vec<Technique> = Vec::new();
        for technique in techniques {
            if !once.contains(technique) {
                once.push(*technique);
            }
        }
        Self {
            times: vec![Vec::new(); once.len()],
            techniques: once,
            pairs: BTreeMap::new(),
            violations: BTreeMap::new(),
        }
    }

    /// The techniques, in the order in which what came of them is added.
    #[must_use]
    pub fn techniques(&self) -> &[Technique] {
        &self.techniques
    }

    /// Adds what came of each technique, in the order of [`Tally::techniques`].
    pub fn add(&mut self, pair: Pair, tried: &[Tried]) {
        let joined = tried.iter().enumerate().filter(|(_, tried)| tried.joined);
        let places = Joined::by(joined.map(|(place, _)| place));
        *self.pairs.entry((pair, places)).or_default() += 1;
        for (times, tried) in self.times.iter_mut().zip(tried) {
            times.extend(tried.established_ms.filter(|_| tried.joined));
        }
    }

    /// Notes something that must never happen.
    pub fn add_violation(&mut self, words: String) {
        *self.violations.entry(words).or_default() += 1;
    }

    /// Adds what another tally of the same techniques counted.
    pub fn merge(&mut self, other: Self) {
        for (kind, count) in other.pairs {
            *self.pairs.entry(kind).or_default() += count;
        }
        for (times, more) in self.times.iter_mut().zip(other.times) {
            times.extend(more);
        }
        for (words, count) in other.violations {
            *self.violations.entry(words).or_default() += count;
        }
    }

    /// Those of the techniques of which direct connections come.
    pub(super) fn direct(&self) -> Joined {
        let tried = self.techniques.iter().enumerate();
        let direct = tried.filter(|(_, technique)| !technique.meets_at_relay());
        Joined::by(direct.map(|(place, _)| place))
    }

    /// How many pairs it holds of which something is true.
    pub(super) fn count(&self, is_meant: impl Fn(Pair, Joined) -> bool) -> u32 {
        let meant = self.pairs.iter().filter(|((pair, joined), _)| is_meant(*pair, *joined));
        meant.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use simopen_protocol::technique::SynOwner;

    use super::*;

    const PAIR: Pair = Pair { boxes: [0, 1], foreign_sources: true, path: 0 };

    #[test]
    fn tallies_come_out_alike_however_they_are_merged() {
        let tried = |joined, ms| [Tried { joined, established_ms: Some(ms) }; 2];
        let mut whole = Tally::new(&Technique::WITHOUT_RELAY[..2]);
        let mut halves = [whole.clone(), whole.clone()];
        for (nth, ms) in [3.0, 1.0, 2.0, 4.0].into_iter().enumerate() {
            whole.add(PAIR, &tried(nth != 2, ms));
            halves[nth % 2].add(PAIR, &tried(nth != 2, ms));
        }

        let [mut first, second] = halves;
        first.merge(second);

        assert_eq!(first.pairs, whole.pairs);
        assert_eq!(first.count(|_, joined| joined.meets(Joined::by([1]))), 3);
        let sorted = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times
        };
        assert_eq!(
            first.times.into_iter().map(sorted).collect::<Vec<_>>(),
            whole.times.into_iter().map(sorted).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_technique_that_is_named_twice_counts_once() {
        let kernel = Technique::ForgedSynAck(SynOwner::Kernel);
        let tally = Tally::new(&[kernel, Technique::Direct, kernel]);
        assert_eq!(tally.techniques(), [kernel, Technique::Direct]);
    }
}
