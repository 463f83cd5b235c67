//! The forger as a broker that somebody has taken over sees it: the test speaks to its process
//! directly, asks for what it may not have, and looks on at what leaves.
//!
//! What is asked for stands in modules that the target `survival` has too, where it is asked for
//! beside honest traffic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![forbid(unsafe_code)]

mod asking;
mod packets;
mod place;
mod proving;
mod totals;

use simopen_server::forger::{Limits, Refusal};

use self::place::in_place;

#[test]
fn the_proper_packet_is_sent_both_ways_over_both_versions() {
    in_place(Limits::default(), asking::proper_packets);
}

#[test]
fn no_packet_leaves_to_or_from_an_endpoint_that_is_not_the_peers() {
    in_place(Limits::default(), asking::other_endpoints);
}

#[test]
fn the_brokers_rules_for_endpoints_hold_here_too() {
    in_place(Limits::default(), asking::forbidden_endpoints);
}

#[test]
fn a_connection_that_is_over_or_none_is_no_evidence() {
    in_place(Limits::default(), asking::no_evidence);
}

#[test]
fn what_cannot_be_read_or_has_other_descriptors_is_refused() {
    in_place(Limits::default(), asking::unreadable_requests);
}

#[test]
fn a_packet_that_is_not_a_bare_syn_ack_is_not_sent() {
    in_place(Limits::default(), packets::no_bare_syn_acks);
}

#[test]
fn a_peers_own_syn_is_not_sent_on() {
    in_place(Limits::default(), packets::own_syns);
}

#[test]
fn a_connection_has_one_try_and_the_broker_cannot_look_up_the_number() {
    in_place(Limits::default(), proving::second_tries);
}

#[test]
fn whoever_makes_all_addresses_his_own_in_another_namespace_proves_nothing() {
    in_place(Limits::default(), proving::addresses_of_ones_own);
}

#[test]
fn a_wrong_number_is_refused_whatever_it_is() {
    in_place(Limits::default(), proving::wrong_numbers);
}

#[test]
fn a_pair_and_a_session_have_so_many_packets_and_no_more() {
    in_place(Limits::default(), totals::too_many);
}

#[test]
fn the_numbers_of_the_first_packet_hold_for_the_pair() {
    in_place(Limits::default(), totals::changed_numbers);
}

#[test]
fn an_allowance_that_is_used_up_stops_every_packet() {
    for (limits, refusal) in [
        (Limits { per_second: 0, towards: 9 }, Refusal::TooMany),
        (Limits { per_second: 9, towards: 0 }, Refusal::TooManyTowards),
    ] {
        in_place(limits, move |place| totals::the_first_is_one_too_many(place, refusal));
    }
}

#[test]
fn a_forger_that_works_has_no_capability_and_a_filter_of_system_calls() {
    in_place(Limits::default(), totals::confinement);
}
