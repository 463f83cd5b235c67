//! Chance of a search: one stream for each attempt, which follows from seed and number.

use std::time::Duration;

use simopen_scenario::seed::nth_seed;

/// A stream of numbers that look random.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.thrown += 1;
        nth_seed(self.seed, self.thrown)
    }

    /// A number from 0 to less than `bound`, which is small against 2^64.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.number() % if bound == 0 { 1 } else { bound }
    }

    /// Whether something happens that happens once in so many times.
    pub(super) const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of a list that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.place(list.len())]
    }

    /// The place of one of so many.
    pub(super) fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or(0)
    }

    /// A time below that bound, in whole microseconds.
    pub(super) fn time(&mut self, bound: Duration) -> Duration {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros))
    }
}
