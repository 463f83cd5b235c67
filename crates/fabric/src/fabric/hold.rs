//! A network that stands still: what leaves a router waits until somebody says which packet is
//! next.
//!
//! It is for worlds that try all orders in which packets may arrive. Nothing here is on the way of
//! a packet as long as time goes on.

use simopen_packet::{Packet, Timestamp};

use super::{DropReason, Fabric, Origin};
use crate::{
    flight::{Flight, FlightId},
    graph::{End, LinkId},
    journal::PacketSummary,
    link::LaneId,
};

/// A packet that waits before a link: see [`Fabric::stand_still`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held<'a> {
    /// The link.
    pub link: LinkId,
    /// Where it leads to.
    pub target: End,
    /// Where the packet came into being.
    pub origin: Origin,
    /// The packet.
    pub packet: &'a [u8],
}

impl Held<'_> {
    /// The packet in a few words; `None` if it cannot be read.
    pub fn summary(&self) -> Option<PacketSummary> {
        Packet::parse(self.packet).ok().map(|packet| PacketSummary::of(&packet, self.origin))
    }
}

/// A packet before a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) lane: LaneId,
    pub(super) id: FlightId,
}

impl Fabric {
    /// Lets the network stand still until [`go_on`](Self::go_on): a packet that leaves a router
    /// waits before the link until it is told what becomes of it, and every other link takes no
    /// time and loses nothing. What is under way already arrives when it is due.
    pub fn stand_still(&mut self) {
        for lane in 0..self.lanes.len() {
            let origin = self.lanes[LaneId(lane as u32).reverse().index()].target;
            self.lanes[lane].stand_still(matches!(origin, End::Router(_)));
        }
    }

    /// The packets that wait, in the order in which they came. Their places in it are what the
    /// methods below call them by.
    pub fn held(&self) -> impl ExactSizeIterator<Item = Held<'_>> {
        self.waiting.iter().map(|waiting| {
            let lane = &self.lanes[waiting.lane.index()];
            let flight = self.flights.get(waiting.id);
            let (link, target) = (lane.link, lane.target);
            Held { link, target, origin: flight.origin, packet: flight.packet.as_slice() }
        })
    }

    /// Lets a packet that waits arrive at the end of its link at `now`, to which the fabric is
    /// turned. Nothing happens if there is none at `place`.
    pub fn deliver_held(&mut self, place: usize, now: Timestamp) {
        self.handle_timeout(now);
        if let Some(Waiting { lane, id }) = self.take_waiting(place) {
            self.reach(lane, id, now);
            self.handle_timeout(now);
        }
    }

    /// Loses a packet that waits. Nothing happens if there is none at `place`.
    pub fn drop_held(&mut self, place: usize, now: Timestamp) {
        if let Some(Waiting { lane, id }) = self.take_waiting(place) {
            let link = self.lanes[lane.index()].link;
            self.end(link.into(), DropReason::Lost, id, now);
        }
    }

    /// Puts a copy of a packet that waits behind all the others. Nothing happens if there is none
    /// at `place`.
    pub fn copy_held(&mut self, place: usize) {
        let Some(waiting) = self.waiting.get(place).copied() else { return };
        let mut packet = self.pool.take();
        let Flight { ingress, origin, kind, layout, packet: original } =
            self.flights.get(waiting.id);
        if packet.fill(original.as_slice()).is_err() {
            return self.pool.put(packet);
        }
        let copy =
            Flight { ingress: *ingress, origin: *origin, kind: *kind, layout: *layout, packet };
        let id = self.flights.insert(copy);
        self.waiting.push(Waiting { id, ..waiting });
    }

    /// Lets time go on. Packets that wait get onto their links at `now`, in the order in which
    /// they came.
    pub fn go_on(&mut self, now: Timestamp) {
        for lane in &mut self.lanes {
            lane.go_on();
        }
        for Waiting { lane, id } in core::mem::take(&mut self.waiting) {
            self.launch(lane, id, now);
        }
    }

    fn take_waiting(&mut self, place: usize) -> Option<Waiting> {
        (place < self.waiting.len()).then(|| self.waiting.remove(place))
    }
}
