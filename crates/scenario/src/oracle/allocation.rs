//! Which outside endpoint a box gives to the proven port towards the other side.

use simopen_nat::{Mapping, MiddleboxSpec, Pairing, PortAllocation, PortOverloading, Role};

use super::segment::Endpoint;

/// How many ports a box draws from by itself: those from 1024 up.
const PORTS: u32 = 65_536 - 1024;

/// The endpoints that the box may give, each with its probability and, where it was drawn, the
/// number that it was drawn from.
pub(super) fn towards_peer(spec: &MiddleboxSpec) -> Draw {
    let is_one_for_all = spec.role != Role::Nat || spec.mapping == Mapping::EndpointIndependent;
    let is_shared = spec.port_overloading == PortOverloading::ByRemote;
    let same_port = match spec.port_allocation {
        _ if is_one_for_all => return Draw::CERTAIN,
        // The port that the mapping towards the broker has cannot be given again.
        _ if !is_shared => 0,
        // The latest endpoint of the same inside one is tried first.
        PortAllocation::Preserve
        | PortAllocation::PreserveElseNext
        | PortAllocation::Block { .. } => return Draw::CERTAIN,
        PortAllocation::Random => PORTS,
        PortAllocation::RandomInBlock { size } => u32::from(size.max(1)),
        // The mapping before was another one.
        PortAllocation::Sequential { .. } | _ => 0,
    };
    let addresses = match spec.pool.pairing {
        Pairing::Paired => 1,
        Pairing::Arbitrary | _ => u32::from(spec.pool.addresses.max(1)),
    };
    let port = if same_port == 0 { 0.0 } else { 1.0 / f64::from(same_port) };
    let address = 1.0 / f64::from(addresses);
    Draw {
        chances: [
            (Endpoint::Observed, port * address),
            (Endpoint::OtherPort, (1.0 - port) * address),
            (Endpoint::OtherAddress, 1.0 - address),
        ],
        among: (same_port > 0).then_some(same_port * addresses),
    }
}

/// What may be given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    pub(super) chances: [(Endpoint, f64); 3],
    /// How many endpoints it was drawn from, if the observed one is among them.
    pub(super) among: Option<u32>,
}

impl Draw {
    const CERTAIN: Self = Self {
        chances: [
            (Endpoint::Observed, 1.0),
            (Endpoint::OtherPort, 0.0),
            (Endpoint::OtherAddress, 0.0),
        ],
        among: None,
    };
}
