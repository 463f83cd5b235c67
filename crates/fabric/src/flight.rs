//! Packets inside the fabric.
//!
//! A packet lies still in its slot from the time it enters until it leaves; lanes and hops pass on
//! its number.

use alloc::vec::Vec;

use simopen_packet::{Layout, Timestamp};

use crate::{
    buffer::PacketBuffer,
    journal::{Origin, PacketKind},
};

/// A packet with what the fabric knows of it since it entered.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) ingress: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) kind: PacketKind,
    pub(crate) layout: Layout,
    pub(crate) packet: PacketBuffer,
}

/// The number of a packet's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightId(u32);

/// The slots, filled again in the order of last out, first in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    slots: Vec<Flight>,
    free: Vec<FlightId>,
}

impl Flights {
    #[inline]
    pub(crate) fn insert(&mut self, flight: Flight) -> FlightId {
        if let Some(id) = self.free.pop() {
            self.slots[id.0 as usize] = flight;
            return id;
        }
        self.slots.push(flight);
        FlightId((self.slots.len() - 1) as u32)
    }

    /// Takes the packet out; the number is void from now on.
    #[inline]
    pub(crate) fn remove(&mut self, id: FlightId) -> Flight {
        self.free.push(id);
        let slot = &mut self.slots[id.0 as usize];
        Flight { packet: core::mem::take(&mut slot.packet), ..*slot }
    }

    #[inline]
    pub(crate) fn get(&self, id: FlightId) -> &Flight {
        &self.slots[id.0 as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: FlightId) -> &mut Flight {
        &mut self.slots[id.0 as usize]
    }
}
