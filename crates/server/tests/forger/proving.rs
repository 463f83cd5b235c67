//! Whether a peer's connection proves its endpoint.

use std::os::fd::AsFd;

use simopen_device::namespace::Namespace;
use simopen_device::socket::saved_syn;
use simopen_packet::SeqNumber;
use simopen_server::forger::Refusal;

use crate::place::{Place, proper};

pub(crate) fn second_tries(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.connect("203.0.113.9:52000");
    assert_not_proven(place, &a, &b, "never proven");
    let answer = place.prove(&b.accepted, b.sequence + 1);
    place.assert_refused(&answer, Refusal::NumberDiffers, "a proxy's SYN has another number");
    let answer = place.prove(&b.accepted, b.sequence);
    place.assert_refused(&answer, Refusal::NoSyn, "the second try");
    assert_not_proven(place, &a, &b, "after two tries");

    let c = place.connect("198.51.100.8:43000");
    let looked_up = saved_syn(&c.accepted).unwrap().unwrap().sequence;
    let answer = place.prove(&c.accepted, looked_up);
    place.assert_refused(&answer, Refusal::NoSyn, "who reads it has used it up");
    assert_not_proven(place, &a, &c, "looked up");

    let d = place.proven("198.51.100.8:43001");
    let answer = place.prove(&d.dialled, d.sequence);
    place.assert_refused(&answer, Refusal::NoSyn, "a connection that this host dialled");
}

pub(crate) fn addresses_of_ones_own(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let elsewhere = Namespace::spawn("elsewhere", || {
        let own = Place::without_forger();
        let peer = own.connect("203.0.113.9:52000");
        (own, peer)
    });
    let (_kept, b) = elsewhere.unwrap().join().unwrap();
    let answer = place.prove(&b.accepted, b.sequence);
    place.assert_refused(&answer, Refusal::ForeignNamespace, "all of it made up");
    let answer = place.ask(&proper(&b, &a), &a.accepted, &b.accepted);
    place.assert_refused(&answer, Refusal::ForeignNamespace, "all of it made up");
}

fn assert_not_proven(place: &Place, a: &crate::place::Peer, b: &crate::place::Peer, what: &str) {
    for (from, to) in [(a, b), (b, a)] {
        let answer = place.ask(&proper(from, to), &to.accepted.as_fd(), &from.accepted.as_fd());
        place.assert_refused(&answer, Refusal::NotProven, what);
    }
}

pub(crate) fn wrong_numbers(place: &Place) {
    for (port, wrong) in [(41_000, 0), (41_001, u32::MAX), (41_002, 1 << 31)] {
        let peer = place.connect(&format!("198.51.100.7:{port}"));
        let claimed = SeqNumber(peer.sequence.0.wrapping_add(wrong).wrapping_add(1));
        let claimed = if claimed == peer.sequence { claimed + 1 } else { claimed };
        let answer = place.prove(&peer.accepted, claimed);
        place.assert_refused(&answer, Refusal::NumberDiffers, "a wrong number");
    }
}
