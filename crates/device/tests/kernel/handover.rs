//! Connections that no kernel opened, installed and used like any other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use simopen_device::handover::{self, HandoverError, Installation, install};
use simopen_device::raw::RawSender;
use simopen_device::socket::{self, TcpState};
use simopen_device::swallow::SwallowingPort;
use simopen_packet::{MAX_SYN_LEN, Packet, Syn, SynAck, SynOptions, TcpFlags};

use crate::support::{
    From, Network, Offer, Passed, TWO_HOSTS, VERSIONS, Version, blocking, exchange, requires, syn,
};

/// Initial sequence numbers on both sides of 2^31, and at the edges.
const ISNS: [u32; 10] = [
    0x0000_0001,
    0x0765_4321,
    0x2000_0000,
    0x7fff_fff0,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0010,
    0xa000_0000,
    0xf123_4567,
    0xffff_ffff,
];

const USUAL: Offer = Offer { window_scale: Some(7), timestamps: Some(0x1234_5671), sack: true };

/// What two peers may offer: the usual, without timestamps, without scaling, with shifts 0 and
/// 0, with different ones, with one side only.
const OFFERS: [(Offer, Offer); 7] = [
    (USUAL, USUAL),
    (Offer { timestamps: None, ..USUAL }, USUAL),
    (Offer { window_scale: None, ..USUAL }, Offer { window_scale: None, ..USUAL }),
    (Offer { window_scale: Some(0), ..USUAL }, Offer { window_scale: Some(0), ..USUAL }),
    (Offer { window_scale: Some(3), ..USUAL }, Offer { window_scale: Some(10), ..USUAL }),
    (Offer { window_scale: Some(14), ..USUAL }, Offer { window_scale: Some(0), ..USUAL }),
    (
        Offer { window_scale: None, timestamps: None, sack: false },
        Offer { window_scale: Some(7), timestamps: None, sack: false },
    ),
];

#[test]
fn the_first_packet_after_the_hand_over_is_the_data_whatever_the_sequence_numbers_are() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let mut port = 4000;
        for (isn_a, isn_b) in ISNS.into_iter().zip(ISNS.into_iter().rev().cycle().skip(3)) {
            for (offer_a, offer_b) in OFFERS {
                port += 1;
                let pair = Pair::new(&network, version, port, (isn_a, offer_a), (isn_b, offer_b));
                let [a, b] = pair.install(&network);
                speak_and_answer(&a, &b);
                check_journal(&network.tcp(), port, &pair);
                for (stream, own, peer) in [(&a, offer_a, offer_b), (&b, offer_b, offer_a)] {
                    check_agreement(stream, own, peer);
                }
            }
        }
    }
}

#[test]
fn a_mebibyte_each_way_arrives_as_it_was_sent_under_every_offer() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        for (number, (offer_a, offer_b)) in OFFERS.into_iter().enumerate() {
            let port = 4000 + number as u16;
            let (a, b) = ((0x7fff_fff0, offer_a), (0xffff_fff0, offer_b));
            let [a, b] = Pair::new(&network, version, port, a, b).install(&network);
            exchange(&a, &b, 1 << 20);
        }
    }
}

#[test]
fn a_forged_syn_ack_that_reaches_an_installed_socket_draws_a_challenge_ack_and_no_reset() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let pair = Pair::new(&network, version, 4000, (0x9000_0000, USUAL), (5, USUAL));
        let [a, b] = pair.install(&network);
        let forged = pair.answer_to_a();
        network.b.run(move || {
            let mut buffer = [0; MAX_SYN_LEN];
            let length = forged.emit(&mut buffer).unwrap();
            RawSender::for_endpoint(forged.destination).unwrap().send(&buffer[..length]).unwrap();
        });
        let wire = network
            .wait_for_tcp("the challenge ACK", |wire| wire.iter().any(|it| it.from == From::A));
        let answer = wire.iter().find(|it| it.from == From::A).unwrap();
        let segment = answer.packet().tcp().unwrap().flags;
        assert_eq!(segment, TcpFlags::ACK, "{}", answer.packet());
        exchange(&a, &b, 1 << 16);
        assert!(network.tcp().iter().all(|it| !flags(it).contains(TcpFlags::RST)));
    }
}

#[test]
fn installing_sends_nothing_and_takes_the_place_of_a_swallowing_port() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let pair = Pair::new(&network, version, 4000, (1, USUAL), (0xf000_0000, USUAL));
        let (at_a, at_b) = (pair.syn_a.source, pair.syn_b.source);
        let swallowers = [
            network.a.run(move || SwallowingPort::bind(at_a).unwrap()),
            network.b.run(move || SwallowingPort::bind(at_b).unwrap()),
        ];
        let [a, b] = pair.install(&network);
        drop(swallowers);
        for stream in [&a, &b] {
            assert_eq!(socket::tcp_info(stream).unwrap().state, TcpState::Established);
        }
        // What B sends now comes after whatever the installation sent.
        (&b).write_all(b"x").unwrap();
        (&a).read_exact(&mut [0]).unwrap();
        let wire = network.tcp();
        assert_eq!(wire[0].from, From::B);
        assert_eq!(wire[0].packet().tcp().unwrap().payload, b"x");
        assert!(wire.iter().all(|it| !flags(it).contains(TcpFlags::RST)));
    }
}

#[test]
fn a_port_can_be_shared_again_after_a_hand_over() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let pair = Pair::new(&network, Version::V4, 4000, (1, USUAL), (2, USUAL));
    let _streams = pair.install(&network);
    let at_a = pair.syn_a.source;
    network.a.run(move || {
        SwallowingPort::bind(at_a).unwrap();
        socket::bind_dialer(at_a, &socket::DialOptions::default()).unwrap();
    });
}

#[test]
fn the_same_pair_of_endpoints_is_not_installed_twice() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let pair = Pair::new(&network, Version::V4, 4000, (1, USUAL), (2, USUAL));
    let _streams = pair.install(&network);
    let again = Installation::from_handshake(&pair.syn_a, &pair.answer_to_a()).unwrap();
    let HandoverError::Device(error) = network.a.run(move || install(&again).unwrap_err()) else {
        panic!("not the kernel's refusal")
    };
    assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL), "{error}");
    assert!(error.to_string().contains("same pair of endpoints"), "{error}");
}

#[test]
fn a_syn_ack_that_answers_another_syn_is_not_taken_for_the_own_one() {
    let (a, b) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:5000".parse().unwrap());
    let (own, other) = (syn(a, b, 1, USUAL), syn(b, a, 2, USUAL));
    let mut answer = SynAck::forge(&other, &own, b, a).unwrap();
    answer.acknowledgment += 1;
    let refused = Installation::from_handshake(&own, &answer);
    assert!(matches!(refused, Err(HandoverError::NoAnswer { .. })));
}

#[test]
fn a_syn_that_asked_for_ecn_is_refused() {
    let (a, b) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:5000".parse().unwrap());
    let (own, other) = (syn(a, b, 1, USUAL), syn(b, a, 2, USUAL));
    let answer = SynAck::forge(&other, &own, b, a).unwrap();
    let refused = Installation::from_handshake(&Syn { ecn_setup: true, ..own }, &answer);
    assert!(matches!(refused, Err(HandoverError::Ecn)));
}

#[test]
fn the_own_window_scale_is_what_the_kernel_itself_offers() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let (from, to) = (network.a.endpoint(Version::V4, 4000), network.b.endpoint(Version::V4, 1));
    let (own, _dial) = network.a.run(move || {
        let dialer = socket::bind_dialer(from, &socket::DialOptions::default()).unwrap();
        (handover::own_window_scale().unwrap(), dialer.connect(to).unwrap())
    });
    let wire = network.wait_for_tcp("the SYN", |wire| !wire.is_empty());
    assert_eq!(Syn::parse(&wire[0].bytes).unwrap().options.window_scale, Some(own));
}

/// Two SYNs that were never sent, as two peers would know them.
struct Pair {
    syn_a: Syn,
    syn_b: Syn,
}

impl Pair {
    fn new(
        network: &Network,
        version: Version,
        port: u16,
        (isn_a, offer_a): (u32, Offer),
        (isn_b, offer_b): (u32, Offer),
    ) -> Self {
        let a: SocketAddr = network.a.endpoint(version, port);
        let b: SocketAddr = network.b.endpoint(version, port);
        Self { syn_a: syn(a, b, isn_a, offer_a), syn_b: syn(b, a, isn_b, offer_b) }
    }

    /// The SYN-ACK that a broker sends to A.
    fn answer_to_a(&self) -> SynAck {
        SynAck::forge(&self.syn_b, &self.syn_a, self.syn_b.source, self.syn_a.source).unwrap()
    }

    fn answer_to_b(&self) -> SynAck {
        SynAck::forge(&self.syn_a, &self.syn_b, self.syn_a.source, self.syn_b.source).unwrap()
    }

    fn install(&self, network: &Network) -> [TcpStream; 2] {
        let at_a = Installation::from_handshake(&self.syn_a, &self.answer_to_a()).unwrap();
        let at_b = Installation::from_handshake(&self.syn_b, &self.answer_to_b()).unwrap();
        let a = network.a.run(move || install(&at_a).unwrap());
        let b = network.b.run(move || install(&at_b).unwrap());
        [blocking(a), blocking(b)]
    }
}

fn speak_and_answer(mut a: &TcpStream, mut b: &TcpStream) {
    let mut buffer = [0; 8];
    a.write_all(b"question").unwrap();
    b.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"question");
    b.write_all(b"answers.").unwrap();
    a.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"answers.");
}

/// A's data are the very first packet, and neither side ever probed the other's window. (A busy
/// machine may make a kernel send a segment twice; that proves nothing.)
fn check_journal(wire: &[Passed], port: u16, pair: &Pair) {
    let of_pair = |it: &&Passed| it.packet().tcp().is_some_and(|tcp| tcp.source_port == port);
    let wire: Vec<_> = wire.iter().filter(of_pair).collect();
    let lines: Vec<_> = wire.iter().map(|it| it.packet().to_string()).collect();
    let first = wire[0].packet();
    let segment = first.tcp().unwrap();
    assert_eq!(wire[0].from, From::A, "{lines:#?}");
    assert_eq!(segment.payload, b"question", "{lines:#?}");
    assert_eq!(segment.sequence, pair.syn_a.sequence + 1, "{lines:#?}");
    assert_eq!(segment.acknowledgment, pair.syn_b.sequence + 1, "{lines:#?}");
    check_clock(&first, pair);
    for (from, sequence) in [(From::A, pair.syn_a.sequence), (From::B, pair.syn_b.sequence)] {
        let sent: Vec<_> = wire.iter().filter(|it| it.from == from).collect();
        // A window probe carries a number that is acknowledged already: the SYN's own.
        let probes = |it: &&&Passed| it.packet().tcp().unwrap().sequence == sequence;
        assert!(!sent.iter().any(probes), "{lines:#?}");
    }
    assert!(wire.iter().all(|it| !flags(it).contains(TcpFlags::RST)), "{lines:#?}");
    assert!(wire.iter().all(|it| !flags(it).contains(TcpFlags::SYN)), "{lines:#?}");
}

/// RFC 7323 §5.3: a timestamp that went back behind the SYN's would be taken for an old packet.
fn check_clock(first: &Packet<'_>, pair: &Pair) {
    let options = SynOptions::parse(first.tcp().unwrap().options).unwrap();
    let sent = options.timestamps.map(|timestamps| timestamps.value);
    let agreed = pair.syn_b.options.timestamps.and(pair.syn_a.options.timestamps);
    assert_eq!(sent.is_some(), agreed.is_some());
    if let (Some(sent), Some(in_syn)) = (sent, agreed) {
        assert!(
            sent.wrapping_sub(in_syn.value) < 60_000,
            "the clock went from {in_syn:?} to {sent}"
        );
    }
}

fn check_agreement(stream: &TcpStream, own: Offer, peer: Offer) {
    let info = socket::tcp_info(stream).unwrap();
    assert_eq!(info.state, TcpState::Established);
    assert!(!info.has_microsecond_timestamps);
    let scales = own.window_scale.zip(peer.window_scale).unwrap_or_default();
    assert_eq!((info.receive_window_scale, info.send_window_scale), scales);
    assert_eq!(info.has_timestamps, own.timestamps.is_some() && peer.timestamps.is_some());
    assert_eq!(info.has_sack, own.sack && peer.sack);
}

fn flags(passed: &Passed) -> TcpFlags {
    passed.packet().tcp().map_or(TcpFlags(0), |tcp| tcp.flags)
}
