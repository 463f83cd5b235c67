//! The addresses of one sequence. Neighbouring sequences share none, so that a kernel's memory of
//! one plays no part in the next.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many inside endpoints a sequence has.
pub const INSIDE_ENDPOINTS: u8 = 3;
/// How many endpoints outside a sequence has.
pub const REMOTE_ENDPOINTS: u8 = 3;

/// Where one sequence takes place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    number: u32,
    external: IpAddr,
}

impl Place {
    /// How many places there are.
    pub const COUNT: u32 = 1 << 10;

    /// The place of that number, around a box with that address outside.
    #[must_use]
    pub const fn new(number: u32, external: IpAddr) -> Self {
        Self { number: number % Self::COUNT, external }
    }

    /// The network in which all inside endpoints lie.
    #[must_use]
    pub const fn inside_network(external: IpAddr) -> (IpAddr, u8) {
        match external {
            IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 20),
            IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)), 116),
        }
    }

    /// The box's address outside.
    #[must_use]
    pub const fn external(&self) -> IpAddr {
        self.external
    }

    /// An inside endpoint: 0 and 1 have the same port on two hosts, 2 the next port on the first.
    #[must_use]
    pub const fn inside(&self, endpoint: u8, port: u16) -> SocketAddr {
        let port = if endpoint == 2 { port + 1 } else { port };
        SocketAddr::new(self.address(10, 0xfd00, endpoint % 2), port)
    }

    /// An endpoint outside: 0 and 1 are ports of one host, 2 has the first port on another host.
    #[must_use]
    pub const fn remote(&self, endpoint: u8) -> SocketAddr {
        let port = if endpoint == 1 { 5000 } else { 443 };
        SocketAddr::new(self.address(44, 0x2001, endpoint / 2), port)
    }

    /// A router outside that reports errors.
    #[must_use]
    pub const fn far_router(&self) -> IpAddr {
        self.address(44, 0x2001, 2)
    }

    const fn address(&self, first: u8, first_v6: u16, host: u8) -> IpAddr {
        let low = self.number * 4 + host as u32;
        let [_, second, third, fourth] = low.to_be_bytes();
        match self.external {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(first, second, third, fourth)),
            IpAddr::V6(_) => {
                IpAddr::V6(Ipv6Addr::new(first_v6, 0, 0, 0, 0, 0, (low >> 16) as u16, low as u16))
            }
        }
    }
}
