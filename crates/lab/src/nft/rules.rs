//! The text of a ruleset: its chains, and what packets from outside meet.

use std::fmt::Write;
use std::net::IpAddr;

use simopen_nat::{
    EarlyPacket, Filtering, InboundBareSyn, MiddleboxSpec, Role, TimestampRewriting, UdpHandling,
    UnsolicitedSyn,
};

use super::{OUTSIDE, Placement, outbound, translation};

/// SYN without ACK and RST.
const BARE_SYN: &str = "tcp flags & (syn | ack | rst) == syn";
/// SYN, with ACK or without.
const ANY_SYN: &str = "tcp flags & (syn | rst) == syn";

/// Writes the whole ruleset: the namespace's old rules go with the same transaction.
pub(super) fn write(spec: &MiddleboxSpec, at: &Placement<'_>) -> String {
    let mut text = String::from("flush ruleset\n");
    if spec.role == Role::Transparent {
        return text;
    }
    text.push_str("table inet box {\n");
    if remembers_inside_endpoints(spec) {
        text.push_str(&opened_endpoints(spec, at.external));
    }
    text.push_str(&outbound::counted_hosts(spec, at.external));
    let mut forward = rewriting(spec);
    forward.extend(outbound::rules(spec, at.external));
    forward.extend(inbound(spec, at.external));
    chain(&mut text, "forward", "type filter hook forward priority filter; policy drop;", &forward);
    if spec.role == Role::Nat {
        let head = "type filter hook input priority filter; policy drop;";
        chain(&mut text, "input", head, &input(spec));
        let head = "type nat hook postrouting priority srcnat;";
        chain(&mut text, "translate", head, &translation::rules(spec, at));
    }
    if swallows_early_packets(spec) {
        // The stack's RST would take the entry away again; here it ends before conntrack sees it.
        let head = "type filter hook output priority raw;";
        chain(&mut text, "silence", head, &["tcp flags & rst == rst drop".into()]);
    }
    text.push_str("}\n");
    text
}

fn chain(text: &mut String, name: &str, head: &str, rules: &[String]) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "  chain {name} {{\n    {head}");
    for rule in rules {
        let _ = writeln!(text, "    {rule}");
    }
    text.push_str("  }\n");
}

/// What changes in segments of either direction.
fn rewriting(spec: &MiddleboxSpec) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(mss) = spec.rewriting.mss {
        // The kernel only ever lowers it.
        rules.push(format!("{ANY_SYN} tcp option maxseg size set {mss}"));
    }
    if spec.rewriting.timestamps == TimestampRewriting::Stripped {
        rules.push("tcp option timestamp exists reset tcp option timestamp".into());
    }
    rules
}

/// What packets from outside meet on their way to an inside host.
fn inbound(spec: &MiddleboxSpec, external: IpAddr) -> Vec<String> {
    let bare_syn = match spec.inbound_bare_syn == InboundBareSyn::Dropped {
        true => "drop",
        false => "accept",
    };
    let mut rules = vec![
        format!("iifname {OUTSIDE} ct state established {BARE_SYN} {bare_syn}"),
        format!("iifname {OUTSIDE} ct state established,related accept"),
    ];
    if spec.role == Role::Nat {
        // What was not translated is not meant for an inside host.
        return rules;
    }
    let endpoint = format!("{} daddr . meta l4proto . th dport @opened", family(external));
    if remembers_inside_endpoints(spec) {
        // Until the inside answers, the connection of a stranger who was let in counts as new.
        rules.push(format!("iifname {OUTSIDE} ct state new ct status confirmed accept"));
    }
    if spec.filtering == Filtering::EndpointIndependent {
        rules.push(format!("iifname {OUTSIDE} ct state new {BARE_SYN} {endpoint} {bare_syn}"));
    }
    if lets_datagrams_in(spec) {
        rules.push(format!("iifname {OUTSIDE} ct state new meta l4proto udp {endpoint} accept"));
    }
    rules.extend(refusal(spec).map(|refusal| format!("iifname {OUTSIDE} {refusal}")));
    rules
}

/// What packets for the router itself meet: with a translation, all that belong to no connection.
fn input(spec: &MiddleboxSpec) -> Vec<String> {
    // The router's own stack has no socket there, and says so.
    let is_accepted = spec.unsolicited == UnsolicitedSyn::Reset || swallows_early_packets(spec);
    let answer = if is_accepted { Some("meta l4proto tcp accept") } else { refusal(spec) };
    answer.map(|answer| format!("iifname {OUTSIDE} {answer}")).into_iter().collect()
}

/// The rule that answers a stranger; none where it hears nothing.
fn refusal(spec: &MiddleboxSpec) -> Option<&'static str> {
    if spec.unsolicited == UnsolicitedSyn::Reset {
        return Some("meta l4proto tcp reject with tcp reset");
    }
    if spec.unsolicited == UnsolicitedSyn::PortUnreachable {
        return Some("meta l4proto tcp reject with icmpx type port-unreachable");
    }
    (spec.unsolicited == UnsolicitedSyn::AdminProhibited)
        .then_some("meta l4proto tcp reject with icmpx type admin-prohibited")
}

fn swallows_early_packets(spec: &MiddleboxSpec) -> bool {
    spec.role == Role::Nat
        && spec.early_packet == EarlyPacket::TakesPort
        && spec.unsolicited == UnsolicitedSyn::Dropped
}

/// Whether strangers may come in to an inside endpoint that has addressed somebody else.
pub(super) fn remembers_inside_endpoints(spec: &MiddleboxSpec) -> bool {
    spec.role == Role::Firewall
        && (spec.filtering == Filtering::EndpointIndependent || lets_datagrams_in(spec))
}

fn lets_datagrams_in(spec: &MiddleboxSpec) -> bool {
    spec.udp.policy == UdpHandling::Translated
        && spec.udp.filtering == Filtering::EndpointIndependent
}

/// The inside endpoints that have sent packets out.
fn opened_endpoints(spec: &MiddleboxSpec, external: IpAddr) -> String {
    let address = address_type(external);
    let seconds = spec.timers.established.as_secs();
    format!(
        "  set opened {{ type {address} . inet_proto . inet_service; flags dynamic,timeout; \
         size 65535; timeout {seconds}s; }}\n"
    )
}

pub(super) const fn address_type(external: IpAddr) -> &'static str {
    match external {
        IpAddr::V4(_) => "ipv4_addr",
        IpAddr::V6(_) => "ipv6_addr",
    }
}

pub(super) const fn family(external: IpAddr) -> &'static str {
    match external {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}
