//! The plan of a network, from which a [`Fabric`](crate::Fabric) is made.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use simopen_nat::Middlebox;

use crate::{
    link::{LaneId, LinkSpec},
    router::{Prefix, Router, RouterSpec},
};

/// Bytes in a packet buffer unless the graph says otherwise: room for an MTU of 1500.
pub const DEFAULT_PACKET_CAPACITY: usize = 2048;

/// Events kept in the journal unless the graph says otherwise.
pub const DEFAULT_JOURNAL_CAPACITY: usize = 16_384;

/// The minimum MTU of IPv6 (RFC 8200 §5), which ICMPv6 errors fill (RFC 4443 §2.4).
const LEAST_PACKET_CAPACITY: usize = 1280;

/// The longest IP packet without jumbograms.
const GREATEST_PACKET_CAPACITY: usize = 65_535;

/// Ports, routers, middleboxes and the links between them.
///
/// Every end but a router takes one link; a router takes any number and chooses among them by its
/// routes.
#[derive(Clone)]
pub struct Graph {
    pub(crate) ports: Vec<PortPlan>,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) links: Vec<LinkPlan>,
    pub(crate) packet_capacity: usize,
    pub(crate) journal_capacity: usize,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty plan.
    pub fn new() -> Self {
        Self {
            ports: Vec::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            packet_capacity: DEFAULT_PACKET_CAPACITY,
            journal_capacity: DEFAULT_JOURNAL_CAPACITY,
        }
    }

    /// Sets how many bytes a packet buffer holds, between 1280 and 65,535.
    pub fn set_packet_capacity(&mut self, bytes: usize) {
        self.packet_capacity = bytes.clamp(LEAST_PACKET_CAPACITY, GREATEST_PACKET_CAPACITY);
    }

    /// Sets how many events the journal keeps until they are polled.
    pub fn set_journal_capacity(&mut self, events: usize) {
        self.journal_capacity = events;
    }

    /// Adds a port: where a host outside the fabric puts packets in and takes them out.
    pub fn port(&mut self, name: impl Into<String>) -> PortId {
        self.ports.push(PortPlan { name: name.into(), link: None });
        PortId((self.ports.len() - 1) as u16)
    }

    /// Adds a router without routes.
    pub fn router(&mut self, name: impl Into<String>, spec: RouterSpec) -> NodeId {
        self.node(name.into(), NodeKind::Router(Router::new(spec)))
    }

    /// Adds a middlebox.
    pub fn middlebox(&mut self, name: impl Into<String>, machine: Middlebox) -> NodeId {
        self.node(name.into(), NodeKind::Middlebox { machine, inside: None, outside: None })
    }

    /// Joins two ends with the same specification both ways.
    ///
    /// # Errors
    ///
    /// See [`GraphError`].
    pub fn link(
        &mut self,
        one: impl Into<End>,
        other: impl Into<End>,
        spec: LinkSpec,
    ) -> Result<LinkId, GraphError> {
        self.link_each_way(one, other, spec, spec)
    }

    /// Joins two ends; `forth` is the direction from `one` to `other`, `back` the other.
    ///
    /// # Errors
    ///
    /// See [`GraphError`].
    pub fn link_each_way(
        &mut self,
        one: impl Into<End>,
        other: impl Into<End>,
        forth: LinkSpec,
        back: LinkSpec,
    ) -> Result<LinkId, GraphError> {
        let (one, other) = (one.into(), other.into());
        let name = format!("{}-{}", self.end_name(one)?, self.end_name(other)?);
        if one.node().is_some() && one.node() == other.node() {
            return Err(GraphError::SelfLink { name });
        }
        for spec in [&forth, &back] {
            check_spec(spec, &name)?;
        }
        let link = LinkId(self.links.len() as u16);
        self.occupy(one, LaneId::forth(link))?;
        self.occupy(other, LaneId::forth(link).reverse())?;
        self.links.push(LinkPlan { name, ends: [one, other], forth, back });
        Ok(link)
    }

    /// What the link of a port, or of one side of a middlebox, leads to; none for a router, which
    /// may have many, and where there is no link.
    pub fn other_end(&self, end: impl Into<End>) -> Option<End> {
        let end = end.into();
        self.links.iter().find_map(|link| match link.ends {
            _ if matches!(end, End::Router(_)) => None,
            [one, other] if one == end => Some(other),
            [one, other] if other == end => Some(one),
            [_, _] => None,
        })
    }

    /// Lets `router` send what is destined for `prefix` along `via`.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoSuchNode`] or [`GraphError::NotThatKind`] if `router` is no router of this
    /// graph, [`GraphError::NotItsLink`] if `via` does not end at it.
    pub fn route(
        &mut self,
        router: NodeId,
        prefix: impl Into<Prefix>,
        via: LinkId,
    ) -> Result<(), GraphError> {
        let lane = match self.links.get(via.index()).map(|link| link.ends) {
            Some([End::Router(one), _]) if one == router => LaneId::forth(via),
            Some([_, End::Router(other)]) if other == router => LaneId::forth(via).reverse(),
            Some(_) | None => return Err(GraphError::NotItsLink { node: router, link: via }),
        };
        let plan = self.nodes.get_mut(router.index()).ok_or(GraphError::NoSuchNode(router))?;
        let NodeKind::Router(machine) = &mut plan.kind else {
            return Err(GraphError::NotThatKind { name: plan.name.clone() });
        };
        machine.add_route(prefix.into(), lane);
        Ok(())
    }

    fn node(&mut self, name: String, kind: NodeKind) -> NodeId {
        self.nodes.push(NodePlan { name, kind });
        NodeId((self.nodes.len() - 1) as u16)
    }

    /// Notes `lane` as the way out of `end`.
    fn occupy(&mut self, end: End, lane: LaneId) -> Result<(), GraphError> {
        let taken = GraphError::Occupied { name: self.end_name(end)?.to_string() };
        let slot = match end {
            End::Router(_) => return Ok(()),
            End::Port(port) => self.ports.get_mut(port.index()).map(|plan| &mut plan.link),
            End::Inside(node) | End::Outside(node) => {
                match self.nodes.get_mut(node.index()).map(|plan| &mut plan.kind) {
                    Some(NodeKind::Middlebox { inside, outside, .. }) => {
                        Some(if matches!(end, End::Inside(_)) { inside } else { outside })
                    }
                    Some(NodeKind::Router(_)) | None => None,
                }
            }
        };
        match slot {
            Some(free @ None) => *free = Some(lane),
            Some(Some(_)) | None => return Err(taken),
        }
        Ok(())
    }

    fn end_name(&self, end: End) -> Result<&str, GraphError> {
        let node = match end {
            End::Port(port) => {
                let plan = self.ports.get(port.index()).ok_or(GraphError::NoSuchPort(port))?;
                return Ok(&plan.name);
            }
            End::Router(node) | End::Inside(node) | End::Outside(node) => node,
        };
        let plan = self.nodes.get(node.index()).ok_or(GraphError::NoSuchNode(node))?;
        let fits = matches!(
            (&plan.kind, end),
            (NodeKind::Router(_), End::Router(_))
                | (NodeKind::Middlebox { .. }, End::Inside(_) | End::Outside(_))
        );
        if !fits {
            return Err(GraphError::NotThatKind { name: plan.name.clone() });
        }
        Ok(&plan.name)
    }
}

fn check_spec(spec: &LinkSpec, name: &str) -> Result<(), GraphError> {
    if !(0.0..=1.0).contains(&spec.loss) {
        return Err(GraphError::LossOutOfRange { name: name.to_string() });
    }
    if spec.rate == Some(0) {
        return Err(GraphError::RateOfZero { name: name.to_string() });
    }
    Ok(())
}

/// Where a link can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A port, and behind it a host outside the fabric.
    Port(PortId),
    /// A router.
    Router(NodeId),
    /// The inside of a middlebox.
    Inside(NodeId),
    /// The outside of a middlebox.
    Outside(NodeId),
}

impl End {
    fn node(self) -> Option<NodeId> {
        match self {
            Self::Port(_) => None,
            Self::Router(node) | Self::Inside(node) | Self::Outside(node) => Some(node),
        }
    }
}

impl From<PortId> for End {
    fn from(port: PortId) -> Self {
        Self::Port(port)
    }
}

macro_rules! number {
    ($name:ident, $what:literal) => {
        #[doc = concat!("The number of a ", $what, " in its graph, from zero in order of creation.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u16);

        impl $name {
            /// The number.
            pub const fn number(self) -> u16 {
                self.0
            }

            #[inline]
            pub(crate) fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    };
}

number!(PortId, "port");
number!(NodeId, "router or middlebox");
number!(LinkId, "link");

#[derive(Clone, Debug)]
pub(crate) struct PortPlan {
    pub(crate) name: String,
    pub(crate) link: Option<LaneId>,
}

#[derive(Clone)]
pub(crate) struct NodePlan {
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "nodes are few and live in one vector")]
pub(crate) enum NodeKind {
    Router(Router),
    Middlebox { machine: Middlebox, inside: Option<LaneId>, outside: Option<LaneId> },
}

#[derive(Clone, Debug)]
pub(crate) struct LinkPlan {
    pub(crate) name: String,
    pub(crate) ends: [End; 2],
    pub(crate) forth: LinkSpec,
    pub(crate) back: LinkSpec,
}

/// What is wrong with a plan. It may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphError {
    /// The port is of another graph.
    NoSuchPort(PortId),
    /// The node is of another graph.
    NoSuchNode(NodeId),
    /// A router was given a side, or a middlebox taken for a router.
    NotThatKind {
        /// The node's name.
        name: String,
    },
    /// The port or the side of the middlebox has its link already.
    Occupied {
        /// The name of the port or middlebox.
        name: String,
    },
    /// Both ends of the link are the same node.
    SelfLink {
        /// The link's name.
        name: String,
    },
    /// A route leads along a link that does not end at its router.
    NotItsLink {
        /// The router.
        node: NodeId,
        /// The link.
        link: LinkId,
    },
    /// A probability of loss is not between 0 and 1.
    LossOutOfRange {
        /// The link's name.
        name: String,
    },
    /// A link of 0 bit/s carries nothing; for that, let it lose everything.
    RateOfZero {
        /// The link's name.
        name: String,
    },
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPort(port) => write!(f, "port {} is of another graph", port.number()),
            Self::NoSuchNode(node) => write!(f, "node {} is of another graph", node.number()),
            Self::NotThatKind { name } => {
                write!(
                    f,
                    "{name}: a router ends links as a router, a middlebox as inside or outside"
                )
            }
            Self::Occupied { name } => write!(f, "{name} has its link already; put a router there"),
            Self::SelfLink { name } => write!(f, "link {name} joins a node with itself"),
            Self::NotItsLink { node, link } => write!(
                f,
                "the route of node {} leads along link {}, which does not end there",
                node.number(),
                link.number()
            ),
            Self::LossOutOfRange { name } => {
                write!(f, "link {name}: loss is a probability between 0 and 1")
            }
            Self::RateOfZero { name } => {
                write!(f, "link {name}: a rate of 0 bit/s carries nothing; use a loss of 1")
            }
        }
    }
}

impl core::error::Error for GraphError {}
