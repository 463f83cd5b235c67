//! The default gateway of the calling thread's network namespace.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the gateway of the IPv4 default route; `None` where there is none, or where the route
/// names only a device.
#[must_use]
pub fn default_gateway_v4() -> Option<IpAddr> {
    let table = fs::read_to_string("/proc/thread-self/net/route").ok()?;
    table.lines().skip(1).find_map(gateway_v4).map(IpAddr::V4)
}

/// Returns the gateway of the IPv6 default route, likewise.
#[must_use]
pub fn default_gateway_v6() -> Option<IpAddr> {
    let table = fs::read_to_string("/proc/thread-self/net/ipv6_route").ok()?;
    table.lines().find_map(gateway_v6).map(IpAddr::V6)
}

/// Interface, destination, gateway, flags, reference count, use, metric, mask: addresses in
/// hexadecimal as the kernel holds them in memory.
fn gateway_v4(line: &str) -> Option<Ipv4Addr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let is_default = number(1)? == 0 && number(7)? == 0;
    let gateway = Ipv4Addr::from(number(2)?.to_ne_bytes());
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}

/// Destination, its length, source, its length, gateway, …: addresses in hexadecimal in network
/// order.
fn gateway_v6(line: &str) -> Option<Ipv6Addr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let is_default = *fields.get(1)? == "00" && fields.first()?.bytes().all(|digit| digit == b'0');
    let gateway = Ipv6Addr::from(u128::from_str_radix(fields.get(4)?, 16).ok()?);
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_routes_gateway_is_read_and_no_other() {
        let of_host = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let of_net = "eth0\t0001A8C0\t0101A8C0\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
        let of_device = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0";
        let expected = Ipv4Addr::from(u32::from_be_bytes([192, 168, 1, 1]));
        if cfg!(target_endian = "little") {
            assert_eq!(gateway_v4(of_host), Some(expected));
        }
        assert_eq!(gateway_v4(of_net), None);
        assert_eq!(gateway_v4(of_device), None);
        assert_eq!(gateway_v4("nonsense"), None);
    }

    #[test]
    fn the_default_routes_ipv6_gateway_is_read() {
        let line = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                    fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0";
        assert_eq!(gateway_v6(line), Some("fe80::1".parse().unwrap()));
        assert_eq!(gateway_v6(""), None);
    }
}
