//! Mappings and filtering of one protocol, and where its outside endpoints come from.

use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use crate::endpoint::{Address, Endpoint};
use crate::filtering::{Contacts, Filtering};
use crate::journal::DropReason;
use crate::mapping::{Mapping, MappingId, Mappings};
use crate::port_allocation::{PortAllocator, Wish};
use crate::port_set::PortRange;
use crate::reservations::Reservations;
use crate::spec::{MiddleboxSpec, Pairing, Role};

/// The outside of a box: its addresses, its ports, and its chance.
#[derive(Clone)]
pub(crate) struct Outside {
    /// The first address, or none where nothing is translated.
    base: Option<Address>,
    addresses: u8,
    pairing: Pairing,
    pub(crate) ports: PortAllocator,
    pub(crate) generator: ChaCha20Rng,
}

impl Hash for Outside {
    /// Of the generator what it has given out so far.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { base: _, addresses: _, pairing: _, ports, generator } = self;
        (ports, generator.get_seed(), generator.get_word_pos()).hash(state);
    }
}

impl Outside {
    /// The outside of a box at `external`.
    pub(crate) fn new(spec: &MiddleboxSpec, external: IpAddr, generator: ChaCha20Rng) -> Self {
        let base = match spec.role {
            Role::Nat => Some(Address::new(external)),
            Role::Firewall | Role::Transparent => None,
        };
        Self {
            base,
            addresses: spec.pool.members(external).count() as u8,
            pairing: spec.pool.pairing,
            ports: PortAllocator::new(spec.port_allocation),
            generator,
        }
    }

    /// The first address, or none where nothing is translated.
    pub(crate) const fn base(&self) -> Option<Address> {
        self.base
    }

    /// Which of the addresses this is, counted from the first.
    pub(crate) fn place_of(&self, address: Address) -> Option<u8> {
        let base = self.base?;
        let place = address.low.wrapping_sub(base.low);
        (address.high == base.high && place < u64::from(self.addresses)).then_some(place as u8)
    }

    /// The outside address of a new mapping.
    fn address_for(&mut self, inside: Address, base: Address) -> Address {
        let place = match self.pairing {
            Pairing::Paired => inside.low % u64::from(self.addresses),
            Pairing::Arbitrary if self.addresses > 1 => {
                u64::from(self.generator.next_u32()) % u64::from(self.addresses)
            }
            Pairing::Arbitrary => 0,
        };
        base.plus(place as u8)
    }
}

/// Mappings and filtering of one protocol.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Bindings {
    filtering: Filtering,
    mappings: Mappings,
    contacts: Contacts,
}

impl Bindings {
    /// Empty tables.
    pub(crate) fn new(
        behaviour: Mapping,
        filtering: Filtering,
        spec: &MiddleboxSpec,
        base: Option<Address>,
    ) -> Self {
        let (overloading, allocation) = (spec.port_overloading, spec.port_allocation);
        Self {
            filtering,
            mappings: Mappings::new(behaviour, overloading, allocation, base),
            contacts: Contacts::default(),
        }
    }

    /// The mapping of an outbound flow, opened if need be with a port of `range`; none if no port
    /// is free.
    pub(crate) fn outbound(
        &mut self,
        inside: Endpoint,
        remote: Endpoint,
        range: PortRange,
        outside: &mut Outside,
    ) -> Option<MappingId> {
        if let Some(mapping) = self.mappings.outbound(inside, remote) {
            return Some(mapping);
        }
        let external = match outside.base {
            Some(base) => self.free_endpoint(inside, remote, range, base, outside)?,
            None => inside,
        };
        outside.ports.note_opened(inside.address);
        Some(self.mappings.open(inside, external, remote))
    }

    fn free_endpoint(
        &self,
        inside: Endpoint,
        remote: Endpoint,
        range: PortRange,
        base: Address,
        outside: &mut Outside,
    ) -> Option<Endpoint> {
        if let Some(lent) = self.mappings.lent(inside, remote) {
            return Some(lent);
        }
        let address = outside.address_for(inside.address, base);
        let next_free = |range, start| self.mappings.next_free_port(address, range, start, remote);
        let wish = Wish { inside, range };
        let port = outside.ports.choose(wish, &mut outside.generator, next_free)?;
        Some(Endpoint { address, port })
    }

    /// The mapping by which a packet from `remote` may open a session.
    pub(crate) fn admitted(
        &self,
        external: Endpoint,
        remote: Endpoint,
    ) -> Result<MappingId, DropReason> {
        let mapping = self.mappings.inbound(external, remote).ok_or(DropReason::NoMapping)?;
        match self.filtering {
            Filtering::EndpointIndependent => Ok(mapping),
            Filtering::AddressDependent => {
                let known = self.contacts.contains(mapping, remote.address);
                known.then_some(mapping).ok_or(DropReason::FilteredByAddress)
            }
            // With a session it would not be here.
            Filtering::AddressAndPortDependent => Err(DropReason::FilteredByEndpoint),
        }
    }

    /// Whether an outside endpoint has a mapping, as packets from `remote` see it.
    pub(crate) fn has_mapping(&self, external: Endpoint, remote: Endpoint) -> bool {
        self.mappings.inbound(external, remote).is_some()
    }

    /// The inside and the outside endpoint of a mapping.
    pub(crate) fn endpoints(&self, id: MappingId) -> (Endpoint, Endpoint) {
        let mapping = self.mappings.get(id);
        (mapping.inside, mapping.external)
    }

    /// Adds a session to a mapping.
    pub(crate) fn acquire(&mut self, id: MappingId, remote: Endpoint) {
        self.mappings.acquire(id);
        if self.filtering == Filtering::AddressDependent {
            self.contacts.add(id, remote.address);
        }
    }

    /// Takes a session from a mapping, which ends with its last one.
    pub(crate) fn release(&mut self, id: MappingId, remote: Endpoint, ports: &mut PortAllocator) {
        if self.filtering == Filtering::AddressDependent {
            self.contacts.remove(id, remote.address);
        }
        if let Some(inside) = self.mappings.release(id) {
            ports.note_closed(inside.address);
        }
    }

    /// Outside endpoints that something else has for a time.
    pub(crate) const fn reservations(&self) -> &Reservations {
        self.mappings.reservations()
    }

    /// The same, to be changed.
    pub(crate) const fn reservations_mut(&mut self) -> &mut Reservations {
        self.mappings.reservations_mut()
    }

    /// How many mappings are open.
    pub(crate) fn mapping_count(&self) -> usize {
        self.mappings.len()
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.mappings.len() == 0 && self.contacts.is_empty() && self.reservations().is_empty()
    }
}
