//! The standard star: arms on one core router.
//!
//! ```text
//!   a ──0.1 ms── box ──½ leg──┐        ┌──½ leg── box ──0.1 ms── b
//!                             └─ core ─┘
//!                                 │
//!                                 └──½ leg── c
//! ```
//!
//! Between any two arms lies one leg: half of it on each arm's link to the core.

use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};

use simopen_nat::Middlebox;

use crate::{
    graph::{End, Graph, GraphError, NodeId, PortId},
    link::LinkSpec,
    router::RouterSpec,
};

/// The delay between a host and its own box.
pub const HOST_LINK_DELAY: Duration = Duration::from_micros(100);

/// One arm of a star: a host, behind a box or not, and its link to the core.
#[derive(Clone)]
pub struct Arm {
    name: String,
    addresses: Vec<IpAddr>,
    middlebox: Option<Middlebox>,
    up: LinkSpec,
    down: LinkSpec,
}

impl Arm {
    /// A host on the core by a link of half a leg. `addresses` are those that the core routes to
    /// this arm: the host's own, or behind a NAT the NAT's; behind a firewall without translation
    /// both the host's and the firewall's.
    pub fn new(name: impl Into<String>, addresses: &[IpAddr], half_leg: Duration) -> Self {
        let link = LinkSpec::with_delay(half_leg);
        Self {
            name: name.into(),
            addresses: addresses.to_vec(),
            middlebox: None,
            up: link,
            down: link,
        }
    }

    /// Puts a box between the host and the core, 0.1 ms from the host.
    #[must_use]
    pub fn behind(mut self, middlebox: Middlebox) -> Self {
        self.middlebox = Some(middlebox);
        self
    }

    /// Sets the link to the core: `up` towards the core, `down` away from it.
    #[must_use]
    pub fn with_links(mut self, up: LinkSpec, down: LinkSpec) -> Self {
        self.up = up;
        self.down = down;
        self
    }
}

/// A star's plan and the numbers of its parts; ports and boxes in the order of the arms.
#[derive(Clone)]
pub struct Star<const N: usize> {
    /// The plan, to which more may be added.
    pub graph: Graph,
    /// The router in the middle.
    pub core: NodeId,
    /// The ports of the hosts.
    pub ports: [PortId; N],
    /// The boxes before them.
    pub boxes: [Option<NodeId>; N],
}

impl<const N: usize> Star<N> {
    /// Builds the plan. Ports are named as their arms, boxes `box-` and that name, the router
    /// `core`.
    ///
    /// # Errors
    ///
    /// [`GraphError`] if an arm's link has a loss or rate that no link can have.
    pub fn new(core: RouterSpec, arms: [Arm; N]) -> Result<Self, GraphError> {
        let mut graph = Graph::new();
        let core = graph.router("core", core);
        let mut boxes = [None; N];
        let mut ports = [PortId(0); N];
        for (index, arm) in arms.into_iter().enumerate() {
            let port = graph.port(arm.name.clone());
            let mut head = End::Port(port);
            if let Some(machine) = arm.middlebox {
                let node = graph.middlebox(alloc::format!("box-{}", arm.name), machine);
                graph.link(port, End::Inside(node), LinkSpec::with_delay(HOST_LINK_DELAY))?;
                boxes[index] = Some(node);
                head = End::Outside(node);
            }
            let link = graph.link_each_way(head, End::Router(core), arm.up, arm.down)?;
            for address in arm.addresses {
                graph.route(core, address, link)?;
            }
            ports[index] = port;
        }
        Ok(Self { graph, core, ports, boxes })
    }
}
