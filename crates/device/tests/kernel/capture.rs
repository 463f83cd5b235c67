//! The packet socket sees the kernel's own first SYN, before anything else, and nothing else.

use std::net::UdpSocket;

use simopen_device::capture::{Direction, PacketSocketCapture, SynCapture};
use simopen_device::filter::{Scope, Selection};
use simopen_device::interface::Interface;
use simopen_device::raw::RawSender;
use simopen_device::socket::{self, DialOptions};
use simopen_packet::{Syn, TcpFlags};

use crate::support::{
    Action, From, Network, Offer, TWO_HOSTS, VERSIONS, next_packet, requires, syn,
};

#[test]
fn the_capture_sees_the_kernels_first_syn_with_the_sequence_number_on_the_wire() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::with_policy(Box::new(|_, _| Action::Drop));
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let (mut capture, _dial) = network.a.run(move || {
            let interface = Interface::find("tun0").unwrap();
            let selection = Selection { local_port: 4000, remote: None, scope: Scope::OwnSyns };
            let capture = PacketSocketCapture::open(&selection, Some(&interface)).unwrap();
            let dialer = socket::bind_dialer(from, &DialOptions::default()).unwrap();
            (capture, dialer.connect(to).unwrap())
        });
        let (captured, bytes) = next_packet(&mut capture);
        let seen = Syn::parse(&bytes).unwrap();
        let wire = network.wait_for_tcp("the SYN", |wire| {
            wire.iter().any(|it| it.packet().source_endpoint() == Some(from))
        });
        let sent = wire.iter().find(|it| it.packet().source_endpoint() == Some(from)).unwrap();
        assert_eq!(captured.direction, Direction::Outgoing);
        assert_eq!(seen, Syn::parse(&sent.bytes).unwrap());
    }
}

#[test]
fn the_capture_lets_nothing_in_but_what_was_selected() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::with_policy(Box::new(|_, _| Action::Drop));
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let elsewhere = network.b.endpoint(version, 5001);
        let other_port = network.a.endpoint(version, 4001);
        let (mut capture, _held) = network.a.run(move || {
            let selection = Selection { local_port: 4000, remote: Some(to), scope: Scope::OwnSyns };
            let capture = PacketSocketCapture::open(&selection, None).unwrap();
            let udp = UdpSocket::bind(from).unwrap();
            udp.send_to(b"datagram from the same port", to).unwrap();
            let dial = |local, remote| {
                let dialer = socket::bind_dialer(local, &DialOptions::default()).unwrap();
                dialer.connect(remote).unwrap()
            };
            let wrong_remote = dial(from, elsewhere);
            let wrong_port = dial(other_port, to);
            (capture, [wrong_remote, wrong_port, dial(from, to)])
        });
        let (_, bytes) = next_packet(&mut capture);
        let seen = Syn::parse(&bytes).unwrap();
        assert_eq!((seen.source, seen.destination), (from, to));
        assert_eq!(capture.poll_packet(&mut [0; 2048]).unwrap(), None);
    }
}

#[test]
fn the_wider_scope_shows_what_arrives_at_the_port_and_which_way_it_went() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let offer = Offer { window_scale: Some(7), timestamps: Some(2), sack: true };
        let own = syn(from, to, 1, offer);
        let mut capture = network.a.run(move || {
            let scope = Scope::OwnSynsAndIncoming;
            let selection = Selection { local_port: 4000, remote: Some(to), scope };
            let capture = PacketSocketCapture::open(&selection, None).unwrap();
            let mut buffer = [0; simopen_packet::MAX_SYN_LEN];
            let length = own.emit(&mut buffer).unwrap();
            RawSender::for_endpoint(to).unwrap().send(&buffer[..length]).unwrap();
            capture
        });
        // Nothing listens at B, so its kernel answers RST.
        let (first, first_bytes) = next_packet(&mut capture);
        let (second, second_bytes) = next_packet(&mut capture);
        assert_eq!(first.direction, Direction::Outgoing);
        assert_eq!(Syn::parse(&first_bytes).unwrap().sequence, own.sequence);
        assert_eq!(second.direction, Direction::Incoming);
        let reset = simopen_packet::Packet::parse(&second_bytes).unwrap();
        assert!(reset.tcp().unwrap().flags.contains(TcpFlags::RST), "{reset}");
        let wire = network.tcp();
        assert!(wire.iter().any(|it| it.from == From::A), "the raw packet went by the wire");
    }
}
