//! Endpoints and flows in the compact form that tables and the hash use.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simopen_packet::IpHeader;

/// An address of either family as two numbers; IPv4 stands as an IPv4-mapped IPv6 address.
///
/// The two families cannot be confused: packets that carry IPv4-mapped addresses in an IPv6 header
/// are malformed to the box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Address {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

/// The lower half of `::ffff:0.0.0.0`.
const MAPPED: u64 = 0xffff << 32;

impl Address {
    /// No address: `::`.
    pub(crate) const UNSPECIFIED: Self = Self { high: 0, low: 0 };

    /// The address as two numbers.
    #[inline]
    pub(crate) const fn new(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                Self { high: (bits >> 64) as u64, low: bits as u64 }
            }
        }
    }

    /// The address that lies this many behind it.
    #[inline(always)]
    pub(crate) const fn plus(self, offset: u8) -> Self {
        Self { high: self.high, low: self.low.wrapping_add(offset as u64) }
    }

    #[inline]
    const fn of_v4(v4: Ipv4Addr) -> Self {
        Self { high: 0, low: MAPPED | v4.to_bits() as u64 }
    }

    #[inline]
    const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == MAPPED >> 32
    }

    /// The address as the standard library has it.
    #[inline]
    pub(crate) const fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            return IpAddr::V4(Ipv4Addr::from_bits(self.low as u32));
        }
        IpAddr::V6(Ipv6Addr::from_bits((self.high as u128) << 64 | self.low as u128))
    }
}

/// An address and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

impl Endpoint {
    /// The first of all in their order.
    pub(crate) const LOWEST: Self = Self { address: Address::UNSPECIFIED, port: 0 };

    /// The endpoint of an address and a port.
    #[inline]
    pub(crate) const fn new(address: IpAddr, port: u16) -> Self {
        Self { address: Address::new(address), port }
    }

    /// The endpoint as the standard library has it.
    #[inline]
    pub(crate) const fn to_socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.address.to_ip(), self.port)
    }
}

/// Source and destination of a packet; none if it carries IPv4-mapped addresses, which have no
/// place in a header (RFC 4291 §2.5.5.2).
#[inline]
pub(crate) fn addresses(ip: &IpHeader) -> Option<(Address, Address)> {
    if let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip.source, ip.destination) {
        return Some((Address::of_v4(source), Address::of_v4(destination)));
    }
    let (source, destination) = (Address::new(ip.source), Address::new(ip.destination));
    (!source.is_v4() && !destination.is_v4()).then_some((source, destination))
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
