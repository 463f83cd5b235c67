//! What packets from inside meet.

use std::net::IpAddr;

use simopen_nat::{Egress, IcmpEcho, IcmpErrors, InvalidOutbound, MiddleboxSpec, UdpHandling};

use super::INSIDE;
use super::rules::{address_type, family, remembers_inside_endpoints};

/// The protocols' names for ICMP of both families.
const ICMP: &str = "meta l4proto { icmp, ipv6-icmp }";

/// The rules for packets from inside. Those on what never passes hold for both directions.
pub(super) fn rules(spec: &MiddleboxSpec, external: IpAddr) -> Vec<String> {
    let mut rules = never_passing(spec);
    let from_inside = format!("iifname {INSIDE}");
    // An ICMP error that quotes no known connection is nobody's.
    rules.push(format!("{from_inside} {ICMP} ct state invalid drop"));
    if let Egress::DenyExcept(ports) = spec.egress {
        let ports: Vec<String> =
            ports.iter().filter(|port| **port != 0).map(ToString::to_string).collect();
        let refused = match ports.is_empty() {
            true => String::new(),
            false => format!("th dport != {{ {} }} ", ports.join(", ")),
        };
        rules.push(format!(
            "{from_inside} meta l4proto {{ tcp, udp }} {refused}ct state != established drop"
        ));
        rules.push(format!("{from_inside} {ICMP} ct state new drop"));
    }
    if spec.invalid_outbound == InvalidOutbound::Dropped {
        rules.push(format!("{from_inside} ct state invalid drop"));
    }
    if spec.invalid_outbound == InvalidOutbound::AnsweredByRouter {
        rules
            .push(format!("{from_inside} ct state invalid meta l4proto tcp reject with tcp reset"));
    }
    if let Some(limit) = spec.limits.per_host {
        let ip = family(external);
        rules.push(format!(
            "{from_inside} ct state new add @hosts {{ {ip} saddr ct count over {limit} }} drop"
        ));
    }
    if remembers_inside_endpoints(spec) {
        let ip = family(external);
        rules.push(format!(
            "{from_inside} meta l4proto {{ tcp, udp }} ct state new,established \
             update @opened {{ {ip} saddr . meta l4proto . th sport }}"
        ));
    }
    rules.push(format!("{from_inside} accept"));
    rules
}

/// What passes in neither direction.
fn never_passing(spec: &MiddleboxSpec) -> Vec<String> {
    let mut rules = Vec::new();
    if spec.udp.policy == UdpHandling::Blocked {
        rules.push("meta l4proto udp drop".into());
    }
    if spec.icmp_echo == IcmpEcho::Blocked {
        rules.push("icmp type { echo-request, echo-reply } drop".into());
        rules.push("icmpv6 type { echo-request, echo-reply } drop".into());
    }
    if spec.icmp_errors == IcmpErrors::TimeExceededFiltered {
        rules.push("icmp type time-exceeded drop".into());
        rules.push("icmpv6 type time-exceeded drop".into());
    }
    if spec.icmp_errors == IcmpErrors::AllFiltered {
        rules.push(format!("{ICMP} ct state related drop"));
    }
    rules
}

/// The set by which the connections of each inside host are counted, where they are.
pub(super) fn counted_hosts(spec: &MiddleboxSpec, external: IpAddr) -> String {
    let address = address_type(external);
    match spec.limits.per_host {
        Some(_) => format!("  set hosts {{ type {address}; flags dynamic; size 65535; }}\n"),
        None => String::new(),
    }
}
