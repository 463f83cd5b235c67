//! How many go, and what is left of the process.

use std::fs;
use std::os::fd::AsFd;

use simopen_packet::SynAck;
use simopen_protocol::identity::SessionId;
use simopen_server::forger::Refusal;

use crate::place::{Place, proper, syn_ack, written};

pub(crate) fn too_many(place: &Place) {
    let peers = ["198.51.100.7:41000", "203.0.113.9:52000", "198.51.100.8:43000"];
    let [a, b, c] = peers.map(|peer| place.proven(peer));
    let to_a = proper(&b, &a);
    for _ in 0..3 {
        let answer = place.ask(&to_a, &a.accepted, &b.accepted);
        place.assert_sent(&answer, &to_a);
    }
    let sockets = [a.accepted.as_fd(), b.accepted.as_fd()];
    let answer = place.ask_for(SessionId(8), &to_a, &sockets);
    place.assert_refused(&answer, Refusal::TooManyForPair, "the fourth");
    let to_b = proper(&a, &b);
    for _ in 0..3 {
        let answer = place.ask(&to_b, &b.accepted, &a.accepted);
        place.assert_sent(&answer, &to_b);
    }
    let to_c = proper(&a, &c);
    let answer = place.ask(&to_c, &c.accepted, &a.accepted);
    place.assert_refused(&answer, Refusal::TooManyForSession, "a third peer of the session");
    let answer = place.ask_for(SessionId(8), &to_c, &[c.accepted.as_fd(), a.accepted.as_fd()]);
    place.assert_sent(&answer, &to_c);
}

pub(crate) fn changed_numbers(place: &Place) {
    let (a, b) = (place.proven("198.51.100.7:41000"), place.proven("203.0.113.9:52000"));
    let packet = proper(&b, &a);
    let answer = place.ask(&packet, &a.accepted, &b.accepted);
    place.assert_sent(&answer, &packet);
    let first = syn_ack(&b, &a);
    let back = syn_ack(&a, &b);
    for (changed, to, from) in [
        (SynAck { sequence: first.sequence + 1, ..first }, &a, &b),
        (SynAck { acknowledgment: first.acknowledgment + 1, ..first }, &a, &b),
        (SynAck { sequence: back.sequence + 1, ..back }, &b, &a),
        (SynAck { acknowledgment: back.acknowledgment + 1, ..back }, &b, &a),
    ] {
        let answer = place.ask(&written(&changed), &to.accepted, &from.accepted);
        place.assert_refused(&answer, Refusal::NumbersChanged, "another number");
    }
    let packet = proper(&a, &b);
    let answer = place.ask(&packet, &b.accepted, &a.accepted);
    place.assert_sent(&answer, &packet);
}

/// Of a forger that may send none for this reason.
pub(crate) fn the_first_is_one_too_many(place: &Place, refusal: Refusal) {
    let (a, b) = (place.proven("198.51.100.7:41000"), place.proven("203.0.113.9:52000"));
    let answer = place.ask(&proper(&b, &a), &a.accepted, &b.accepted);
    place.assert_refused(&answer, refusal, "the first one too many");
}

pub(crate) fn confinement(place: &Place) {
    let status = fs::read_to_string(format!("/proc/{}/status", place.process_id())).unwrap();
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&value(set), 16), Ok(0), "{set}");
    }
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Seccomp:"), "2", "a filter");
    assert_eq!(value("Threads:"), "1");
}
