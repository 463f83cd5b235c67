//! The one deadline heap: for each source of work, the time of its next piece.
//!
//! A source is a lane, whose next piece is the packet at its head, or a middlebox, whose next
//! piece is its timer. Each has at most one entry, so the heap is as large as the graph and not
//! as large as the traffic.

use alloc::{vec, vec::Vec};

use simopen_packet::Timestamp;

const ABSENT: u32 = u32::MAX;

/// A binary heap with the place of each source remembered, so that a deadline can move.
///
/// Equal times come out in the order of the sources' numbers: the order is a property of the
/// graph and never of the history.
#[derive(Clone, Debug)]
pub(crate) struct DeadlineHeap {
    heap: Vec<(Timestamp, u32)>,
    place: Vec<u32>,
}

impl DeadlineHeap {
    pub(crate) fn new(sources: usize) -> Self {
        Self { heap: Vec::with_capacity(sources), place: vec![ABSENT; sources] }
    }

    /// The earliest deadline and its source.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Timestamp, u32)> {
        self.heap.first().copied()
    }

    /// Sets, moves or clears the deadline of `source`.
    #[inline]
    pub(crate) fn set(&mut self, source: u32, deadline: Option<Timestamp>) {
        let place = self.place[source as usize];
        match (deadline, place) {
            (None, ABSENT) => {}
            (None, _) => self.remove(place as usize),
            (Some(at), ABSENT) => {
                self.heap.push((at, source));
                self.sift_up(self.heap.len() - 1);
            }
            (Some(at), _) => {
                let place = place as usize;
                let before = self.heap[place].0;
                self.heap[place].0 = at;
                if at < before {
                    self.sift_up(place);
                } else if at > before {
                    self.sift_down(place);
                }
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let (_, source) = self.heap.swap_remove(place);
        self.place[source as usize] = ABSENT;
        if place < self.heap.len() {
            self.sift_up(place);
            self.sift_down(self.place[self.heap[place].1 as usize] as usize);
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.put(at, self.heap[parent]);
            at = parent;
        }
        self.put(at, entry);
    }

    fn sift_down(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let left = 2 * at + 1;
            let right = left + 1;
            if left >= self.heap.len() {
                break;
            }
            let child = match self.heap.get(right) {
                Some(other) if *other < self.heap[left] => right,
                Some(_) | None => left,
            };
            if entry <= self.heap[child] {
                break;
            }
            self.put(at, self.heap[child]);
            at = child;
        }
        self.put(at, entry);
    }

    #[inline]
    fn put(&mut self, at: usize, entry: (Timestamp, u32)) {
        self.heap[at] = entry;
        self.place[entry.1 as usize] = at as u32;
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
            let mut heap = DeadlineHeap::new(9);
            let mut model = BTreeMap::new();
            for (source, at) in steps {
                let at = at.map(Timestamp::from_nanos);
                heap.set(source, at);
                match at {
                    Some(at) => model.insert(source, at),
                    None => model.remove(&source),
                };
                let least = model.iter().map(|(source, at)| (*at, *source)).min();
                prop_assert_eq!(heap.first(), least);
            }
        }
    }
}
