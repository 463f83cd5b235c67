//! Deadlines of sessions: an indexed binary heap with at most one entry a session.
//!
//! A refresh does not come here: it writes the later deadline into the session, and the entry,
//! when it comes up early, is put back. Only a deadline that moves forward in time, and the end of
//! a session, touch the heap.

use alloc::vec::Vec;

use simopen_packet::Timestamp;

/// Marks a session without an entry.
const ABSENT: u32 = u32::MAX;

/// The heap, and where in it each session stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Timestamp, u32)>,
    position: Vec<u32>,
}

impl Timers {
    /// The earliest entry: when to look, and at which session.
    pub(crate) fn next(&self) -> Option<(Timestamp, u32)> {
        self.heap.first().copied()
    }

    /// Sets or moves the entry of a session.
    pub(crate) fn set(&mut self, session: u32, at: Timestamp) {
        let slot = session as usize;
        if slot >= self.position.len() {
            self.position.resize(slot + 1, ABSENT);
        }
        let mut index = self.position[slot] as usize;
        if self.position[slot] == ABSENT {
            index = self.heap.len();
            self.heap.push((at, session));
        } else {
            self.heap[index].0 = at;
        }
        let index = self.rise(index);
        self.sink(index);
    }

    /// Takes the entry of a session away.
    pub(crate) fn remove(&mut self, session: u32) {
        let Some(&index) = self.position.get(session as usize).filter(|at| **at != ABSENT) else {
            return;
        };
        let index = index as usize;
        self.position[session as usize] = ABSENT;
        self.heap.swap_remove(index);
        if index < self.heap.len() {
            let index = self.rise(index);
            self.sink(index);
        }
    }

    /// Gives each session the number that `numbers` has under its old one; all are below `limit`.
    pub(crate) fn renumber(&mut self, numbers: &[u32], limit: usize) {
        self.position.clear();
        self.position.resize(limit, ABSENT);
        for index in 0..self.heap.len() {
            let (at, session) = self.heap[index];
            self.place(index, (at, numbers[session as usize]));
        }
        // Entries at the same time stand in the order of their numbers.
        for index in (0..self.heap.len() / 2).rev() {
            self.sink(index);
        }
    }

    /// Whether no session has an entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Lets the entry at `index` rise to its place and writes down where it is.
    fn rise(&mut self, mut index: usize) -> usize {
        let entry = self.heap[index];
        while index > 0 {
            let parent = (index - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.place(index, self.heap[parent]);
            index = parent;
        }
        self.place(index, entry);
        index
    }

    /// Lets the entry at `index` sink to its place and writes down where it is.
    fn sink(&mut self, mut index: usize) {
        let entry = self.heap[index];
        loop {
            let left = 2 * index + 1;
            if left >= self.heap.len() {
                break;
            }
            let right = left + 1;
            let smaller = if right < self.heap.len() && self.heap[right] < self.heap[left] {
                right
            } else {
                left
            };
            if entry <= self.heap[smaller] {
                break;
            }
            self.place(index, self.heap[smaller]);
            index = smaller;
        }
        self.place(index, entry);
    }

    fn place(&mut self, index: usize, entry: (Timestamp, u32)) {
        self.heap[index] = entry;
        self.position[entry.1 as usize] = index as u32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_out_in_order_whatever_was_set_moved_and_removed(
            steps in proptest::collection::vec((0u32..40, proptest::option::of(0u64..1000)), 0..200)
        ) {
            let mut timers = Timers::default();
            let mut model = alloc::collections::BTreeMap::new();
            for (session, at) in steps {
                if let Some(at) = at {
                    timers.set(session, Timestamp::from_nanos(at));
                    model.insert(session, at);
                } else if model.remove(&session).is_some() {
                    timers.remove(session);
                }
            }
            let mut expected: Vec<_> = model.into_iter().map(|(session, at)| (at, session)).collect();
            expected.sort_unstable();
            let mut seen = Vec::new();
            while let Some((at, session)) = timers.next() {
                seen.push((at.as_nanos(), session));
                timers.remove(session);
            }
            prop_assert_eq!(seen, expected);
            prop_assert!(timers.is_empty());
        }
    }
}
