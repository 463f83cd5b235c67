//! Source translation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simopen_nat::{MiddleboxSpec, Pairing, PortAllocation};

use super::{OUTSIDE, Placement, Prefix};

/// The rules of the translating chain.
pub(super) fn rules(spec: &MiddleboxSpec, at: &Placement<'_>) -> Vec<String> {
    let to_outside = format!("oifname {OUTSIDE}");
    let mut rules = Vec::new();
    if let PortAllocation::Block { .. } = spec.port_allocation {
        rules.push(format!("{to_outside} meta l4proto {{ tcp, udp }} {}", blocks(spec, at)));
    }
    let random = match spec.port_allocation == PortAllocation::Random {
        true => " fully-random",
        false => "",
    };
    rules.push(match spec.pool.addresses > 1 {
        true => format!("{to_outside} {}{random}{}", pool(spec, at.external), pairing(spec)),
        false => format!("{to_outside} masquerade{random}"),
    });
    rules
}

/// Translation to the range of ports that is the inside host's own.
fn blocks(spec: &MiddleboxSpec, at: &Placement<'_>) -> String {
    let external = at.external;
    let of_host = |host| {
        let block = spec.port_allocation.block_of(host)?;
        Some(format!("{host} : {external} . {}-{}", block.start(), block.end()))
    };
    let entries: Vec<String> = at.inside.iter().flat_map(members).filter_map(of_host).collect();
    let ip = super::rules::family(external);
    format!("snat {ip} to {ip} saddr map {{ {} }}", entries.join(", "))
}

fn pool(spec: &MiddleboxSpec, external: IpAddr) -> String {
    let ip = super::rules::family(external);
    let last = spec.pool.members(external).last().unwrap_or(external);
    format!("snat {ip} to {external}-{last}")
}

fn pairing(spec: &MiddleboxSpec) -> &'static str {
    match (spec.pool.pairing == Pairing::Paired, spec.port_allocation == PortAllocation::Random) {
        (true, true) => ",persistent",
        (true, false) => " persistent",
        (false, _) => "",
    }
}

/// How many addresses some networks have, at most as many as can be counted.
pub(super) fn hosts(networks: &[Prefix]) -> u64 {
    let bits = |network: &Prefix| width(network.0) - u32::from(network.1).min(width(network.0));
    networks
        .iter()
        .map(|network| 1_u64.checked_shl(bits(network)).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

fn members(network: &Prefix) -> Vec<IpAddr> {
    let count = hosts(std::slice::from_ref(network)) as u32;
    let member = |offset| match network.0 {
        IpAddr::V4(first) => {
            IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() & !(count - 1) | offset))
        }
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(
            first.to_bits() & !u128::from(count - 1) | u128::from(offset),
        )),
    };
    (0..count).map(member).collect()
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
