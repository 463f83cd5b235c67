//! Meetings at the relay on real kernels: straight, and through real proxies with and without
//! CONNECT, each beside what must keep two apart.

use simopen_lab::attempt::AttemptSpec;
use simopen_nat::{Egress, MiddleboxSpec};
use simopen_netns_tests::{Cell, Expected, requires, requires_programs, run_all};
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::{Carriage, Technique};
use simopen_scenario::oracle::BROKER_PORT;
use simopen_scenario::proxies::Proxies;

const RELAY: Technique = Technique::Relay(Carriage::Any);
const CONNECT: Technique = Technique::Relay(Carriage::Connect);
const HTTP: Technique = Technique::Relay(Carriage::Http);

/// Nobody gets out but by a proxy: no session to the broker's port.
const FENCED: MiddleboxSpec = MiddleboxSpec::egress_http_proxy_only();

fn with_proxies(proxies: Proxies) -> impl FnOnce(&mut AttemptSpec) {
    move |attempt| {
        attempt.star.has_proxies = true;
        attempt.trial.proxies = proxies;
    }
}

/// A cell behind fences, whose peers have such proxies.
fn fenced(technique: Technique, proxies: Proxies, expected: Expected) -> Cell {
    Cell::new("nothing but a proxy", FENCED, technique, expected).but(
        &format!("{proxies:?}"),
        with_proxies(proxies),
        expected,
    )
}

#[test]
fn two_meet_at_a_relay_wherever_both_get_out_to_it() {
    if !requires() {
        return;
    }
    let reaches_broker_only = MiddleboxSpec::silent_stateful_firewall()
        .with_egress(Egress::DenyExcept([BROKER_PORT, 0, 0, 0]));
    let random = MiddleboxSpec::apd_mapping_random();
    let cell = |row, spec, expected| Cell::new(row, spec, RELAY, expected);
    let unprivileged =
        cell("no bare SYN comes in", MiddleboxSpec::syn_ack_only_firewall(), Expected::Meets).but(
            "without any capability",
            |attempt| attempt.privileges = Some(vec![]),
            Expected::Meets,
        );
    drop(run_all(vec![
        cell("no box", MiddleboxSpec::no_box(), Expected::Meets),
        cell("another port for each destination", random, Expected::Meets),
        unprivileged,
        cell("RST", MiddleboxSpec::rst_answering(), Expected::Meets),
        // The controls.
        cell("nothing but a proxy", FENCED, Expected::FailsSaying("did not log in")),
        cell("no way to the relay", reaches_broker_only, Expected::Fails(Cause::RelayUnreachable)),
    ]));
}

#[test]
fn two_who_get_out_by_a_proxy_meet_through_its_tunnels_or_its_requests() {
    if !requires_programs(&["squid"]) {
        return;
    }
    drop(run_all(vec![
        fenced(CONNECT, Proxies::WithConnect, Expected::Meets),
        fenced(HTTP, Proxies::WithoutConnect, Expected::Meets),
        fenced(RELAY, Proxies::WithConnect, Expected::Meets),
        fenced(RELAY, Proxies::WithoutConnect, Expected::Meets),
    ]));
}

#[test]
fn a_proxy_that_refuses_connect_is_the_cause_where_nothing_else_may_be_tried() {
    if !requires_programs(&["squid"]) {
        return;
    }
    let refused = Expected::Fails(Cause::ProxyRefused);
    drop(run_all(vec![fenced(CONNECT, Proxies::WithoutConnect, refused)]));
}
