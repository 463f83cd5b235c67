//! A swallowing port draws no answer; a raw packet of foreign source arrives.

use simopen_device::raw::RawSender;
use simopen_device::socket::{self, DialOptions};
use simopen_device::swallow::SwallowingPort;
use simopen_packet::{SeqNumber, TcpBuilder, TcpFlags, Ttl};

use crate::support::{From, Network, TWO_HOSTS, VERSIONS, requires};

/// Whatever may arrive: each kind draws RST from a port where nothing is bound.
const KINDS: [(TcpFlags, &[u8]); 5] = [
    (TcpFlags::SYN, b""),
    (TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0), b""),
    (TcpFlags::ACK, b""),
    (TcpFlags::ACK, b"data"),
    (TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0), b""),
];

#[test]
fn a_swallowing_port_answers_nothing_and_an_unbound_one_answers_all() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let silent = network.b.endpoint(version, 5000);
        let unbound = network.b.endpoint(version, 5001);
        let from = network.a.endpoint(version, 4000);
        let _swallower = network.b.run(move || SwallowingPort::bind(silent).unwrap());
        // A must be silent itself, or it would answer the answers.
        let _own = network.a.run(move || SwallowingPort::bind(from).unwrap());
        network.a.run(move || {
            let raw = RawSender::for_endpoint(from).unwrap();
            for destination in [silent, unbound] {
                for (flags, payload) in KINDS {
                    raw.send(&segment(from, destination, flags, payload)).unwrap();
                }
            }
        });
        // The silent port was asked first: when the other has answered five times, all is said.
        let wire = network.wait_for_tcp("five answers", |wire| {
            wire.iter().filter(|it| it.from == From::B).count() >= KINDS.len()
        });
        let answers: Vec<_> = wire.iter().filter(|it| it.from == From::B).collect();
        assert_eq!(answers.len(), KINDS.len());
        for answer in answers {
            assert_eq!(answer.packet().source_endpoint(), Some(unbound));
            assert!(answer.packet().tcp().unwrap().flags.contains(TcpFlags::RST));
        }
    }
}

#[test]
fn a_swallowing_port_leaves_a_live_connection_on_that_port_alone() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let listener = network.b.run(move || socket::listener_saving_syn(to).unwrap());
        let (stream, _swallower) = network.a.run(move || {
            let dialer = socket::bind_dialer(from, &DialOptions::default()).unwrap();
            let stream = dialer.connect(to).unwrap();
            (stream, SwallowingPort::bind(from).unwrap())
        });
        let (one, other) = (crate::support::blocking(stream), {
            crate::support::wait(std::os::fd::AsFd::as_fd(&listener), nix::poll::PollFlags::POLLIN);
            crate::support::blocking(listener.accept().unwrap().0)
        });
        crate::support::exchange(&one, &other, 1 << 16);
    }
}

#[test]
fn a_raw_sender_lets_a_foreign_source_leave_and_keeps_the_ttl() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let to = network.b.endpoint(version, 5000);
        let foreign = match version {
            crate::support::Version::V4 => "203.0.113.9:4000".parse().unwrap(),
            crate::support::Version::V6 => "[2001:db8::9]:4000".parse().unwrap(),
        };
        network.a.run(move || {
            let raw = RawSender::for_endpoint(to).unwrap();
            raw.send(&segment(foreign, to, TcpFlags::SYN, b"")).unwrap();
        });
        let wire = network.wait_for_tcp("the packet", |wire| !wire.is_empty());
        let sent = wire.iter().find(|it| it.from == From::A).unwrap();
        assert_eq!(sent.packet().source_endpoint(), Some(foreign));
        assert_eq!(sent.packet().ip.ttl, Ttl(9));
        simopen_packet::Packet::verify_checksums(&sent.bytes).unwrap();
    }
}

#[test]
fn a_raw_sender_refuses_what_is_no_packet_of_its_version() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let v6 =
        segment("[fd00::1]:1".parse().unwrap(), "[fd00::2]:2".parse().unwrap(), TcpFlags::SYN, b"");
    let kinds = network.a.run(move || {
        let raw = RawSender::new_v4().unwrap();
        [raw.send(&v6), raw.send(b"no packet")].map(|it| it.unwrap_err().kind())
    });
    assert_eq!(kinds, [std::io::ErrorKind::InvalidInput; 2]);
}

fn segment(
    source: std::net::SocketAddr,
    destination: std::net::SocketAddr,
    flags: TcpFlags,
    payload: &[u8],
) -> Vec<u8> {
    let builder = TcpBuilder {
        source,
        destination,
        ttl: Ttl(9),
        sequence: SeqNumber(1000),
        acknowledgment: SeqNumber(2000),
        flags,
        window: 1000,
    };
    let mut buffer = vec![0; 256];
    let length = builder.emit(&[], payload, &mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}
