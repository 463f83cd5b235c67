//! Endpoints and flows in the compact form that tables and the hash use.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address and a port in 18 bytes; IPv4 stands as an IPv4-mapped IPv6 address.
///
/// The two families cannot be confused: packets that carry IPv4-mapped addresses in an IPv6 header
/// are malformed to the box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Ipv6Addr,
    pub(crate) port: u16,
}

impl Endpoint {
    /// The endpoint of an address and a port.
    #[inline]
    pub(crate) fn new(address: IpAddr, port: u16) -> Self {
        Self { address: compact(address), port }
    }

    /// The endpoint as the standard library has it.
    #[inline]
    pub(crate) fn to_socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.address.to_canonical(), self.port)
    }
}

/// An address in 16 bytes.
#[inline]
pub(crate) const fn compact(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The side of the box on which a packet arrives or leaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// Where the hosts are that the box protects.
    Inside,
    /// Where everybody else is.
    Outside,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Inside => Self::Outside,
            Self::Outside => Self::Inside,
        }
    }
}

/// A connection as it is seen on one side of the box: `near` is the endpoint that stands for the
/// inside host on that side, `remote` the one beyond the box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    pub(crate) side: Side,
    pub(crate) near: Endpoint,
    pub(crate) remote: Endpoint,
}
