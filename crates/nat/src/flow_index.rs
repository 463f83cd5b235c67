//! The keyed hash of a flow, and an index of sessions by it: an open-addressing table of 64-bit
//! slots, each a 32-bit tag (the hash) and a 32-bit session number.
//!
//! The home of an entry follows from its tag alone, so growing and deleting never look at
//! sessions. The hash is keyed from the box's entropy: a stranger cannot choose flows that collide.

use alloc::vec;
use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use crate::endpoint::{Endpoint, Flow};

/// Slots of an empty table.
const INITIAL_SLOTS: usize = 64;
/// An unused slot; its low half is no session number.
const EMPTY: u64 = u64::MAX;

/// The keyed hash of a flow: what the index and the sessions are looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FlowHash(pub(crate) u32);

/// The key of the hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowHasher {
    keys: [u64; 6],
}

impl FlowHasher {
    /// A hasher with a fresh key.
    pub(crate) fn drawn(generator: &mut ChaCha20Rng) -> Self {
        Self { keys: core::array::from_fn(|_| generator.next_u64()) }
    }

    /// Hashes a flow.
    #[inline(always)]
    pub(crate) fn hash(&self, flow: &Flow) -> FlowHash {
        let [Endpoint { address: near, port }, remote] = [flow.near, flow.remote];
        let ports = u64::from(port) << 32 | u64::from(remote.port) << 8 | flow.side as u64;
        let near = fold(near.high ^ self.keys[0], near.low ^ self.keys[1]);
        let remote = fold(remote.address.high ^ self.keys[2], remote.address.low ^ self.keys[3]);
        let mixed = fold(near ^ ports ^ self.keys[4], remote ^ self.keys[5]);
        FlowHash((mixed >> 32) as u32 ^ mixed as u32)
    }
}

/// Multiplies to 128 bits and folds the halves: every input bit reaches every output bit.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// The table.
#[derive(Clone)]
pub(crate) struct FlowIndex {
    slots: Vec<u64>,
    shift: u32,
    len: usize,
}

impl FlowIndex {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { slots: vec![EMPTY; INITIAL_SLOTS], shift: shift_for(INITIAL_SLOTS), len: 0 }
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Finds the session under a hash for which `is_it` says yes.
    #[inline(always)]
    pub(crate) fn find(&self, hash: FlowHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash.0);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if (slot >> 32) as u32 == hash.0 && is_it(slot as u32) {
                return Some(slot as u32);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds an entry; the flow must not be there yet.
    pub(crate) fn insert(&mut self, hash: FlowHash, session: u32) {
        // Above half full, probes get long.
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.place(u64::from(hash.0) << 32 | u64::from(session));
        self.len += 1;
    }

    /// Takes an entry away and closes the gap, so that no tombstones pile up.
    pub(crate) fn remove(&mut self, hash: FlowHash, session: u32) {
        let mask = self.slots.len() - 1;
        let wanted = u64::from(hash.0) << 32 | u64::from(session);
        let mut gap = self.home(hash.0);
        while self.slots[gap] != wanted {
            if self.slots[gap] == EMPTY {
                return;
            }
            gap = (gap + 1) & mask;
        }
        self.len -= 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == EMPTY {
                break;
            }
            let home = self.home((slot >> 32) as u32);
            // The entry may move into the gap only if its home is not behind the gap.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = EMPTY;
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        let old = core::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        self.shift = shift_for(slots);
        for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home((slot >> 32) as u32);
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    #[inline]
    const fn home(&self, tag: u32) -> usize {
        (tag >> self.shift) as usize
    }
}

/// How far a tag is shifted to give a slot.
const fn shift_for(slots: usize) -> u32 {
    32 - slots.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_agrees_with_a_map_under_insertions_and_removals(
            // Few distinct tags, so that probe sequences overlap and wrap.
            steps in proptest::collection::vec((0u32..300, 0u32..24), 0..600)
        ) {
            let mut index = FlowIndex::new();
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for (session, tag) in steps {
                if let Some(tag) = model.remove(&session) {
                    index.remove(FlowHash(tag), session);
                } else {
                    let tag = if tag < 12 { tag << 28 | 7 } else { u32::MAX - tag };
                    index.insert(FlowHash(tag), session);
                    model.insert(session, tag);
                }
                prop_assert_eq!(index.len(), model.len());
            }
            for session in 0..300 {
                let found = |tag| index.find(FlowHash(tag), |other| other == session);
                match model.get(&session) {
                    Some(tag) => prop_assert_eq!(found(*tag), Some(session)),
                    None => prop_assert!((0..24).all(|tag| found(tag << 28 | 7).is_none())),
                }
            }
        }
    }
}
