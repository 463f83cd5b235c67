//! The deadlines of all sources of work: for each, the time of its next piece.
//!
//! A source is a lane, whose next piece is the packet at its head, or a middlebox, whose next
//! piece is its timer. Each has at most one deadline, so there are as many as the graph has parts
//! and not as many as there is traffic.

use alloc::{vec, vec::Vec};

use simopen_packet::Timestamp;

/// A tournament: each source has a leaf, and each node above has the earlier of its two children.
///
/// A deadline that moves plays again on its way to the root, the same few comparisons whatever it
/// was and is, and none of them a branch that the processor must guess.
///
/// Equal times come out in the order of the sources' numbers: the order is a property of the
/// graph and never of the history.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines {
    /// The root is number 1, the children of number n are 2n and 2n + 1, and the latter half are
    /// the leaves.
    nodes: Vec<Entry>,
}

/// A deadline and its source as one number, the time above.
type Entry = u128;

/// Where there is no deadline.
const NONE: Entry = Entry::MAX;

impl Deadlines {
    pub(crate) fn new(sources: usize) -> Self {
        Self { nodes: vec![NONE; 2 * sources.next_power_of_two()] }
    }

    /// The earliest deadline and its source.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Timestamp, u32)> {
        let first = self.nodes[1];
        (first != NONE).then(|| (Timestamp::from_nanos((first >> 32) as u64), first as u32))
    }

    /// Sets, moves or clears the deadline of `source`.
    #[inline]
    pub(crate) fn set(&mut self, source: u32, deadline: Option<Timestamp>) {
        let entry = |at: Timestamp| Entry::from(at.as_nanos()) << 32 | Entry::from(source);
        let mut place = self.nodes.len() / 2 + source as usize;
        let deadline = deadline.map_or(NONE, entry);
        // A box that is passed seldom has another deadline afterwards.
        if self.nodes[place] == deadline {
            return;
        }
        self.nodes[place] = deadline;
        while place > 1 {
            place /= 2;
            self.nodes[place] = self.nodes[2 * place].min(self.nodes[2 * place + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_always_the_least_of_what_was_set(
            steps in prop::collection::vec((0u32..9, prop::option::of(0u64..40)), 1..200)
        ) {
            let mut deadlines = Deadlines::new(9);
            let mut model = BTreeMap::new();
            for (source, at) in steps {
                let at = at.map(Timestamp::from_nanos);
                deadlines.set(source, at);
                match at {
                    Some(at) => model.insert(source, at),
                    None => model.remove(&source),
                };
                let least = model.iter().map(|(source, at)| (*at, *source)).min();
                prop_assert_eq!(deadlines.first(), least);
            }
        }
    }
}
