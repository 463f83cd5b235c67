//! Who has how many sessions, kept only where the specification limits them.

use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};

use crate::endpoint::{Address, Endpoint};
use crate::flow_protocol::FlowProtocol;
use crate::spec::{Limits, WhenFull};

/// A session by what is unique of it inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SessionKey {
    pub(crate) protocol: FlowProtocol,
    pub(crate) inside: Endpoint,
    pub(crate) remote: Endpoint,
}

/// What the limits say of one more session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// There is room.
    Free,
    /// There is, once this one is gone.
    After(SessionKey),
    /// There is none.
    None,
}

/// The sessions in the order in which they were opened.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    limits: Limits,
    opened: u64,
    by_age: BTreeMap<u64, SessionKey>,
    by_host: BTreeSet<(Address, u64)>,
    counts: BTreeMap<Address, u32>,
    ages: BTreeMap<SessionKey, u64>,
}

impl Hash for Census {
    /// Who is older than whom counts, not how many there were.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_age.len().hash(state);
        self.by_age.values().for_each(|key| key.hash(state));
    }
}

impl Census {
    /// Nobody yet.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            opened: 0,
            by_age: BTreeMap::new(),
            by_host: BTreeSet::new(),
            counts: BTreeMap::new(),
            ages: BTreeMap::new(),
        }
    }

    /// Whether there is room for one more session of an inside address.
    pub(crate) fn room_for(&self, host: Address) -> Room {
        let of_host = self.counts.get(&host).copied().unwrap_or(0);
        if self.limits.per_host.is_some_and(|limit| of_host >= limit) {
            let ages = self.by_host.range((host, 0)..=(host, u64::MAX)).next();
            return self.without(ages.and_then(|(_, age)| self.by_age.get(age)));
        }
        if self.limits.total.is_some_and(|limit| self.by_age.len() as u64 >= u64::from(limit)) {
            return self.without(self.by_age.values().next());
        }
        Room::Free
    }

    /// Notes a session that was opened.
    pub(crate) fn add(&mut self, key: SessionKey) {
        if self.limits.per_host.is_none() && self.limits.total.is_none() {
            return;
        }
        self.opened += 1;
        let (age, host) = (self.opened, key.inside.address);
        self.by_age.insert(age, key);
        self.ages.insert(key, age);
        self.by_host.insert((host, age));
        *self.counts.entry(host).or_insert(0) += 1;
    }

    /// Notes the end of a session.
    pub(crate) fn remove(&mut self, key: SessionKey) {
        let Some(age) = self.ages.remove(&key) else { return };
        let host = key.inside.address;
        self.by_age.remove(&age);
        self.by_host.remove(&(host, age));
        let Some(count) = self.counts.get_mut(&host) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&host);
        }
    }

    fn without(&self, oldest: Option<&SessionKey>) -> Room {
        match (self.limits.when_full, oldest) {
            (WhenFull::OldestEvicted, Some(oldest)) => Room::After(*oldest),
            (WhenFull::OldestEvicted, None) | (WhenFull::Refused, _) => Room::None,
        }
    }
}
