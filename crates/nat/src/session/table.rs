//! From a flow to its session in one cache miss: the sessions themselves lie in the table, each
//! at the place that the keyed hash of its flow says or behind it (open addressing, linear).
//!
//! An index beside the sessions would cost a second miss, and the second could not begin before
//! the first has ended. What lies beside them is one byte a slot, small enough for the cache: it
//! keeps a search from reading sessions of other flows, and while it is read the processor
//! already fetches the session that is most likely the right one.
//!
//! A session stays where it is until [`SessionTable::rebuild`]: what ended leaves a mark that the
//! search goes past.

use alloc::vec;
use alloc::vec::Vec;

use super::Session;
use crate::flow_index::FlowHash;

/// Slots of an empty table.
const INITIAL_SLOTS: usize = 16;

/// What a slot holds: nothing, an ended session, or an open one with some bits of its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag(u8);

impl Tag {
    /// Nothing, and no search for another session led past it.
    const VACANT: Self = Self(0);
    /// A session that ended; a search goes past it.
    const ENDED: Self = Self(1);

    /// An open session. The home comes from the upper bits of the hash, so these are the lower.
    #[inline(always)]
    const fn open(hash: FlowHash) -> Self {
        Self(hash.0 as u8 | 0x80)
    }

    const fn is_open(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// The table. Sessions go by the number of their slot.
#[derive(Clone)]
pub(super) struct SessionTable {
    tags: Vec<Tag>,
    sessions: Vec<Session>,
    shift: u32,
    open: usize,
    /// Slots that are not vacant.
    used: usize,
}

impl SessionTable {
    /// An empty table.
    pub(super) fn new() -> Self {
        Self::with_slots(INITIAL_SLOTS)
    }

    fn with_slots(slots: usize) -> Self {
        Self {
            tags: vec![Tag::VACANT; slots],
            sessions: vec![Session::VACANT; slots],
            shift: 32 - slots.trailing_zeros(),
            open: 0,
            used: 0,
        }
    }

    /// How many sessions are open.
    pub(super) const fn len(&self) -> usize {
        self.open
    }

    /// How many slots there are: all numbers are below.
    pub(super) const fn slots(&self) -> usize {
        self.tags.len()
    }

    /// What a number stands for.
    #[inline(always)]
    pub(super) fn get(&self, id: u32) -> &Session {
        &self.sessions[id as usize]
    }

    /// What a number stands for, to be changed.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, id: u32) -> &mut Session {
        &mut self.sessions[id as usize]
    }

    /// The open sessions with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        let numbered = (0..).zip(self.tags.iter().zip(&self.sessions));
        numbered.filter(|(_, (tag, _))| tag.is_open()).map(|(id, (_, session))| (id, session))
    }

    /// Finds the session with a hash for which `is_it` says yes.
    #[inline(always)]
    pub(super) fn find(&self, hash: FlowHash, is_it: impl Fn(&Session) -> bool) -> Option<u32> {
        let mask = self.tags.len() - 1;
        let mut at = self.home(hash);
        loop {
            let tag = self.tags[at & mask];
            if tag == Tag::open(hash) && is_it(&self.sessions[at & mask]) {
                return Some((at & mask) as u32);
            }
            if tag == Tag::VACANT {
                return None;
            }
            at += 1;
        }
    }

    /// Whether [`Self::rebuild`] must come before the next session.
    pub(super) const fn is_crowded(&self) -> bool {
        // Above half full, searches get long.
        (self.used + 1) * 2 > self.tags.len()
    }

    /// Adds a session, which must not be there yet.
    pub(super) fn insert(&mut self, session: Session) -> u32 {
        let mask = self.tags.len() - 1;
        let mut at = self.home(session.hash);
        while self.tags[at].is_open() {
            at = (at + 1) & mask;
        }
        if self.tags[at] == Tag::VACANT {
            self.used += 1;
        }
        self.open += 1;
        self.tags[at] = Tag::open(session.hash);
        self.sessions[at] = session;
        at as u32
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: u32) {
        let mask = self.tags.len() - 1;
        let mut at = id as usize;
        self.open -= 1;
        self.tags[at] = Tag::ENDED;
        // Nothing lies behind a mark that ends a run: no search need go past it.
        if self.tags[(at + 1) & mask] == Tag::VACANT {
            while self.tags[at] == Tag::ENDED {
                self.tags[at] = Tag::VACANT;
                self.used -= 1;
                at = at.wrapping_sub(1) & mask;
            }
        }
    }

    /// Makes room, in more slots if sessions and not the marks of ended ones fill the table. Says
    /// for each old number of an open session its new one.
    #[cold]
    pub(super) fn rebuild(&mut self) -> Vec<u32> {
        let slots = self.tags.len();
        let larger = Self::with_slots(if self.open * 3 >= slots { slots * 2 } else { slots });
        let old = core::mem::replace(self, larger);
        let renumber = |(tag, session): (Tag, Session)| match tag.is_open() {
            true => self.insert(session),
            false => u32::MAX,
        };
        old.tags.into_iter().zip(old.sessions).map(renumber).collect()
    }

    #[inline(always)]
    const fn home(&self, hash: FlowHash) -> usize {
        (hash.0 >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map_under_insertions_removals_and_rebuilding(
            // Few distinct hashes, so that searches overlap and wrap.
            steps in proptest::collection::vec((0u32..200, 0u32..24), 0..600)
        ) {
            let mut table = SessionTable::new();
            let mut model: BTreeMap<u32, FlowHash> = BTreeMap::new();
            let find = |table: &SessionTable, hash, number| {
                table.find(hash, |session: &Session| session.mapping == number)
            };
            for (number, hash) in steps {
                if let Some(hash) = model.remove(&number) {
                    let id = find(&table, hash, number).expect("it was added");
                    table.remove(id);
                } else {
                    if table.is_crowded() {
                        table.rebuild();
                    }
                    let hash = FlowHash(if hash < 12 { hash << 28 | 7 } else { u32::MAX - hash });
                    let id = table.insert(Session { mapping: number, hash, ..Session::VACANT });
                    prop_assert_eq!(table.get(id).mapping, number);
                    model.insert(number, hash);
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.iter().count(), model.len());
                prop_assert!(table.used * 2 <= table.slots());
            }
            let numbers = |table: &SessionTable| table.sessions.iter().map(|session| session.mapping).collect();
            let before: Vec<u32> = numbers(&table);
            let open: Vec<u32> = table.iter().map(|(id, _)| id).collect();
            let renumbered = table.rebuild();
            let after: Vec<u32> = numbers(&table);
            for id in open {
                prop_assert_eq!(before[id as usize], after[renumbered[id as usize] as usize]);
            }
            for (number, hash) in &model {
                let found = find(&table, *hash, *number);
                prop_assert_eq!(found.map(|id| table.get(id).mapping), Some(*number));
            }
            for number in (0..200).filter(|number| !model.contains_key(number)) {
                prop_assert!((0..12).all(|hash| find(&table, FlowHash(hash << 28 | 7), number).is_none()));
            }
            for number in model.keys() {
                let id = find(&table, model[number], *number).expect("it is in the model");
                table.remove(id);
            }
            // No marks are left where no session is.
            prop_assert_eq!((table.open, table.used), (0, 0));
        }
    }
}
