//! Ports and addresses outside: allocation, pools, what early packets take.

use std::time::Duration;

use simopen_nat::{
    AddressPool, DropReason, EarlyPacket, MiddleboxSpec, Pairing, PortAllocation, UnsolicitedSyn,
};

use crate::exchange::{Connection, Exchange, SYN, Segment, at};

fn source_of(exchange: &mut Exchange, inside: &str, remote: &str) -> std::net::SocketAddr {
    exchange.outbound(Segment::new(at(inside), at(remote), SYN)).source()
}

#[test]
fn linux_takes_a_random_port_where_the_own_one_is_taken_and_keeps_to_it() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_drop_input());
    let (first, second) = ("198.51.100.9:5000", "192.0.2.7:80");
    assert_eq!(source_of(&mut exchange, "10.0.0.2:4000", first).port(), 4000);

    let moved = source_of(&mut exchange, "10.0.0.3:4000", first);

    assert_ne!(moved.port(), 4000);
    assert_eq!(source_of(&mut exchange, "10.0.0.3:4000", second), moved);
}

#[test]
fn fully_random_masquerading_draws_a_port_for_each_connection() {
    let mut exchange = Exchange::new(MiddleboxSpec::linux_masquerade_fully_random());
    let first = source_of(&mut exchange, "10.0.0.2:4000", "198.51.100.9:5000");
    let second = source_of(&mut exchange, "10.0.0.2:4000", "198.51.100.9:5001");
    assert_ne!(first, second);
}

#[test]
fn a_sequential_box_can_be_foreseen() {
    let mut exchange = Exchange::new(MiddleboxSpec::apd_mapping_sequential());
    let first = source_of(&mut exchange, "10.0.0.2:4000", "198.51.100.9:5000").port();
    let second = source_of(&mut exchange, "10.0.0.2:4000", "198.51.100.9:5001").port();
    assert_eq!(second, first + 1);
}

#[test]
fn a_carrier_grade_box_keeps_each_host_within_its_block() {
    let spec = MiddleboxSpec::cgn_port_block();
    let mut exchange = Exchange::new(spec);
    for (inside, host) in [("10.0.0.2", [10, 0, 0, 2]), ("10.0.0.3", [10, 0, 0, 3])] {
        let block = spec.port_allocation.block_of(host.into()).unwrap();
        let outside = |exchange: &mut Exchange, port: u16, remote| {
            source_of(exchange, &format!("{inside}:{port}"), remote)
        };
        let within = *block.start() + 9;
        let kept = outside(&mut exchange, within, "198.51.100.9:5000");
        assert_eq!(kept.port(), within);
        let moved = outside(&mut exchange, 60_000, "198.51.100.9:5000");
        assert!(block.contains(&moved.port()));
        assert_eq!(outside(&mut exchange, 60_000, "192.0.2.7:80"), moved);
    }
}

#[test]
fn a_paired_pool_gives_a_host_one_address_and_an_arbitrary_one_several() {
    let addresses = |pairing| {
        let spec =
            MiddleboxSpec::apd_mapping_random().with_pool(AddressPool { addresses: 4, pairing });
        let mut exchange = Exchange::new(spec);
        let mut seen: Vec<_> = (0..40)
            .map(|port| {
                source_of(&mut exchange, &format!("10.0.0.2:{}", 4000 + port), "192.0.2.7:80").ip()
            })
            .collect();
        assert!(seen.iter().all(|address| exchange.middlebox.owns(*address)));
        seen.sort();
        seen.dedup();
        seen.len()
    };
    assert_eq!(addresses(Pairing::Paired), 1);
    assert_eq!(addresses(Pairing::Arbitrary), 4);
}

#[test]
fn an_answer_to_any_address_of_a_pool_comes_back_and_one_beside_it_does_not() {
    let pool = AddressPool { addresses: 4, pairing: Pairing::Arbitrary };
    let spec = MiddleboxSpec::ei_mapping_apd_filtering().with_pool(pool);
    let mut exchange = Exchange::new(spec);
    assert_eq!(exchange.middlebox.external_addresses().count(), 4);
    for port in 4000..4040 {
        let inside = at(&format!("10.0.0.2:{port}"));
        let remote = at("198.51.100.9:5000");
        let external = exchange.outbound(Segment::new(inside, remote, SYN)).source();
        let link = Connection { inside, external, remote };
        link.establish(&mut exchange);
    }
    let beside = Segment::new(at("198.51.100.9:5000"), at("203.0.113.5:4000"), SYN);
    exchange.inbound(beside).assert_dropped(DropReason::NotAddressedHere);
}

#[test]
fn an_early_syn_takes_the_port_from_its_sender_only_where_the_specification_says_so() {
    let port_after_an_early_syn = |early_packet, unsolicited| {
        let spec = MiddleboxSpec::linux_masquerade_drop_input()
            .with_early_packet(early_packet)
            .with_unsolicited(unsolicited);
        let mut exchange = Exchange::new(spec);
        let link = Connection::kept();
        exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
        let other = source_of(&mut exchange, "10.0.0.2:4000", "192.0.2.7:80");
        assert_eq!(other, link.external, "others are not concerned");
        exchange.outbound(link.out(SYN, 100, 0)).source().port()
    };
    let silent = UnsolicitedSyn::Dropped;
    assert_eq!(port_after_an_early_syn(EarlyPacket::Harmless, silent), 4000);
    assert_ne!(port_after_an_early_syn(EarlyPacket::TakesPort, silent), 4000);
    assert_eq!(port_after_an_early_syn(EarlyPacket::TakesPort, UnsolicitedSyn::Reset), 4000);
}

#[test]
fn what_an_early_syn_took_is_free_again_after_its_time() {
    for allocation in [PortAllocation::Preserve, PortAllocation::PreserveElseNext] {
        let spec = MiddleboxSpec::ei_mapping_apd_filtering()
            .with_early_packet(EarlyPacket::TakesPort)
            .with_port_allocation(allocation);
        let mut exchange = Exchange::new(spec);
        let link = Connection::kept();
        exchange.inbound(link.back(SYN, 900, 0)).assert_dropped(DropReason::NoMapping);
        assert!(!exchange.middlebox.is_idle());

        exchange.advance(Duration::from_secs(60));

        assert!(exchange.middlebox.is_idle());
        assert_eq!(exchange.outbound(link.out(SYN, 100, 0)).source().port(), 4000);
    }
}
