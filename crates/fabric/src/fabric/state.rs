//! The state of the network as one number: what decides over all that comes.

use core::hash::{Hash, Hasher};

use super::{Fabric, NodeState, Port};
use crate::flight::FlightId;

impl Hash for Fabric {
    /// Its state: two networks of one plan that hash alike do the same from now on. The order of
    /// packets that [wait](Fabric::held) does not enter into it, although [`Fabric::go_on`] keeps
    /// it. What was counted and journalled does not matter, nor does where a packet came from.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for Port { enabled, .. } in &self.ports {
            enabled.hash(state);
        }
        for node in &self.nodes {
            if let NodeState::Middlebox(hop) = &node.state {
                hop.hash(state);
            }
        }
        for lane in &self.lanes {
            lane.hash_past(state);
            lane.len().hash(state);
            for (due, id) in lane.flights() {
                (due, self.bytes(id)).hash(state);
            }
        }
        let mut waiting: alloc::vec::Vec<_> =
            self.waiting.iter().map(|waiting| (waiting.lane, self.bytes(waiting.id))).collect();
        waiting.sort_unstable();
        waiting.hash(state);
        self.deliveries.len().hash(state);
        for delivery in &self.deliveries {
            (delivery.port, delivery.due, delivery.packet.as_slice()).hash(state);
        }
    }
}

impl Fabric {
    fn bytes(&self, id: FlightId) -> &[u8] {
        self.flights.get(id).packet.as_slice()
    }
}
