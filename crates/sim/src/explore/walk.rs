//! One walk through the tree of schedules: a prefix that is followed, then the first choice at
//! every fork that was not met before.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::script::Choice;

/// A walk, and what all walks so far have seen.
#[derive(Debug)]
pub(crate) struct Walk {
    limits: Limits,
    /// What is chosen first, from the request on.
    path: Vec<Fork>,
    /// Forks met so far in this walk.
    met: usize,
    /// Hashes of the states in which something was to be chosen.
    seen: BTreeSet<u64>,
    /// Whether a walk ends where the rest is known.
    prunes: bool,
    /// The state from which everything took its course.
    released_from: Option<u64>,
    left: Limits,
    /// Items that wait for the next deadline, by their content.
    late: BTreeSet<u64>,
    phase: Phase,
}

/// What may happen in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// Deliveries whose order is chosen.
    pub(crate) deliveries: u32,
    /// Faults at most.
    pub(crate) faults: u32,
}

/// A place in the tree with all its ways, of which one is taken.
#[derive(Debug, Clone)]
struct Fork {
    ways: Vec<Choice>,
    taken: usize,
}

/// How far a walk is. Complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The request was not made yet.
    Ahead,
    /// What comes next is chosen.
    Choosing,
    /// The deliveries are used up: everything takes its course.
    Released,
    /// The rest is known: another order has led to the same state.
    Known,
}

/// Something in flight, as far as choosing needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    /// A hash of what it is; equal items are one choice.
    pub(crate) content: u64,
    /// Whether the network may lose and copy it. Documents come by ordered streams, which at most
    /// take longer.
    pub(crate) is_packet: bool,
}

/// Whether everything takes its course now, or more is chosen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Now,
    Later,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One item is dealt with.
    Choose(Choice),
    /// Nothing may arrive now: time goes on.
    Wait,
    /// Everything shall take its course from now on.
    Release,
    /// The rest is known.
    Stop,
}

impl Walk {
    /// A walk along the first way everywhere.
    pub(crate) fn new(limits: Limits, prunes: bool) -> Self {
        Self { prunes, ..Self::along(Vec::new(), limits) }
    }

    /// A walk that begins with `path`.
    pub(crate) fn along(path: Vec<Choice>, limits: Limits) -> Self {
        let only = |choice| Fork { ways: vec![choice], taken: 0 };
        Self {
            limits,
            path: path.into_iter().map(only).collect(),
            met: 0,
            seen: BTreeSet::new(),
            prunes: true,
            released_from: None,
            left: limits,
            late: BTreeSet::new(),
            phase: Phase::Ahead,
        }
    }

    /// The request is made.
    pub(crate) const fn begin(&mut self) {
        self.phase = Phase::Choosing;
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// States in which something was chosen, so far.
    pub(crate) fn states(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The state from which everything took its course, once it did.
    #[cfg(test)]
    pub(super) const fn released_from(&self) -> Option<u64> {
        self.released_from
    }

    /// What was chosen so far.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        self.path[..self.met].iter().map(|fork| fork.ways[fork.taken]).collect()
    }

    /// Turns to the next way that was not taken. Whether there is one.
    pub(crate) fn turn(&mut self) -> bool {
        self.path.truncate(self.met);
        (self.met, self.left, self.phase) = (0, self.limits, Phase::Ahead);
        self.released_from = None;
        self.late.clear();
        while let Some(last) = self.path.last_mut() {
            last.taken += 1;
            if last.taken < last.ways.len() {
                return true;
            }
            self.path.pop();
        }
        false
    }

    /// Chooses what comes next. `state` hashes the state of all machines.
    pub(crate) fn step(&mut self, items: &[InFlight], state: impl FnOnce(Release) -> u64) -> Step {
        if self.left.deliveries == 0 {
            return self.release(state(Release::Now));
        }
        let ways = self.ways(items);
        if ways.is_empty() {
            self.late.clear();
            return Step::Wait;
        }
        if self.met == self.path.len() {
            if !self.is_new(state(Release::Later)) {
                self.phase = Phase::Known;
                return Step::Stop;
            }
            self.path.push(Fork { ways, taken: 0 });
        }
        let fork = &self.path[self.met];
        let choice = fork.ways[fork.taken];
        self.met += 1;
        self.note(choice, items);
        Step::Choose(choice)
    }

    fn release(&mut self, state: u64) -> Step {
        // Faults that are left do not matter any more.
        self.left.faults = 0;
        if self.met == self.path.len() && !self.is_new(state) {
            self.phase = Phase::Known;
            return Step::Stop;
        }
        self.phase = Phase::Released;
        self.released_from = Some(state);
        Step::Release
    }

    fn is_new(&mut self, state: u64) -> bool {
        let mut hasher = DefaultHasher::new();
        (state, self.left, &self.late).hash(&mut hasher);
        self.seen.insert(hasher.finish()) || !self.prunes
    }

    /// What may come next: orders first, then faults.
    fn ways(&self, items: &[InFlight]) -> Vec<Choice> {
        let is_first = |place: usize| {
            let before = &items[..place];
            before.iter().all(|other| other.content != items[place].content)
        };
        let on_time = (0..items.len())
            .filter(|place| !self.late.contains(&items[*place].content) && is_first(*place));
        let mut ways: Vec<_> = on_time.clone().map(Choice::Deliver).collect();
        if self.left.faults > 0 {
            let packets = on_time.clone().filter(|place| items[*place].is_packet);
            ways.extend(on_time.map(Choice::Delay));
            ways.extend(packets.clone().map(Choice::Drop));
            ways.extend(packets.map(Choice::Copy));
        }
        ways
    }

    fn note(&mut self, choice: Choice, items: &[InFlight]) {
        self.left.deliveries -= u32::from(choice.delivers());
        self.left.faults = self.left.faults.saturating_sub(u32::from(choice.is_fault()));
        if let Choice::Delay(place) = choice
            && let Some(item) = items.get(place)
        {
            self.late.insert(item.content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: [InFlight; 3] = [packet(1), packet(2), packet(2)];

    const fn packet(content: u64) -> InFlight {
        InFlight { content, is_packet: true }
    }

    /// Walks through a world that holds these items and nothing else, whose state is what has
    /// arrived in which order, or the set of it.
    fn walk_all(items: &[InFlight], limits: Limits, commutes: bool) -> Vec<(String, Phase)> {
        let mut walk = Walk::new(limits, true);
        let mut ends = Vec::new();
        loop {
            let (mut left, mut arrived) = (items.to_vec(), Vec::new());
            walk.begin();
            while let Step::Choose(choice) = walk.step(&left, |_| {
                let mut state = arrived.clone();
                if commutes {
                    state.sort_unstable();
                }
                let mut hasher = DefaultHasher::new();
                state.hash(&mut hasher);
                hasher.finish()
            }) {
                match choice {
                    Choice::Deliver(place) => arrived.push(left.remove(place).content),
                    Choice::Copy(place) => arrived.push(left[place].content),
                    Choice::Drop(place) => drop(left.remove(place)),
                    Choice::Delay(_) => {}
                }
            }
            ends.push((format!("{arrived:?}"), walk.phase()));
            if !walk.turn() {
                return ends;
            }
        }
    }

    fn released(ends: &[(String, Phase)]) -> Vec<&str> {
        let is_released = |(_, phase): &&(String, Phase)| *phase == Phase::Released;
        ends.iter().filter(is_released).map(|(arrived, _)| &**arrived).collect()
    }

    #[test]
    fn every_order_is_walked_once_and_equal_items_are_one_choice() {
        let ends = walk_all(&PACKETS, Limits { deliveries: 3, faults: 0 }, false);
        assert_eq!(released(&ends), ["[1, 2, 2]", "[2, 1, 2]", "[2, 2, 1]"]);
        assert_eq!(ends.len(), 3);
    }

    #[test]
    fn what_commutes_is_walked_to_its_end_once() {
        let items = [1, 2, 3].map(packet);
        let ends = walk_all(&items, Limits { deliveries: 3, faults: 0 }, true);
        assert_eq!(released(&ends), ["[1, 2, 3]"]);
        assert_eq!(ends.iter().filter(|(_, phase)| *phase == Phase::Known).count(), 5);
    }

    #[test]
    fn a_fault_is_spent_once_and_documents_are_neither_lost_nor_copied() {
        let document = InFlight { content: 7, is_packet: false };
        let ends = walk_all(&[document], Limits { deliveries: 1, faults: 1 }, false);
        // It arrives, or it is delayed: then nothing may arrive before time goes on.
        let phases: Vec<_> = ends.iter().map(|(_, phase)| *phase).collect();
        assert_eq!(phases, [Phase::Released, Phase::Choosing]);
        let packets = walk_all(&PACKETS[..1], Limits { deliveries: 1, faults: 1 }, false);
        assert_eq!(packets.len(), 4, "and a packet may be lost or copied too");
    }
}
