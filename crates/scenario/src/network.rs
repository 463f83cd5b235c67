//! A network that can be built: the plan of its fabric, and what stands at the fabric's ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use simopen_fabric::{Graph, LinkId, NodeId, PortId};
use simopen_nat::MiddleboxSpec;
use thiserror::Error;

/// A network that can be built.
#[derive(Clone)]
pub struct Network {
    /// Links, routers and the boxes that are machines.
    pub graph: Graph,
    /// The hosts, each at a port of its own.
    pub hosts: Vec<Host>,
    /// All boxes, machines or kernels.
    pub boxes: Vec<PlacedBox>,
    /// The link of each host, and the outer one of each box, by name: what events take down.
    pub links: BTreeMap<String, LinkId>,
}

impl Network {
    /// Puts the addresses of each host in order, IPv4 or else IPv6 first: hosts with addresses of
    /// both are known by the first.
    pub fn put_first(&mut self, is_ipv4: bool) {
        for host in &mut self.hosts {
            host.addresses.sort_by_key(|(address, _)| address.is_ipv4() != is_ipv4);
        }
    }

    /// Where its hosts and boxes are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout { hosts: self.hosts.clone(), boxes: self.boxes.clone() }
    }
}

/// Who turns the boxes. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// The machine of `simopen-nat`, inside the fabric.
    #[default]
    Model,
    /// A kernel with nftables, in a namespace of its own between two ports of the fabric.
    Nft,
}

impl Executor {
    /// The name in flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Nft => "nft",
        }
    }
}

/// A host: a network stack of its own at one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name, also its port's.
    pub name: String,
    /// Where it is joined to the fabric.
    pub port: PortId,
    /// Its addresses, with the length of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A box of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedBox {
    /// Its name: `box-a`.
    pub name: String,
    /// What it is.
    pub spec: MiddleboxSpec,
    /// Its address outside.
    pub external: IpAddr,
    /// The prefixes inside, for routes and rules.
    pub inside: Vec<(IpAddr, u8)>,
    /// Where it is.
    pub place: Place,
}

/// Where a box is. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A node of the fabric.
    Machine(NodeId),
    /// A kernel router between two ports of the fabric.
    Kernel {
        /// The port towards its inside.
        inside: PortId,
        /// The port towards its outside.
        outside: PortId,
    },
}

/// Where the hosts and boxes of a network are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The boxes, machines or kernels.
    pub boxes: Vec<PlacedBox>,
}

impl Layout {
    /// The host of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchHost`].
    pub fn host(&self, name: &str) -> Result<&Host, NoSuchHost> {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.ok_or_else(|| NoSuchHost(name.to_owned()))
    }

    /// The first address of the host of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchHost`], also where it has no address.
    pub fn address(&self, name: &str) -> Result<IpAddr, NoSuchHost> {
        let first = self.host(name)?.addresses.first();
        first.map(|(address, _)| *address).ok_or_else(|| NoSuchHost(name.to_owned()))
    }

    /// The place among the boxes of the kernel that has that port.
    #[must_use]
    pub fn kernel_at(&self, port: PortId) -> Option<usize> {
        self.boxes.iter().position(|placed| match placed.place {
            Place::Kernel { inside, outside } => [inside, outside].contains(&port),
            Place::Machine(_) => false,
        })
    }

    /// The boxes that are kernels, with the ports of each: inside and outside.
    pub fn kernels(&self) -> impl Iterator<Item = (&PlacedBox, [PortId; 2])> {
        self.boxes.iter().filter_map(|placed| match placed.place {
            Place::Kernel { inside, outside } => Some((placed, [inside, outside])),
            Place::Machine(_) => None,
        })
    }
}

/// A name that no host of the network has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the network has no host {0:?}, or none with an address")]
pub struct NoSuchHost(pub String);
