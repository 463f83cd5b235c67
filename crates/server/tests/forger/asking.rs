//! Packets between the wrong endpoints, and connections that prove nothing.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::poll::PollFlags;
use simopen_packet::SynAck;
use simopen_server::forger::Refusal;
use simopen_server::forger::message::Request;

use crate::place::{Place, SESSION, proper, syn_ack, wait, written};

pub(crate) fn proper_packets(place: &Place) {
    for (a, b) in [
        ("198.51.100.7:41000", "203.0.113.9:52000"),
        ("[2001:db8::7]:41000", "[2001:db8::9]:52000"),
    ] {
        let (a, b) = (place.proven(a), place.proven(b));
        for (from, to) in [(&a, &b), (&b, &a)] {
            let packet = proper(from, to);
            let answer = place.ask(&packet, &to.accepted, &from.accepted);
            place.assert_sent(&answer, &packet);
        }
    }
    assert_eq!(place.counts().sent, 4);
    assert!(place.counts().refused.is_empty());
}

pub(crate) fn other_endpoints(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.proven("203.0.113.9:52000");
    let c = place.proven("198.51.100.8:43000");
    let good = syn_ack(&b, &a);
    for other in ["198.51.100.8:41000", "198.51.100.7:41001", "8.8.8.8:41000", "192.0.2.1:7443"] {
        let other: SocketAddr = other.parse().unwrap();
        let towards = written(&SynAck { destination: other, ..good });
        let answer = place.ask(&towards, &a.accepted, &b.accepted);
        place.assert_refused(&answer, Refusal::DestinationDiffers, "another destination");
        let from = written(&SynAck { source: other, ..good });
        let answer = place.ask(&from, &a.accepted, &b.accepted);
        place.assert_refused(&answer, Refusal::SourceDiffers, "another source");
    }
    let packet = proper(&b, &a);
    let answer = place.ask(&packet, &c.accepted, &b.accepted);
    place.assert_refused(&answer, Refusal::DestinationDiffers, "the socket of somebody else");
    let answer = place.ask(&packet, &a.accepted, &c.accepted);
    place.assert_refused(&answer, Refusal::SourceDiffers, "the socket of somebody else");
    let answer = place.ask(&packet, &b.accepted, &a.accepted);
    place.assert_refused(&answer, Refusal::DestinationDiffers, "the two exchanged");
    let answer = place.ask(&packet, &a.accepted, &b.accepted);
    place.assert_sent(&answer, &packet);
}

pub(crate) fn forbidden_endpoints(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    for (from, refusal) in [
        ("10.9.9.9:41000", Refusal::Private),
        ("100.64.0.9:41000", Refusal::Private),
        ("169.254.1.1:41000", Refusal::LinkLocal),
        ("127.0.0.1:41000", Refusal::Loopback),
        ("203.0.113.9:1023", Refusal::LowPort),
        ("192.0.2.1:41000", Refusal::OwnAddress),
    ] {
        let other = place.proven(from);
        for (from, to) in [(&a, &other), (&other, &a)] {
            let answer = place.ask(&proper(from, to), &to.accepted, &from.accepted);
            place.assert_refused(&answer, refusal, &other.endpoint.to_string());
        }
    }
    let answer = place.ask(&proper(&a, &a), &a.accepted, &a.accepted);
    place.assert_refused(&answer, Refusal::SameEndpoint, "one peer for both");
    let (six, local) = (place.proven("[2001:db8::7]:4000"), place.proven("[fd00::9]:4000"));
    let answer = place.ask(&proper(&six, &local), &local.accepted, &six.accepted);
    place.assert_refused(&answer, Refusal::Private, "fd00::9");
}

pub(crate) fn no_evidence(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.proven("203.0.113.9:52000");
    let packet = proper(&b, &a);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, _other) = UnixStream::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    for (what, descriptor) in
        [("udp", udp.as_fd()), ("unix", unix.as_fd()), ("a file", file.as_fd())]
    {
        let answer = place.ask(&packet, &a.accepted, &descriptor);
        place.assert_refused(&answer, Refusal::NotTcp, what);
    }
    let answer = place.ask(&packet, &a.accepted, &b.dialled);
    place.assert_refused(&answer, Refusal::NotProven, "the peer's own end");
    drop(b.dialled);
    wait(b.accepted.as_fd(), PollFlags::POLLIN);
    let answer = place.ask(&packet, &a.accepted, &b.accepted);
    place.assert_refused(&answer, Refusal::NotEstablished, "closed by its peer");
}

pub(crate) fn unreadable_requests(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.proven("203.0.113.9:52000");
    let (to, from) = (a.accepted.as_fd(), b.accepted.as_fd());
    let packet = proper(&b, &a);
    for sockets in [&[][..], &[to], &[to, from, from], &[to; 100]] {
        let answer = place.ask_for(SESSION, &packet, sockets);
        place.assert_refused(&answer, Refusal::WrongDescriptors, "descriptors");
    }
    let request = Request::Forge { session: SESSION, packet: &packet }.to_bytes();
    let cut = &request[..6];
    for bytes in [&[0][..], &[9; 30], cut, &[2; 5000], &[1, 2, 3]] {
        let answer = place.ask_bytes(bytes, &[to, from]);
        place.assert_refused(&answer, Refusal::Malformed, "bytes");
    }
    let answer = place.ask(&packet, &a.accepted, &b.accepted);
    place.assert_sent(&answer, &packet);
}
