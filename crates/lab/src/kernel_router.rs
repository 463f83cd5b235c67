//! A box that is a Linux kernel: a router in a network namespace of its own, with a TUN port on
//! each side and nftables in between.
//!
//! Its ports can be ports of a fabric, as a host's are, so that a kernel stands where otherwise a
//! [`simopen_nat::Middlebox`] does. What is written into one port has been routed, translated and
//! answered when the write returns.

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use simopen_device::DeviceError;
use simopen_device::conntrack::Conntrack;
use simopen_device::interface::{Interface, Route, write_sysctl};
use simopen_device::namespace::Namespace;
use simopen_device::tun::{Tun, TunConfig};
use simopen_nat::MiddleboxSpec;

use crate::error::LabError;
use crate::nft::{FORGET_ENDPOINTS, INSIDE, OUTSIDE, Placement, Prefix, Ruleset, compile};

/// A router without rules, addresses and routes, until [`load`](Self::load) gives it some. Its
/// namespace and ports go when it and its ports are dropped.
#[derive(Debug)]
pub struct KernelRouter {
    namespace: Namespace,
    conntrack: Conntrack,
    /// Whether the rules remember inside endpoints beside the connections.
    remembers_endpoints: AtomicBool,
    ports: Option<[Tun; 2]>,
}

impl KernelRouter {
    /// Makes a router: a namespace, two ports of MTU 1500, forwarding for both IP versions.
    ///
    /// # Errors
    ///
    /// Fails without the right to make network namespaces and TUN devices.
    pub fn build() -> Result<Self, LabError> {
        let made = Namespace::spawn("router", make)?.join()??;
        Ok(made)
    }

    /// Takes the ports: first the one of the inside, then the one of the outside.
    ///
    /// # Panics
    ///
    /// On the second call.
    pub fn take_ports(&mut self) -> [Tun; 2] {
        self.ports.take().expect("the ports of a router are taken once")
    }

    /// Makes the router the box that `spec` describes, at that place. Whatever it was before is
    /// forgotten, tracked connections too.
    ///
    /// # Errors
    ///
    /// [`LabError::NotExpressible`] where Linux does not have a value of the specification,
    /// [`LabError::Nft`] where the program `nft` is missing or refuses the rules.
    pub fn load(
        &self,
        spec: &MiddleboxSpec,
        placement: &Placement<'_>,
    ) -> Result<Ruleset, LabError> {
        let ruleset = compile(spec, placement)?;
        self.remembers_endpoints.store(ruleset.remembers_endpoints(), Ordering::Relaxed);
        let rules = ruleset.clone();
        let external: Vec<IpAddr> = spec.pool.members(placement.external).collect();
        let inside = placement.inside.to_vec();
        let work = move || -> Result<(), LabError> {
            run_nft(&rules.text)?;
            for (key, value) in &rules.sysctls {
                write_sysctl(key, value)?;
            }
            Ok(set_routes(&external, &inside)?)
        };
        self.namespace.spawn_inside("router", work)?.join()??;
        self.forget_connections()?;
        Ok(ruleset)
    }

    /// Forgets every tracked connection and all that rules remember, as a reboot does.
    ///
    /// # Errors
    ///
    /// Fails where the kernel has no ctnetlink, or `nft` is missing and needed.
    pub fn forget_connections(&self) -> Result<(), LabError> {
        self.conntrack.flush()?;
        if self.remembers_endpoints.load(Ordering::Relaxed) {
            self.namespace.spawn_inside("router", || run_nft(FORGET_ENDPOINTS))?.join()??;
        }
        Ok(())
    }
}

fn make() -> Result<KernelRouter, DeviceError> {
    for (key, value) in SETTINGS {
        write_sysctl(key, value)?;
    }
    let ports = [INSIDE, OUTSIDE].map(|name| Tun::open(&TunConfig::named(name)));
    let [inside, outside] = ports;
    Ok(KernelRouter {
        namespace: Namespace::current()?,
        conntrack: Conntrack::open()?,
        remembers_endpoints: AtomicBool::new(false),
        ports: Some([inside?, outside?]),
    })
}

/// Gives the interfaces their addresses and routes anew.
fn set_routes(external: &[IpAddr], inside: &[Prefix]) -> Result<(), DeviceError> {
    let [to_inside, to_outside] = [Interface::find(INSIDE)?, Interface::find(OUTSIDE)?];
    // An interface's routes go when it goes down.
    to_inside.set_down()?;
    to_outside.set_down()?;
    to_outside.flush_addresses()?;
    for address in external {
        to_outside.add_address(*address, if address.is_ipv4() { 32 } else { 128 })?;
    }
    to_inside.set_up()?;
    to_outside.set_up()?;
    to_outside.add_default_route_v4()?;
    to_outside.add_default_route_v6()?;
    inside
        .iter()
        .try_for_each(|prefix| to_inside.add_route(&Route::to(network_of(prefix), prefix.1)))
}

/// The first address of a prefix: the kernel refuses routes that say more.
fn network_of((address, length): &Prefix) -> IpAddr {
    let host_bits = |bits: u32| bits.saturating_sub((*length).into());
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host_bits(32)).unwrap_or(0);
            IpAddr::V4((u32::from(*address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host_bits(128)).unwrap_or(0);
            IpAddr::V6((u128::from(*address) & mask).into())
        }
    }
}

/// Replaces the rules of the calling thread's namespace.
fn run_nft(rules: &str) -> Result<(), LabError> {
    let child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LabError::Nft(NFT_MISSING.to_owned()));
        }
        other => other.map_err(|source| LabError::System { what: "the program nft", source })?,
    };
    let read = |source| LabError::System { what: "the program nft", source };
    let mut input = child.stdin.take().expect("it was asked for");
    // Where nft ends before it has read all, its own words say more than a broken pipe.
    let _ = input.write_all(rules.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(read)?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Nft(String::from_utf8_lossy(&output.stderr).into_owned()))
}

const NFT_MISSING: &str = "the program nft is not installed; take it from the package nftables \
                           (scripts/install-test-programs does), or use the model of the box";

/// What makes a namespace a router that answers each packet for itself: no ICMP error is held back
/// for being one too many, nobody is redirected.
const SETTINGS: [(&str, &str); 10] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv4/icmp_msgs_per_sec", "1000000"),
    ("net/ipv4/icmp_msgs_burst", "1000000"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv6/icmp/ratemask", ""),
];
