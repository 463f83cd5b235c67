//! Filtering: from whom inbound packets reach an open mapping (RFC 4787 §5, RFC 5382 §4.3).

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::endpoint::Address;
use crate::mapping::MappingId;

/// From whom an inbound packet may reach an open mapping. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Filtering {
    /// From anybody.
    EndpointIndependent,
    /// From addresses to which the inside endpoint has a session.
    AddressDependent,
    /// From address and port to which the inside endpoint has a session.
    AddressAndPortDependent,
}

/// How many sessions each mapping has with each remote address; kept only where
/// [`Filtering::AddressDependent`] asks for it.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Contacts {
    sessions: BTreeMap<(MappingId, Address), u32>,
}

impl Contacts {
    /// Counts one more session of a mapping with an address.
    pub(crate) fn add(&mut self, mapping: MappingId, address: Address) {
        *self.sessions.entry((mapping, address)).or_insert(0) += 1;
    }

    /// Counts one session less.
    pub(crate) fn remove(&mut self, mapping: MappingId, address: Address) {
        let Some(count) = self.sessions.get_mut(&(mapping, address)) else { return };
        *count -= 1;
        if *count == 0 {
            self.sessions.remove(&(mapping, address));
        }
    }

    /// Whether the mapping has a session with the address.
    pub(crate) fn contains(&self, mapping: MappingId, address: Address) -> bool {
        self.sessions.contains_key(&(mapping, address))
    }

    /// Whether nothing is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}
