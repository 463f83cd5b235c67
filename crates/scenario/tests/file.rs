//! Scenario files: what the examples say, what is complained of and where, and that no text is
//! worth a panic.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use simopen_fabric::{Delivery, Fabric, Happening, LinkSpec, PortId};
use simopen_nat::InboundBareSyn;
use simopen_packet::{Entropy, MAX_SYN_LEN, Packet, SeqNumber, Syn, SynOptions, Timestamp, Ttl};
use simopen_scenario::file::{Change, FileError, Scenario, World, box_from_toml};
use simopen_scenario::network::{Executor, Network, Place};

const EXAMPLES: [&str; 5] =
    ["double-nat", "http-proxy", "ipv6-firewalls", "reboot-and-readdress", "same-nat-hairpin"];

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("the example is there")
}

fn scenario(name: &str) -> Scenario {
    Scenario::from_toml(name, &example(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn world(executor: Executor) -> World {
    let entropy = Entropy::new([7; 32]);
    World { executor, link: LinkSpec::default(), entropy, now: Timestamp::ZERO }
}

fn complaint(text: &str) -> FileError {
    Scenario::from_toml("f.toml", text).expect_err("it must not be read")
}

/// An example with one thing changed.
fn changed(name: &str, from: &str, to: &str) -> FileError {
    let text = example(name);
    assert!(text.contains(from), "{name} has no {from}");
    complaint(&text.replacen(from, to, 1))
}

#[test]
fn every_example_is_read_and_can_be_planned_for_both_executors() {
    for name in EXAMPLES {
        let scenario = scenario(name);
        assert!(scenario.attempts.iter().all(|attempt| attempt.expect.is_some()), "{name}");
        for executor in [Executor::Model, Executor::Nft] {
            let network = scenario.network(&world(executor)).expect("the plan is sound");
            assert_eq!(network.hosts.len(), scenario.plan.hosts.len(), "{name}");
            assert_eq!(network.boxes.len(), scenario.plan.boxes.len(), "{name}");
            let machines = |placed: &&simopen_scenario::network::PlacedBox| {
                matches!(placed.place, Place::Machine(_))
            };
            let expected = if executor == Executor::Model { network.boxes.len() } else { 0 };
            assert_eq!(network.boxes.iter().filter(machines).count(), expected, "{name}");
        }
    }
}

#[test]
fn a_box_is_a_preset_with_the_axes_turned_that_the_file_names() {
    let scenario = scenario("double-nat");
    let home = &scenario.plan.boxes[0];
    assert_eq!(home.spec.inbound_bare_syn, InboundBareSyn::Dropped);
    let unchanged = simopen_nat::MiddleboxSpec::ei_mapping_apd_filtering();
    assert_eq!(home.spec, unchanged.with_inbound_bare_syn(InboundBareSyn::Dropped));
}

#[test]
fn a_leg_is_the_mean_way_to_the_broker_and_boxes_are_told_from_inside() {
    let scenario = scenario("double-nat");
    let attempt = &scenario.attempts[0];
    // a: 0.1 to its network, 0.1 and 2 by the home box, 0.1 and 5 by the carrier's, 5 to c: 12.3
    // b: 0.1, 0.1 and 5, 5 to c: 10.2
    assert_eq!(scenario.leg(attempt), Duration::from_micros(11_250));
    let [a, b] = scenario.boxes(attempt);
    assert_eq!((a.name.as_str(), b.name.as_str()), ("home-nat+carrier-nat", "office-nat"));
}

#[test]
fn events_are_in_the_order_of_time_and_belong_to_their_attempts() {
    let scenario = scenario("reboot-and-readdress");
    let first = &scenario.attempts[0];
    let events: Vec<_> = scenario.events_of(first).collect();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].at, events[0].what), (Duration::from_millis(500), Change::Reboot(0)));
    assert!(scenario.events.is_sorted_by_key(|event| event.at));
}

/// Sends one bare segment and gives where it came out, with the source that it came with.
fn sent(network: &Network, from: &str, to: SocketAddr) -> Option<(String, SocketAddr, u8)> {
    let (_, deliveries) = send(network, from, to);
    let delivery = deliveries.last()?;
    let packet = Packet::parse(delivery.packet.as_slice()).expect("it is as planned");
    let source = SocketAddr::new(packet.ip.source, packet.tcp()?.source_port);
    Some((name_of(network, delivery.port), source, packet.ip.ttl.0))
}

fn send(network: &Network, from: &str, to: SocketAddr) -> (Fabric, Vec<Delivery>) {
    let mut fabric = Fabric::new(network.graph.clone(), Entropy::new([1; 32]), Timestamp::ZERO);
    let port_of =
        |name: &str| network.hosts.iter().find(|host| host.name == name).expect("it is as planned");
    let host = port_of(from);
    let own = host
        .addresses
        .iter()
        .find(|(own, _)| own.is_ipv4() == to.is_ipv4())
        .expect("it is as planned")
        .0;
    let syn = Syn {
        source: SocketAddr::new(own, 4000),
        destination: to,
        sequence: SeqNumber(1),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::default(),
    };
    let mut bytes = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut bytes).expect("it is as planned");
    let mut buffer = fabric.buffer();
    buffer.fill(&bytes[..length]).expect("it is as planned");
    fabric.handle_packet(host.port, buffer, Timestamp::ZERO);
    fabric.handle_timeout(Timestamp::from_nanos(1_000_000_000));
    let deliveries = std::iter::from_fn(|| fabric.poll_transmit()).collect();
    (fabric, deliveries)
}

fn name_of(network: &Network, port: PortId) -> String {
    network.hosts.iter().find(|host| host.port == port).expect("it is as planned").name.clone()
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("it is as planned")
}

#[test]
fn two_nats_in_a_row_translate_twice_and_each_hop_but_no_local_network_counts() {
    let network = scenario("double-nat").network(&world(Executor::Model)).unwrap();
    let (host, source, ttl) = sent(&network, "a", at("192.0.2.2:7000")).expect("it arrives");
    assert_eq!(host, "c");
    assert_eq!(source.ip(), "198.51.100.1".parse::<IpAddr>().unwrap());
    assert_eq!(ttl, 64 - 3, "two boxes and the router of the internet");
}

#[test]
fn nothing_inside_a_nat_can_be_reached_from_outside_nor_a_private_address_from_another_home() {
    let network = scenario("double-nat").network(&world(Executor::Model)).unwrap();
    assert_eq!(sent(&network, "c", at("192.168.1.2:7000")), None);
    assert_eq!(sent(&network, "b", at("192.168.1.2:7000")), None);
    assert_eq!(sent(&network, "c", at("198.51.100.1:7000")), None);
}

#[test]
fn hosts_of_one_network_reach_each_other_without_their_box() {
    let network = scenario("same-nat-hairpin").network(&world(Executor::Model)).unwrap();
    let (host, source, ttl) = sent(&network, "a", at("192.168.1.3:7000")).expect("it arrives");
    assert_eq!((host.as_str(), source, ttl), ("b", at("192.168.1.2:4000"), 64));
}

#[test]
fn an_address_of_an_event_is_routed_from_the_beginning() {
    let network = scenario("reboot-and-readdress").network(&world(Executor::Model)).unwrap();
    let (mut fabric, _) = send(&network, "c", at("198.51.100.77:7000"));
    let dropped_at = std::iter::from_fn(|| fabric.poll_event())
        .find(|event| matches!(event.what, Happening::Dropped(_)))
        .map(|event| fabric.name(event.place).to_owned());
    assert_eq!(dropped_at.as_deref(), Some("home-nat"));
}

#[test]
fn a_complaint_has_line_column_what_was_found_what_was_expected_and_the_nearest_name() {
    let error = changed("double-nat", "outside = \"carrier\"", "outside = \"carier\"");
    let line = example("double-nat").lines().position(|line| line.starts_with("outside")).unwrap();
    assert_eq!((error.line, error.column), (line + 1, 11));
    assert_eq!(error.found, "`carier`");
    assert_eq!(error.nearest.as_deref(), Some("carrier"));
}

#[test]
fn a_misspelt_axis_value_and_preset_are_found_with_what_they_could_be() {
    let axis =
        changed("double-nat", "inbound-bare-syn = \"dropped\"", "inbound-bare-sin = \"dropped\"");
    assert_eq!(axis.nearest.as_deref(), Some("inbound-bare-syn"), "{axis}");
    assert_eq!(axis.column, 1);
    let value =
        changed("double-nat", "inbound-bare-syn = \"dropped\"", "inbound-bare-syn = \"droped\"");
    assert_eq!(value.nearest.as_deref(), Some("dropped"), "{value}");
    assert_eq!(value.column, 20);
    let preset = changed("double-nat", "cgn-port-block", "cgn-port-blok");
    assert_eq!(preset.nearest.as_deref(), Some("cgn-port-block"), "{preset}");
    let way = changed("double-nat", "\"direct\"", "\"directly\"");
    assert_eq!(way.nearest.as_deref(), Some("direct"), "{way}");
    let key = changed("double-nat", "network = \"home\"", "netwrok = \"home\"");
    assert!(key.to_string().contains("network"), "{key}");
}

#[test]
fn what_is_no_toml_is_complained_of_where_it_stands() {
    let error = complaint("name = \"x\"\nseed = = 1\n");
    assert_eq!(error.line, 2, "{error}");
}

#[test]
fn addresses_belong_to_their_network_and_to_one_owner() {
    let foreign = changed("double-nat", "\"192.168.1.2\"", "\"192.168.2.2\"");
    assert!(foreign.expected.contains("192.168.1.0/24"), "{foreign}");
    let twice = changed("same-nat-hairpin", "\"192.168.1.3\"", "\"192.168.1.2\"");
    assert!(twice.expected.contains("`a`"), "{twice}");
    let clash = changed("reboot-and-readdress", "\"198.51.100.77\"", "\"203.0.113.1\"");
    assert!(clash.expected.contains("`office-nat`"), "{clash}");
}

#[test]
fn numbers_and_times_beyond_their_bounds_are_refused() {
    for (from, to) in [
        ("seed = 1", "seed = -1"),
        ("delay = \"2ms\"", "delay = \"3s\""),
        ("delay = \"2ms\"", "delay = \"2\""),
        ("delay = \"2ms\"", "loss = 1.5"),
        ("delay = \"2ms\"", "rate = \"0kbit\""),
        ("forging = false", "runs = 0"),
        ("forging = false", "runs = 101"),
        ("to = \"b\"", "to = \"a\""),
        ("prefix = \"100.64.0.0/10\"", "prefix = \"100.64.0.1/10\""),
    ] {
        let error = changed("double-nat", from, to);
        assert!(error.line > 1 && !error.expected.is_empty(), "{from} → {to}: {error}");
    }
}

#[test]
fn there_is_a_bound_for_everything() {
    let mut text = String::from("[networks.n]\nprefix = \"10.0.0.0/8\"\n");
    for number in 0..40 {
        text.push_str(&format!(
            "[hosts.h{number}]\nnetwork = \"n\"\naddress = \"10.0.0.{}\"\n",
            number + 1
        ));
    }
    assert_eq!(complaint(&text).expected, "at most 32");
    assert!(complaint(&"#".repeat(300_000)).found.contains("300000 bytes"));
}

#[test]
fn a_box_of_a_readers_own_has_the_name_of_its_file_or_its_own() {
    let text = "preset = \"rst-answering\"\ntimers = { established = \"30s\" }\n";
    let own = box_from_toml("boxes/my-box.toml", text).unwrap();
    assert_eq!(own.name, "my-box");
    assert_eq!(own.spec.timers.established, Duration::from_secs(30));
    assert_eq!(own.spec.timers.syn_sent, simopen_nat::TcpTimers::LINUX.syn_sent);
    let named = box_from_toml("x.toml", "name = \"cellar\"").unwrap();
    assert_eq!(named.name, "cellar");
    let error = box_from_toml("x.toml", "prset = \"no-box\"").unwrap_err();
    assert_eq!((error.line, error.nearest.as_deref()), (1, Some("preset")), "{error}");
}

proptest! {
    #[test]
    fn no_text_is_worth_a_panic(text in "[ -~\n]{0,200}") {
        let _ = Scenario::from_toml("f.toml", &text);
        let _ = box_from_toml("f.toml", &text);
    }

    #[test]
    fn an_example_with_bytes_changed_is_read_or_complained_of(
        name in prop::sample::select(EXAMPLES.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\né\u{0}]{0,6}"), 1..5),
    ) {
        let mut text = example(name);
        for (place, insert) in edits {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            let place = places[place.index(places.len())];
            let end = text[place..].char_indices().nth(3).map_or(text.len(), |(at, _)| place + at);
            text.replace_range(place..end, &insert);
        }
        if let Ok(scenario) = Scenario::from_toml("f.toml", &text) {
            let _ = scenario.network(&world(Executor::Model));
            for attempt in &scenario.attempts {
                let _ = (scenario.leg(attempt), scenario.boxes(attempt));
            }
        }
    }
}
