//! Mappings: which outside endpoint stands for an inside endpoint (RFC 4787 §4.1, RFC 5382 §4.1).
//!
//! A mapping lives as long as it has sessions. The tables here are asked only when a session opens
//! or closes; a packet of an open session finds its translation in the session itself.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::endpoint::{Address, Endpoint};
use crate::port_allocation::{PortAllocation, PortOverloading};
use crate::port_set::{PortRange, PortSet};
use crate::reservations::Reservations;

/// Which outbound packets of one inside endpoint share one outside endpoint. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mapping {
    /// All of them.
    EndpointIndependent,
    /// Those to one remote address.
    AddressDependent,
    /// Those to one remote address and port.
    AddressAndPortDependent,
}

impl Mapping {
    /// The remote scope of the mapping that a packet to `remote` uses.
    pub(crate) const fn scope(self, remote: Endpoint) -> Scope {
        match self {
            Self::EndpointIndependent => Scope::Anybody,
            Self::AddressDependent => Scope::Address(remote.address),
            Self::AddressAndPortDependent => Scope::Endpoint(remote),
        }
    }
}

/// Towards whom a mapping holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Scope {
    Anybody,
    Address(Address),
    Endpoint(Endpoint),
}

/// Number of a mapping in its table.
pub(crate) type MappingId = u32;

/// One open mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenMapping {
    pub(crate) inside: Endpoint,
    pub(crate) external: Endpoint,
    scope: Scope,
    sessions: u32,
    /// Counts up with each mapping of the box.
    number: u64,
}

/// All open mappings of one protocol of a box.
#[derive(Clone, Debug)]
pub(crate) struct Mappings {
    overloading: PortOverloading,
    behaviour: Mapping,
    /// The first outside address, or none where nothing is translated.
    base: Option<Address>,
    open: Vec<OpenMapping>,
    free: Vec<MappingId>,
    by_inside: BTreeMap<(Endpoint, Scope), MappingId>,
    by_external: BTreeMap<(Endpoint, Scope), MappingId>,
    /// Mappings by inside endpoint and age; kept only where the latest one lends its outside
    /// endpoint to the next.
    by_age: Option<BTreeMap<(Endpoint, u64), MappingId>>,
    opened: u64,
    /// The ports in use of each outside address, from the first on.
    taken: Vec<PortSet>,
    /// Outside endpoints that something else has for a time.
    reservations: Reservations,
}

impl Hash for Mappings {
    /// By what is mapped to what, and not by the numbers that the mappings have in the table.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_inside.len().hash(state);
        for (key, id) in &self.by_inside {
            let OpenMapping { external, sessions, .. } = self.get(*id);
            (key, external, sessions).hash(state);
        }
        for ((inside, _), id) in self.by_age.iter().flatten() {
            (inside, self.get(*id).external).hash(state);
        }
        self.reservations.hash(state);
    }
}

impl Mappings {
    /// An empty table. `base` is the first outside address, or none where nothing is translated.
    pub(crate) fn new(
        behaviour: Mapping,
        overloading: PortOverloading,
        allocation: PortAllocation,
        base: Option<Address>,
    ) -> Self {
        // What is not translated has one outside endpoint, its own, towards everybody.
        let behaviour = if base.is_some() { behaviour } else { Mapping::EndpointIndependent };
        let lends = overloading == PortOverloading::ByRemote && allocation.keeps_ports();
        Self {
            overloading,
            behaviour,
            base,
            open: Vec::new(),
            free: Vec::new(),
            by_inside: BTreeMap::new(),
            by_external: BTreeMap::new(),
            by_age: lends.then(BTreeMap::new),
            opened: 0,
            taken: Vec::new(),
            reservations: Reservations::default(),
        }
    }

    /// The mapping that packets from `inside` to `remote` use.
    pub(crate) fn outbound(&self, inside: Endpoint, remote: Endpoint) -> Option<MappingId> {
        self.by_inside.get(&(inside, self.behaviour.scope(remote))).copied()
    }

    /// The mapping that owns an outside endpoint, as packets from `remote` see it.
    pub(crate) fn inbound(&self, external: Endpoint, remote: Endpoint) -> Option<MappingId> {
        self.by_external.get(&(external, self.external_scope(remote))).copied()
    }

    /// The outside endpoint of the latest mapping of an inside endpoint, if it lends it and it is
    /// free towards `remote`.
    pub(crate) fn lent(&self, inside: Endpoint, remote: Endpoint) -> Option<Endpoint> {
        let by_age = self.by_age.as_ref()?;
        let (_, latest) = by_age.range((inside, 0)..=(inside, u64::MAX)).next_back()?;
        let external = self.get(*latest).external;
        self.is_free(external, remote).then_some(external)
    }

    /// The first port of a range, from `start` on, that a new mapping towards `remote` may take at
    /// `address`.
    pub(crate) fn next_free_port(
        &self,
        address: Address,
        range: PortRange,
        start: u16,
        remote: Endpoint,
    ) -> Option<u16> {
        if self.overloading == PortOverloading::Off && self.reservations.is_empty() {
            return match self.taken.get(self.place_of(address)) {
                Some(taken) => taken.next_free(range, start),
                None => PortSet::new().next_free(range, start),
            };
        }
        range.from(start).find(|port| self.is_free(Endpoint { address, port: *port }, remote))
    }

    /// Whether a new mapping towards `remote` may have an outside endpoint.
    fn is_free(&self, external: Endpoint, remote: Endpoint) -> bool {
        match self.overloading {
            PortOverloading::Off => {
                let taken = self.taken.get(self.place_of(external.address));
                !taken.is_some_and(|taken| taken.contains(external.port))
                    && !self.reservations.has_port(external)
            }
            PortOverloading::ByRemote => {
                self.inbound(external, remote).is_none() && !self.reservations.has(external, remote)
            }
        }
    }

    /// Which of the box's outside addresses this is, counted from the first.
    fn place_of(&self, address: Address) -> usize {
        self.base.map_or(0, |base| address.low.wrapping_sub(base.low) as usize)
    }

    /// Opens a mapping that has no session yet; `external` must be free.
    pub(crate) fn open(
        &mut self,
        inside: Endpoint,
        external: Endpoint,
        remote: Endpoint,
    ) -> MappingId {
        let scope = self.behaviour.scope(remote);
        self.opened += 1;
        let number = self.opened;
        let id = self.store(OpenMapping { inside, external, scope, sessions: 0, number });
        if let Some(by_age) = &mut self.by_age {
            by_age.insert((inside, number), id);
        }
        if self.base.is_some() && self.overloading == PortOverloading::Off {
            let place = self.place_of(external.address);
            if self.taken.len() <= place {
                self.taken.resize(place + 1, PortSet::new());
            }
            self.taken[place].insert(external.port);
        }
        self.by_inside.insert((inside, scope), id);
        self.by_external.insert((external, self.external_scope(remote)), id);
        id
    }

    /// What a number stands for.
    pub(crate) fn get(&self, id: MappingId) -> OpenMapping {
        self.open[id as usize]
    }

    /// Adds a session to a mapping.
    pub(crate) fn acquire(&mut self, id: MappingId) {
        self.open[id as usize].sessions += 1;
    }

    /// Takes a session from a mapping and closes it with its last one; then says whose it was.
    pub(crate) fn release(&mut self, id: MappingId) -> Option<Endpoint> {
        let mapping = &mut self.open[id as usize];
        mapping.sessions -= 1;
        if mapping.sessions > 0 {
            return None;
        }
        let mapping = *mapping;
        let place = self.place_of(mapping.external.address);
        if let Some(taken) = self.taken.get_mut(place) {
            taken.remove(mapping.external.port);
        }
        if let Some(by_age) = &mut self.by_age {
            by_age.remove(&(mapping.inside, mapping.number));
        }
        self.by_inside.remove(&(mapping.inside, mapping.scope));
        self.by_external.remove(&(mapping.external, self.stored_scope(mapping.scope)));
        self.free.push(id);
        Some(mapping.inside)
    }

    /// Outside endpoints that something else has for a time.
    pub(crate) const fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// The same, to be changed.
    pub(crate) const fn reservations_mut(&mut self) -> &mut Reservations {
        &mut self.reservations
    }

    /// How many mappings are open.
    pub(crate) fn len(&self) -> usize {
        self.by_inside.len()
    }

    fn store(&mut self, mapping: OpenMapping) -> MappingId {
        if let Some(id) = self.free.pop() {
            self.open[id as usize] = mapping;
            return id;
        }
        self.open.push(mapping);
        (self.open.len() - 1) as MappingId
    }

    fn external_scope(&self, remote: Endpoint) -> Scope {
        self.stored_scope(self.behaviour.scope(remote))
    }

    /// Without overloading an outside endpoint belongs to its mapping alone, whoever asks.
    const fn stored_scope(&self, scope: Scope) -> Scope {
        match self.overloading {
            PortOverloading::Off => Scope::Anybody,
            PortOverloading::ByRemote => scope,
        }
    }
}
