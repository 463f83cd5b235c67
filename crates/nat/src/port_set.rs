//! Ranges of ports, and sets of taken ones.

use alloc::vec;
use alloc::vec::Vec;

/// Ports from one to another, each or every second one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PortRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
    parity: Parity,
}

/// Which ports of a range count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parity {
    Both,
    Even,
    Odd,
}

impl PortRange {
    /// The lowest port that belongs to no well-known service.
    pub(crate) const FIRST_DYNAMIC: u16 = 1024;
    /// Every number: identifiers of ICMP echo.
    pub(crate) const ALL: Self = Self::new(0, u16::MAX);

    /// All ports from `first` to `last`.
    pub(crate) const fn new(first: u16, last: u16) -> Self {
        Self { first, last, parity: Parity::Both }
    }

    /// The ports of the same kind as this one, as Linux sorts them.
    pub(crate) const fn alike(port: u16) -> Self {
        match port {
            ..512 => Self::new(1, 511),
            512..Self::FIRST_DYNAMIC => Self::new(600, Self::FIRST_DYNAMIC - 1),
            Self::FIRST_DYNAMIC.. => Self::new(Self::FIRST_DYNAMIC, u16::MAX),
        }
    }

    /// Those of the same parity as `port`.
    pub(crate) const fn even_or_odd_as(self, port: u16) -> Self {
        Self { parity: if port.is_multiple_of(2) { Parity::Even } else { Parity::Odd }, ..self }
    }

    /// Those of the parity that the other range has.
    pub(crate) const fn with_parity_of(self, other: Self) -> Self {
        // A single port has no choice.
        if self.first == self.last { self } else { Self { parity: other.parity, ..self } }
    }

    /// Whether the range has this port.
    pub(crate) const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last && self.parity.admits(port)
    }

    /// How many ports there are.
    pub(crate) const fn len(self) -> u32 {
        (self.last as u32 - self.lowest() as u32) / self.step() + 1
    }

    /// The port with this number, modulo their number.
    pub(crate) const fn at(self, number: u32) -> u16 {
        (self.lowest() as u32 + number % self.len() * self.step()) as u16
    }

    /// The port that lies `step` ports behind `port`, round from the end to the start.
    pub(crate) const fn after(self, port: u16, step: u16) -> u16 {
        let width = self.last as u32 - self.first as u32 + 1;
        let offset = (port as u32).saturating_sub(self.first as u32) + step as u32;
        (self.first as u32 + offset % width) as u16
    }

    /// The ports in the order in which a free one is looked for: `start` if it is in the range,
    /// then upwards, and round from the end to the start.
    pub(crate) fn from(self, start: u16) -> impl Iterator<Item = u16> {
        let start = start.clamp(self.first, self.last);
        (start..=self.last).chain(self.first..start).filter(move |port| self.parity.admits(*port))
    }

    const fn step(self) -> u32 {
        match self.parity {
            Parity::Both => 1,
            Parity::Even | Parity::Odd => 2,
        }
    }

    /// The lowest port of the right parity.
    const fn lowest(self) -> u16 {
        if self.parity.admits(self.first) { self.first } else { self.first + 1 }
    }
}

impl Parity {
    const fn admits(self, port: u16) -> bool {
        match self {
            Self::Both => true,
            Self::Even => port.is_multiple_of(2),
            Self::Odd => !port.is_multiple_of(2),
        }
    }

    /// The bits of 64 neighbouring ports that do not count.
    const fn excluded(self) -> u64 {
        match self {
            Self::Both => 0,
            Self::Even => 0xaaaa_aaaa_aaaa_aaaa,
            Self::Odd => 0x5555_5555_5555_5555,
        }
    }
}

/// A set of ports, one bit each, so that a free one is found among thousands of taken ones at
/// once: an inside host must not be able to make the box search.
#[derive(Clone, Debug)]
pub(crate) struct PortSet {
    /// Empty until the first port comes.
    words: Vec<u64>,
}

impl PortSet {
    /// The empty set.
    pub(crate) const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Adds a port.
    pub(crate) fn insert(&mut self, port: u16) {
        if self.words.is_empty() {
            self.words = vec![0; 1024];
        }
        self.words[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Takes a port out.
    pub(crate) fn remove(&mut self, port: u16) {
        if let Some(word) = self.words.get_mut(usize::from(port / 64)) {
            *word &= !(1 << (port % 64));
        }
    }

    /// Whether a port is in the set.
    pub(crate) fn contains(&self, port: u16) -> bool {
        self.word(port / 64) & 1 << (port % 64) != 0
    }

    /// The first port of [`PortRange::from`] that is not in the set.
    pub(crate) fn next_free(&self, range: PortRange, start: u16) -> Option<u16> {
        let start = start.clamp(range.first, range.last);
        self.first_gap(range, start, range.last).or_else(|| {
            let below = start.checked_sub(1).filter(|last| *last >= range.first)?;
            self.first_gap(range, range.first, below)
        })
    }

    /// The lowest port of a range from `first` to `last` that is not in the set.
    fn first_gap(&self, range: PortRange, first: u16, last: u16) -> Option<u16> {
        (first / 64..=last / 64).find_map(|index| {
            let below_first = if index == first / 64 { (1 << (first % 64)) - 1 } else { 0 };
            let taken = self.word(index) | below_first | range.parity.excluded();
            let port = u32::from(index) * 64 + taken.trailing_ones();
            (taken != u64::MAX && port <= u32::from(last)).then_some(port as u16)
        })
    }

    fn word(&self, index: u16) -> u64 {
        self.words.get(usize::from(index)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range() -> impl Strategy<Value = PortRange> {
        let all = prop::sample::select(alloc::vec![
            PortRange::ALL,
            PortRange::alike(80),
            PortRange::alike(700),
            PortRange::alike(4000),
            PortRange::new(2048, 2050),
            PortRange::new(3000, 3000),
        ]);
        (all, any::<u16>(), any::<bool>()).prop_map(|(range, port, has_parity)| {
            let even_or_odd = PortRange::ALL.even_or_odd_as(port);
            if has_parity { range.with_parity_of(even_or_odd) } else { range }
        })
    }

    proptest! {
        #[test]
        fn a_set_and_a_search_port_by_port_find_the_same(
            range in range(),
            start in any::<u16>(),
            taken in prop::collection::vec((any::<u16>(), 0u16..9000), 0..12)
        ) {
            let mut set = PortSet::new();
            for (first, count) in taken {
                (first..=first.saturating_add(count)).for_each(|port| set.insert(port));
            }
            let by_port = range.from(start).find(|port| !set.contains(*port));
            prop_assert_eq!(set.next_free(range, start), by_port);
        }

        #[test]
        fn every_port_of_a_range_has_a_number(range in range()) {
            let by_number: Vec<u16> = (0..range.len()).map(|number| range.at(number)).collect();
            let in_order: Vec<u16> = range.from(range.first).collect();
            prop_assert_eq!(by_number, in_order);
        }
    }

    #[test]
    fn a_port_that_was_taken_out_is_free_again() {
        let mut set = PortSet::new();
        set.insert(4000);
        assert!(set.contains(4000));
        set.remove(4000);
        assert_eq!(set.next_free(PortRange::alike(4000), 4000), Some(4000));
    }
}
