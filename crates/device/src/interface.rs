//! Network interfaces of the calling thread's namespace: state, addresses, routes, sysctls.
//!
//! No external program is run; everything goes over one netlink socket for each [`Interface`].

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use crate::error::{Context, DeviceError};
use crate::netlink::{self, Message, Netlink, Request};

/// One network interface.
///
/// It keeps working when it is used from a thread in another namespace: the netlink socket
/// inside stays in the namespace in which [`find`](Self::find) was called.
#[derive(Debug)]
pub struct Interface {
    netlink: Netlink,
    index: u32,
    name: String,
}

impl Interface {
    /// Finds the interface of that name in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// Fails where there is no such interface.
    pub fn find(name: &str) -> Result<Self, DeviceError> {
        let netlink = Netlink::open(libc::NETLINK_ROUTE).on("socket AF_NETLINK", name)?;
        let mut wanted = name.as_bytes().to_vec();
        wanted.push(0);
        let request = Request::new(libc::RTM_GETLINK, 0, &link_header(0, 0, 0))
            .attribute(libc::IFLA_IFNAME, &wanted);
        let answer = netlink.ask(request).on("netlink", name)?;
        let index = answer.first().and_then(|link| netlink::u32_at(link.fixed(LINK)?, 4));
        let index = index.ok_or_else(|| unintelligible(name, "an interface index"))?;
        Ok(Self { netlink, index, name: name.to_owned() })
    }

    /// Returns the interface's index in its namespace.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Returns the interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Brings the interface up; on return packets for each of its addresses are taken.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace.
    pub fn set_up(&self) -> Result<(), DeviceError> {
        let up = libc::IFF_UP as u32;
        self.change(Request::new(libc::RTM_NEWLINK, 0, &link_header(self.index, up, up)))?;
        self.addresses()?.iter().try_for_each(|own| self.wait_for_local_route(own.address))
    }

    /// Takes the interface down; its routes go with that.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace.
    pub fn set_down(&self) -> Result<(), DeviceError> {
        let up = libc::IFF_UP as u32;
        self.change(Request::new(libc::RTM_NEWLINK, 0, &link_header(self.index, 0, up)))
    }

    /// Sets the largest packet in bytes.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN, or where the device does not take that size.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), DeviceError> {
        self.set_link_attribute(libc::IFLA_MTU, mtu)
    }

    /// Sets the length of the transmit queue in packets.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace.
    pub fn set_queue_len(&self, packets: u32) -> Result<(), DeviceError> {
        self.set_link_attribute(libc::IFLA_TXQLEN, packets)
    }

    /// Adds an address. An IPv6 address is not checked for duplicates; where the interface is up,
    /// packets for it are taken on return.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN, or where the address is there already.
    pub fn add_address(&self, address: IpAddr, prefix_len: u8) -> Result<(), DeviceError> {
        let bytes = netlink::address_bytes(address);
        let request = Request::new(
            libc::RTM_NEWADDR,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &address_header(netlink::family(address), prefix_len, self.index),
        )
        .attribute(libc::IFA_LOCAL, &bytes)
        .attribute(libc::IFA_ADDRESS, &bytes)
        .attribute(libc::IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes());
        self.change(request)?;
        if self.is_up()? { self.wait_for_local_route(address) } else { Ok(()) }
    }

    /// Removes every address of the interface; their routes go with them.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace.
    pub fn flush_addresses(&self) -> Result<(), DeviceError> {
        for Address { address, prefix_len } in self.addresses()? {
            let header = address_header(netlink::family(address), prefix_len, self.index);
            let bytes = netlink::address_bytes(address);
            self.change(
                Request::new(libc::RTM_DELADDR, 0, &header)
                    .attribute(libc::IFA_LOCAL, &bytes)
                    .attribute(libc::IFA_ADDRESS, &bytes),
            )?;
        }
        Ok(())
    }

    /// Adds the IPv4 default route through this interface.
    ///
    /// # Errors
    ///
    /// Fails where the interface is down or another default route exists.
    pub fn add_default_route_v4(&self) -> Result<(), DeviceError> {
        self.add_route(&Route::to(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// Adds the IPv6 default route through this interface.
    ///
    /// # Errors
    ///
    /// Fails where the interface is down or another default route exists.
    pub fn add_default_route_v6(&self) -> Result<(), DeviceError> {
        self.add_route(&Route::to(Ipv6Addr::UNSPECIFIED.into(), 0))
    }

    /// Adds a route to one address through this interface.
    ///
    /// # Errors
    ///
    /// Fails where the interface is down or that route exists.
    pub fn add_host_route(&self, destination: IpAddr) -> Result<(), DeviceError> {
        self.add_route(&Route::to_host(destination))
    }

    /// Adds a route through this interface.
    ///
    /// # Errors
    ///
    /// Fails where the interface is down or that route exists.
    pub fn add_route(&self, route: &Route) -> Result<(), DeviceError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.change(route.request(libc::RTM_NEWROUTE, flags, self.index))
    }

    /// Deletes a route that [`add_route`](Self::add_route) made.
    ///
    /// # Errors
    ///
    /// Fails where there is no such route.
    pub fn delete_route(&self, route: &Route) -> Result<(), DeviceError> {
        self.change(route.request(libc::RTM_DELROUTE, 0, self.index))
    }

    /// Lets packets from `source` look up their route in `table` first.
    pub(crate) fn add_source_rule(&self, source: IpAddr, table: u32) -> Result<(), DeviceError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.change(source_rule(libc::RTM_NEWRULE, flags, source, table))
    }

    /// Takes back what [`add_source_rule`](Self::add_source_rule) did.
    pub(crate) fn delete_source_rule(&self, source: IpAddr, table: u32) -> Result<(), DeviceError> {
        self.change(source_rule(libc::RTM_DELRULE, 0, source, table))
    }

    /// Returns how many packets the kernel could not put into the transmit queue.
    ///
    /// # Errors
    ///
    /// Fails where the interface is gone.
    pub fn transmit_dropped(&self) -> io::Result<u64> {
        let request = Request::new(libc::RTM_GETLINK, 0, &link_header(self.index, 0, 0));
        let answer = self.netlink.ask(request)?;
        // struct rtnl_link_stats64: tx_dropped is the eighth of its counters.
        let counter = answer.first().and_then(|link| {
            link.attribute(LINK, libc::IFLA_STATS64)?.get(56..64)?.try_into().ok()
        });
        counter.map(u64::from_ne_bytes).ok_or_else(|| io::Error::other("no IFLA_STATS64"))
    }

    /// Makes the interface speak only when spoken through: no duplicate address detection, no
    /// router solicitations or advertisements, no link-local address. To be called in the
    /// interface's namespace, before it comes up; [`Tun::open`](crate::tun::Tun::open) does.
    ///
    /// # Errors
    ///
    /// Fails without write permission in /proc/sys.
    pub fn quieten(&self) -> Result<(), DeviceError> {
        for (key, value) in QUIET_V6 {
            write_sysctl_if_present(&format!("net/ipv6/conf/{}/{key}", self.name), value)?;
        }
        Ok(())
    }

    /// Admits packets with any source: `rp_filter` off on this interface and, because the
    /// kernel takes the larger of the two, on `all`. To be called in the interface's namespace;
    /// in one that [`Namespace::spawn`](crate::namespace::Namespace::spawn) made it is done.
    ///
    /// # Errors
    ///
    /// Fails without write permission in /proc/sys.
    pub fn admit_any_source(&self) -> Result<(), DeviceError> {
        admit_any_source_on(&["all", self.name.as_str()])
    }

    fn is_up(&self) -> Result<bool, DeviceError> {
        let request = Request::new(libc::RTM_GETLINK, 0, &link_header(self.index, 0, 0));
        let answer = self.netlink.ask(request).on("netlink", &self.name)?;
        let flags = answer.first().and_then(|link| netlink::u32_at(link.fixed(LINK)?, 8));
        Ok(flags.is_some_and(|flags| flags & libc::IFF_UP as u32 != 0))
    }

    fn addresses(&self) -> Result<Vec<Address>, DeviceError> {
        let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &address_header(0, 0, 0));
        let found = self.netlink.ask(request).on("netlink", &self.name)?;
        Ok(found.iter().filter_map(|message| self.own_address(message)).collect())
    }

    fn own_address(&self, message: &Message) -> Option<Address> {
        let fixed = message.fixed(ADDRESS)?;
        if netlink::u32_at(fixed, 4)? != self.index {
            return None;
        }
        // IFA_LOCAL is the own end of an IPv4 link; IPv6 has IFA_ADDRESS alone.
        let local = message.attribute(ADDRESS, libc::IFA_LOCAL);
        let bytes = local.or_else(|| message.attribute(ADDRESS, libc::IFA_ADDRESS))?;
        Some(Address { address: netlink::address_from(bytes)?, prefix_len: *fixed.get(1)? })
    }

    /// Waits until packets for an own address are taken. The kernel makes an IPv6 address's local
    /// route in a work queue, some time after it acknowledged the address or the interface.
    fn wait_for_local_route(&self, address: IpAddr) -> Result<(), DeviceError> {
        let IpAddr::V6(_) = address else { return Ok(()) };
        let mut fixed = [0; ROUTE];
        fixed[0] = netlink::family(address);
        fixed[1] = 128;
        for _ in 0..LOCAL_ROUTE_ATTEMPTS {
            let request = Request::new(libc::RTM_GETROUTE, 0, &fixed)
                .attribute(libc::RTA_DST, &netlink::address_bytes(address));
            // An error says that there is no route at all yet.
            let answer = self.netlink.ask(request).unwrap_or_default();
            let kind = answer.first().and_then(|route| route.fixed(ROUTE)?.get(7).copied());
            if kind == Some(libc::RTN_LOCAL) {
                return Ok(());
            }
            thread::sleep(LOCAL_ROUTE_PAUSE);
        }
        let never = io::Error::from(io::ErrorKind::TimedOut);
        Err(never).on("netlink RTM_GETROUTE", address)
    }

    fn set_link_attribute(&self, kind: u16, value: u32) -> Result<(), DeviceError> {
        let request = Request::new(libc::RTM_NEWLINK, 0, &link_header(self.index, 0, 0));
        self.change(request.attribute(kind, &value.to_ne_bytes()))
    }

    fn change(&self, request: Request) -> Result<(), DeviceError> {
        self.netlink.change(request).on("netlink", &self.name)
    }
}

/// An address of an interface.
struct Address {
    address: IpAddr,
    prefix_len: u8,
}

/// Lists the addresses of this host by which others can reach it: those of interfaces that are up,
/// without loopback and link-local ones, IPv4 first.
///
/// # Errors
///
/// Fails where the system does not list its interfaces.
pub fn reachable_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs()?;
    let up = interfaces
        .filter(|interface| interface.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP));
    let mut addresses: Vec<IpAddr> = up
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// Brings the loopback interface of the calling thread's namespace up; it starts down.
///
/// # Errors
///
/// Fails without CAP_NET_ADMIN in the namespace.
pub fn bring_loopback_up() -> Result<(), DeviceError> {
    Interface::find("lo")?.set_up()
}

/// Writes a value under /proc/sys, in the calling thread's namespace; `key` is a path such as
/// `net/ipv4/tcp_timestamps`.
///
/// # Errors
///
/// Fails where there is no such key, without permission, or where the kernel refuses the value;
/// not where the key has that value already.
pub fn write_sysctl(key: &str, value: &str) -> Result<(), DeviceError> {
    let path = format!("/proc/sys/{key}");
    // In a container /proc/sys is often read-only, and often right.
    if fs::read_to_string(&path).is_ok_and(|present| present.trim() == value) {
        return Ok(());
    }
    fs::write(path, value).on("write sysctl", key)
}

/// Turns the check of source addresses off on interfaces of the calling thread's namespace.
pub(crate) fn admit_any_source_on(interfaces: &[&str]) -> Result<(), DeviceError> {
    interfaces.iter().try_for_each(|interface| {
        write_sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")
    })
}

/// As [`write_sysctl`], but a key that this kernel lacks is no error.
fn write_sysctl_if_present(key: &str, value: &str) -> Result<(), DeviceError> {
    match write_sysctl(key, value) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// A destination and how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network's address.
    pub destination: IpAddr,
    /// How many of its leading bits count.
    pub prefix_len: u8,
    /// The next hop, where there is one.
    pub gateway: Option<IpAddr>,
    /// The source address that sockets without one get.
    pub source: Option<IpAddr>,
    /// The routing table; `None` is the main one.
    pub table: Option<u32>,
}

impl Route {
    /// Describes a route to a network straight through the device.
    #[must_use]
    pub const fn to(destination: IpAddr, prefix_len: u8) -> Self {
        Self { destination, prefix_len, gateway: None, source: None, table: None }
    }

    /// Describes a route to one address straight through the device.
    #[must_use]
    pub const fn to_host(destination: IpAddr) -> Self {
        Self::to(destination, if destination.is_ipv4() { 32 } else { 128 })
    }

    fn request(&self, kind: u16, flags: i32, interface: u32) -> Request {
        let on_link = self.destination.is_ipv4() && self.gateway.is_none();
        let scope = if on_link { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
        let fixed = [
            netlink::family(self.destination),
            self.prefix_len,
            0,
            0,
            libc::RT_TABLE_UNSPEC,
            libc::RTPROT_STATIC,
            scope,
            libc::RTN_UNICAST,
            0,
            0,
            0,
            0,
        ];
        let table = self.table.unwrap_or(u32::from(libc::RT_TABLE_MAIN));
        let mut request = Request::new(kind, flags, &fixed)
            .attribute(libc::RTA_OIF, &interface.to_ne_bytes())
            .attribute(libc::RTA_TABLE, &table.to_ne_bytes());
        if self.prefix_len > 0 {
            let destination = netlink::address_bytes(self.destination);
            request = request.attribute(libc::RTA_DST, &destination);
        }
        if let Some(gateway) = self.gateway {
            request = request.attribute(libc::RTA_GATEWAY, &netlink::address_bytes(gateway));
        }
        if let Some(source) = self.source {
            request = request.attribute(libc::RTA_PREFSRC, &netlink::address_bytes(source));
        }
        request
    }
}

fn source_rule(kind: u16, flags: i32, source: IpAddr, table: u32) -> Request {
    let bytes = netlink::address_bytes(source);
    let bits = (bytes.len() * 8) as u8;
    let to_table = 1; // FR_ACT_TO_TBL
    let fixed = [netlink::family(source), 0, bits, 0, 0, 0, 0, to_table, 0, 0, 0, 0];
    Request::new(kind, flags, &fixed)
        .attribute(FRA_SRC, &bytes)
        .attribute(FRA_PRIORITY, &RULE_PRIORITY.to_ne_bytes())
        .attribute(FRA_TABLE, &table.to_ne_bytes())
}

/// Of linux/fib_rules.h.
const FRA_SRC: u16 = 2;
/// Of linux/fib_rules.h.
const FRA_PRIORITY: u16 = 6;
/// Of linux/fib_rules.h.
const FRA_TABLE: u16 = 15;
/// Before the main table's rule, 32766.
const RULE_PRIORITY: u32 = 10_000;

/// What keeps an interface's IPv6 silent; `addr_gen_mode` 1 makes no link-local address.
const QUIET_V6: [(&str, &str); 5] = [
    ("accept_dad", "0"),
    ("dad_transmits", "0"),
    ("router_solicitations", "0"),
    ("accept_ra", "0"),
    ("addr_gen_mode", "1"),
];

/// Length of `struct ifinfomsg` in bytes.
const LINK: usize = 16;
/// Length of `struct ifaddrmsg` in bytes.
const ADDRESS: usize = 8;
/// Length of `struct rtmsg` in bytes.
const ROUTE: usize = 12;

/// The work queue takes well under 1 ms on an idle machine; together these wait 10 s at least.
const LOCAL_ROUTE_ATTEMPTS: u32 = 100_000;
const LOCAL_ROUTE_PAUSE: Duration = Duration::from_micros(100);

fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut header = [0; LINK];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn address_header(family: u8, prefix_len: u8, index: u32) -> [u8; ADDRESS] {
    let mut header = [family, prefix_len, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

fn unintelligible(name: &str, what: &'static str) -> DeviceError {
    DeviceError::Unintelligible { call: "netlink", object: name.to_owned(), what }
}
