//! Routers: longest-prefix routes and the check of source addresses.

use alloc::vec::Vec;
use core::{fmt, net::IpAddr};

use crate::link::LaneId;

/// What a router is, apart from its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterSpec {
    /// Its own addresses, one a family: the source of the ICMP errors that it sends. In a family
    /// without one it sends none.
    pub addresses: Vec<IpAddr>,
    /// How it checks the source addresses of what it forwards.
    pub source_validation: SourceValidation,
    /// Whether forwarding costs a packet one of its hops.
    pub forwarding: Forwarding,
}

/// Whether forwarding costs a packet one of its hops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// As a router: the TTL is decremented, and a packet whose TTL is used up is answered (RFC
    /// 1812 §5.3.1, RFC 8200 §3).
    #[default]
    Router,
    /// As a switch of a local network: the TTL is left alone.
    Switch,
}

/// How a router checks source addresses (BCP 38, RFC 3704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourceValidation {
    /// Any source passes.
    #[default]
    Off,
    /// A source passes if some route leads to it (RFC 3704 §2.4).
    Loose,
    /// A source passes if the route to it leaves by the link on which the packet came (RFC 3704
    /// §2.2).
    Strict,
}

/// A range of addresses of one family: those that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits that holds `address`, or `None` if the family has fewer bits.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (bits, width) = spell(address);
        if length > width {
            return None;
        }
        let masked = bits & mask(length, width);
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4((masked as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(masked.into()),
        };
        Some(Self { address, length })
    }

    /// The prefix of every address of IPv4.
    pub const ALL_V4: Self =
        Self { address: IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), length: 0 };

    /// The prefix of every address of IPv6.
    pub const ALL_V6: Self =
        Self { address: IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED), length: 0 };

    /// The first address of the range.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    pub fn length(&self) -> u8 {
        self.length
    }
}

impl From<IpAddr> for Prefix {
    /// The range of this one address.
    fn from(address: IpAddr) -> Self {
        Self { address, length: spell(address).1 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A router as the fabric turns it.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    spec: RouterSpec,
    v4: RouteTable,
    v6: RouteTable,
}

impl Router {
    pub(crate) fn new(spec: RouterSpec) -> Self {
        Self { spec, v4: RouteTable::default(), v6: RouteTable::default() }
    }

    /// Sends what is destined for `prefix` along `via`; a second route for the same prefix takes
    /// the place of the first.
    pub(crate) fn add_route(&mut self, prefix: Prefix, via: LaneId) {
        let (bits, width) = spell(prefix.address);
        self.table_mut(prefix.address).add(bits, prefix.length, width, via);
    }

    /// The lane of the longest prefix that holds `destination`.
    #[inline]
    pub(crate) fn route(&self, destination: IpAddr) -> Option<LaneId> {
        match destination {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits().into()),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()),
        }
    }

    /// Whether a packet from `source` may have come against the direction of `back`, the lane that
    /// leads to where it came from.
    #[inline]
    pub(crate) fn accepts_source(
        &self,
        source: impl FnOnce() -> Option<IpAddr>,
        back: LaneId,
    ) -> bool {
        match self.spec.source_validation {
            SourceValidation::Off => true,
            SourceValidation::Loose => source().is_some_and(|source| self.route(source).is_some()),
            SourceValidation::Strict => {
                source().is_some_and(|source| self.route(source) == Some(back))
            }
        }
    }

    #[inline]
    pub(crate) fn counts_hops(&self) -> bool {
        self.spec.forwarding == Forwarding::Router
    }

    #[inline]
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.spec.addresses.contains(&address)
    }

    /// Its own address in the family of `peer`.
    pub(crate) fn address_towards(&self, peer: IpAddr) -> Option<IpAddr> {
        self.spec.addresses.iter().copied().find(|own| own.is_ipv4() == peer.is_ipv4())
    }

    fn table_mut(&mut self, family_of: IpAddr) -> &mut RouteTable {
        match family_of {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

/// The routes of one family: for each prefix length, longest first, the prefixes in order.
#[derive(Clone, Debug, Default)]
struct RouteTable {
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    length: u8,
    mask: u128,
    routes: Vec<(u128, LaneId)>,
}

impl RouteTable {
    fn add(&mut self, bits: u128, length: u8, width: u8, via: LaneId) {
        let at = self.levels.partition_point(|level| level.length > length);
        if self.levels.get(at).is_none_or(|level| level.length != length) {
            self.levels.insert(at, Level { length, mask: mask(length, width), routes: Vec::new() });
        }
        let routes = &mut self.levels[at].routes;
        match routes.binary_search_by_key(&bits, |route| route.0) {
            Ok(known) => routes[known].1 = via,
            Err(place) => routes.insert(place, (bits, via)),
        }
    }

    #[inline]
    fn find(&self, bits: u128) -> Option<LaneId> {
        self.levels.iter().find_map(|level| {
            let wanted = bits & level.mask;
            let found = level.routes.binary_search_by_key(&wanted, |route| route.0).ok()?;
            Some(level.routes[found].1)
        })
    }
}

/// An address as a number, and how many bits its family has.
fn spell(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// `length` leading ones in a number of `width` bits.
fn mask(length: u8, width: u8) -> u128 {
    let free = u32::from(width - length);
    let ones = u128::MAX >> (128 - u32::from(width));
    if free == 128 { 0 } else { ones >> free << free }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix::new(text.parse().unwrap(), length).unwrap()
    }

    fn router(routes: &[(Prefix, u32)]) -> Router {
        let mut router = Router::new(RouterSpec::default());
        for (prefix, link) in routes {
            router.add_route(*prefix, LaneId(*link));
        }
        router
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order_of_the_routes() {
        let routes = [
            (prefix("10.1.0.0", 16), 1),
            (Prefix::ALL_V4, 0),
            (prefix("10.1.2.3", 32), 3),
            (prefix("10.0.0.0", 8), 2),
        ];
        let router = router(&routes);
        for (address, link) in [("10.1.2.3", 3), ("10.1.2.4", 1), ("10.2.0.1", 2), ("1.1.1.1", 0)] {
            assert_eq!(router.route(address.parse().unwrap()), Some(LaneId(link)), "{address}");
        }
    }

    #[test]
    fn families_do_not_meet() {
        let router = router(&[(Prefix::ALL_V4, 0), (prefix("2001:db8::", 32), 1)]);
        assert_eq!(router.route("2001:db8::1".parse().unwrap()), Some(LaneId(1)));
        assert_eq!(router.route("2001:db9::1".parse().unwrap()), None);
        assert_eq!(router.route("::ffff:10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn a_prefix_forgets_the_bits_beyond_its_length() {
        assert_eq!(prefix("10.1.2.3", 8), prefix("10.0.0.0", 8));
        assert_eq!(prefix("2001:db8::1", 0), Prefix::ALL_V6);
        assert_eq!(Prefix::new("10.0.0.0".parse().unwrap(), 33), None);
    }
}
