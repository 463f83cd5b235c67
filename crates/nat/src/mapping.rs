//! Mappings: which outside endpoint stands for an inside endpoint (RFC 4787 §4.1, RFC 5382 §4.1).
//!
//! A mapping lives as long as it has sessions. The tables here are asked only when a session opens
//! or closes; a packet of an open session finds its translation in the session itself.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::endpoint::{Address, Endpoint};
use crate::port_allocation::{PortOverloading, PortSet, search_order};

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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
}

/// All open mappings of a box.
#[derive(Clone, Debug)]
pub(crate) struct Mappings {
    overloading: PortOverloading,
    behaviour: Mapping,
    open: Vec<OpenMapping>,
    free: Vec<MappingId>,
    by_inside: BTreeMap<(Endpoint, Scope), MappingId>,
    by_external: BTreeMap<(Endpoint, Scope), MappingId>,
    /// The outside ports in use, where each has one owner; a firewall, which has many outside
    /// addresses, never asks.
    taken: PortSet,
}

impl Mappings {
    /// An empty table.
    pub(crate) fn new(behaviour: Mapping, overloading: PortOverloading) -> Self {
        Self {
            overloading,
            behaviour,
            open: Vec::new(),
            free: Vec::new(),
            by_inside: BTreeMap::new(),
            by_external: BTreeMap::new(),
            taken: PortSet::new(),
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

    /// The first port from `start` on that a new mapping towards `remote` may take at `address`.
    pub(crate) fn next_free_port(
        &self,
        address: Address,
        start: u16,
        remote: Endpoint,
    ) -> Option<u16> {
        match self.overloading {
            PortOverloading::Off => self.taken.next_free(start),
            PortOverloading::ByRemote => search_order(start)
                .find(|port| self.inbound(Endpoint { address, port: *port }, remote).is_none()),
        }
    }

    /// Opens a mapping that has no session yet; `external` must be free.
    pub(crate) fn open(
        &mut self,
        inside: Endpoint,
        external: Endpoint,
        remote: Endpoint,
    ) -> MappingId {
        let scope = self.behaviour.scope(remote);
        let mapping = OpenMapping { inside, external, scope, sessions: 0 };
        let id = self.store(mapping);
        self.taken.insert(external.port);
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

    /// Takes a session from a mapping and closes it with its last one.
    pub(crate) fn release(&mut self, id: MappingId) {
        let mapping = &mut self.open[id as usize];
        mapping.sessions -= 1;
        if mapping.sessions > 0 {
            return;
        }
        let mapping = *mapping;
        self.taken.remove(mapping.external.port);
        self.by_inside.remove(&(mapping.inside, mapping.scope));
        self.by_external.remove(&(mapping.external, self.stored_scope(mapping.scope)));
        self.free.push(id);
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
