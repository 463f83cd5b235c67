//! Mapping, port allocation and filtering, each in its degrees.

use simopen_nat::{
    DropReason, Filtering, Mapping, MiddleboxSpec, PortAllocation, PortOverloading, Verdict,
};

use crate::exchange::{ACK, Connection, Exchange, SYN, SYN_ACK, Segment, at};

fn port_towards(exchange: &mut Exchange, inside: &str, remote: &str) -> u16 {
    exchange.outbound(Segment::new(at(inside), at(remote), SYN)).source().port()
}

/// The outside ports of one inside endpoint towards a remote one, its other port, and another host.
fn ports(mapping: Mapping) -> [u16; 3] {
    let spec = MiddleboxSpec::apd_mapping_random().with_mapping(mapping);
    let mut exchange = Exchange::new(spec);
    ["198.51.100.9:5000", "198.51.100.9:5001", "198.51.100.10:5000"]
        .map(|remote| port_towards(&mut exchange, "10.0.0.2:4000", remote))
}

#[test]
fn an_endpoint_independent_mapping_has_one_port_for_everybody() {
    let [first, other_port, other_host] = ports(Mapping::EndpointIndependent);
    assert_eq!((first, first), (other_port, other_host));
}

#[test]
fn an_address_dependent_mapping_has_one_port_for_each_address() {
    let [first, other_port, other_host] = ports(Mapping::AddressDependent);
    assert_eq!(first, other_port);
    assert_ne!(first, other_host);
}

#[test]
fn an_address_and_port_dependent_mapping_has_a_port_for_each_endpoint() {
    let [first, other_port, other_host] = ports(Mapping::AddressAndPortDependent);
    assert_ne!(first, other_port);
    assert_ne!(first, other_host);
    assert_ne!(other_port, other_host);
}

#[test]
fn a_kept_port_moves_on_only_where_another_host_has_it() {
    let spec = MiddleboxSpec::ei_mapping_apd_filtering()
        .with_port_allocation(PortAllocation::PreserveElseNext);
    let mut exchange = Exchange::new(spec);
    let remote = "198.51.100.9:5000";
    assert_eq!(port_towards(&mut exchange, "10.0.0.2:4000", remote), 4000);
    assert_eq!(port_towards(&mut exchange, "10.0.0.3:4000", remote), 4001);
    assert_eq!(port_towards(&mut exchange, "10.0.0.3:4000", "192.0.2.7:80"), 4001);
}

#[test]
fn an_overloaded_port_serves_two_hosts_towards_different_remotes() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_port_allocation(PortAllocation::PreserveElseNext);
    assert_eq!(spec.port_overloading, PortOverloading::ByRemote);
    let mut exchange = Exchange::new(spec);
    assert_eq!(port_towards(&mut exchange, "10.0.0.2:4000", "198.51.100.9:5000"), 4000);
    assert_eq!(port_towards(&mut exchange, "10.0.0.3:4000", "198.51.100.9:5001"), 4000);
    assert_eq!(port_towards(&mut exchange, "10.0.0.4:4000", "198.51.100.9:5000"), 4001);
}

#[test]
fn when_all_ports_are_taken_a_new_mapping_is_refused() {
    let spec = MiddleboxSpec::apd_mapping_random().with_port_allocation(PortAllocation::Preserve);
    let mut exchange = Exchange::new(spec);
    for number in 0..64_512_u32 {
        let inside = format!("10.0.{}.{}:4000", number >> 8 & 255, number & 255);
        port_towards(&mut exchange, &inside, "198.51.100.9:5000");
    }

    let next = Segment::new(at("10.9.9.9:4000"), at("198.51.100.9:5000"), SYN);

    exchange.outbound(next).assert_dropped(DropReason::PortsExhausted);
}

/// Whether a SYN from a known endpoint's other port, and from another address, is let in.
fn admitted(filtering: Filtering) -> [Verdict; 2] {
    let mut exchange =
        Exchange::new(MiddleboxSpec::ei_mapping_apd_filtering().with_filtering(filtering));
    let link = Connection::kept();
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    ["198.51.100.9:5001", "192.0.2.200:5000"]
        .map(|stranger| exchange.inbound(Segment::new(at(stranger), link.external, SYN)).verdict)
}

#[test]
fn each_degree_of_filtering_admits_whom_it_says() {
    let by_address = Verdict::Drop(DropReason::FilteredByAddress);
    let by_endpoint = Verdict::Drop(DropReason::FilteredByEndpoint);
    assert_eq!(admitted(Filtering::EndpointIndependent), [Verdict::Forward; 2]);
    assert_eq!(admitted(Filtering::AddressDependent), [Verdict::Forward, by_address]);
    assert_eq!(admitted(Filtering::AddressAndPortDependent), [by_endpoint; 2]);
}

#[test]
fn an_admitted_stranger_can_be_answered_and_connects() {
    let mut exchange = Exchange::new(MiddleboxSpec::rfc5382_compliant());
    let link = Connection::kept();
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    let stranger = Connection { remote: at("192.0.2.200:6000"), ..Connection::kept() };

    exchange.inbound(stranger.back(SYN, 500, 0)).assert_forwarded();
    let answer = exchange.outbound(stranger.out(SYN_ACK, 800, 501));

    assert_eq!(answer.source(), link.external);
    exchange.inbound(stranger.back(ACK, 501, 801)).assert_forwarded();
}

#[test]
fn an_inbound_session_never_shares_its_inside_flow_with_another() {
    // The inside endpoint has a port for each remote; a stranger addresses the wrong one.
    let spec = MiddleboxSpec::apd_mapping_random().with_filtering(Filtering::EndpointIndependent);
    let mut exchange = Exchange::new(spec);
    let inside = at("10.0.0.2:4000");
    let (first, second) = (at("198.51.100.9:5000"), at("198.51.100.10:5000"));
    let to_first = exchange.outbound(Segment::new(inside, first, SYN)).source();
    exchange.outbound(Segment::new(inside, second, SYN)).assert_forwarded();

    let crossing = exchange.inbound(Segment::new(second, to_first, SYN));

    crossing.assert_dropped(DropReason::FlowInUse);
}
