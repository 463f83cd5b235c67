//! The capture that stands in the way: the kernel's own SYN with a low TTL, and no ICMP error
//! that kills its socket.

use std::os::fd::AsFd;

use std::thread;

use nix::poll::PollFlags;
use simopen_device::capture::{
    Direction, PacketSocketCapture, SynCapture, TunRouteCapture, TunRouteConfig,
};
use simopen_device::filter::{Scope, Selection};
use simopen_device::raw::RawSender;
use simopen_device::socket::{self, DialOptions};
use simopen_packet::{IcmpError, MAX_SYN_LEN, Packet, Syn, SynAck, Ttl, error_quoting};

use crate::support::{
    Action, From, Network, Offer, Policy, TWO_HOSTS, VERSIONS, Version, blocking, exchange,
    next_packet, requires, syn, wait,
};

#[test]
fn the_kernels_syn_leaves_with_the_real_source_and_a_low_ttl_and_survives_time_exceeded() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::with_policy(syns_die_on_the_way());
        let config = config(&network, version);
        let (local, remote) = (config.local, config.remote);
        let mut capture = network.a.run(move || TunRouteCapture::open(config).unwrap());
        let from = capture.dialling_endpoint();
        let dial = network.a.run(move || {
            let dialer = socket::bind_dialer(from, &DialOptions::default()).unwrap();
            dialer.connect(remote).unwrap()
        });
        let (captured, bytes) = next_packet(&mut capture);
        let seen = Syn::parse(&bytes).unwrap();
        assert_eq!(captured.direction, Direction::Outgoing);
        assert_eq!((seen.source, seen.destination, seen.ttl), (local, remote, Ttl(2)));
        let wire = network.wait_for_tcp("the SYN", |wire| !wire.is_empty());
        assert_eq!(Syn::parse(&wire[0].bytes).unwrap(), seen);
        Packet::verify_checksums(&wire[0].bytes).unwrap();

        // The kernel sends it again, and the death of each SYN is told to A before this forged
        // answer.
        let forwarding = keep_forwarding(capture);
        let wire = network.wait_for_tcp("a second SYN", |wire| wire.len() > 1);
        assert_eq!(wire[1].packet().ip.ttl, Ttl(2));
        answer_as(&network, remote, &seen);
        wait(dial.as_fd(), PollFlags::POLLOUT);
        assert!(socket::take_error(&dial).unwrap().is_none(), "the dial died");
        assert_eq!(dial.peer_addr().unwrap(), remote);
        drop(forwarding);
    }
}

#[test]
fn without_the_tun_route_time_exceeded_kills_the_same_dial() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::with_policy(syns_die_on_the_way());
        let (local, remote) =
            (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let dial = network.a.run(move || {
            let dialer = socket::bind_dialer(local, &DialOptions::default()).unwrap();
            dialer.connect(remote).unwrap()
        });
        wait(dial.as_fd(), PollFlags::POLLOUT);
        let error = socket::take_error(&dial).unwrap().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH));
    }
}

#[test]
fn a_connection_through_the_tun_route_carries_bytes_both_ways_and_draws_no_reset() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::new();
        let mut config = config(&network, version);
        config.syn_ttl = None;
        let (local, remote) = (config.local, config.remote);
        let listener = network.b.run(move || socket::listener_saving_syn(remote).unwrap());
        let capture = network.a.run(move || TunRouteCapture::open(config).unwrap());
        let from = capture.dialling_endpoint();
        let forwarding = keep_forwarding(capture);
        let dial = network.a.run(move || {
            let dialer = socket::bind_dialer(from, &DialOptions::default()).unwrap();
            dialer.connect(remote).unwrap()
        });
        wait(dial.as_fd(), PollFlags::POLLOUT);
        assert!(socket::take_error(&dial).unwrap().is_none(), "the dial died");
        wait(listener.as_fd(), PollFlags::POLLIN);
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer, local);
        exchange(&blocking(dial), &blocking(accepted), 1 << 20);
        let reset = simopen_packet::TcpFlags::RST;
        assert!(network.tcp().iter().all(|it| !it.packet().tcp().unwrap().flags.contains(reset)));
        drop(forwarding);
    }
}

#[test]
fn both_captures_see_the_same_syn() {
    if !requires(TWO_HOSTS) {
        return;
    }
    for version in VERSIONS {
        let network = Network::with_policy(Box::new(|_, _| Action::Drop));
        let config = config(&network, version);
        let remote = config.remote;
        let (mut onlooker, mut capture) = network.a.run(move || {
            let selection =
                Selection { local_port: 4000, remote: Some(remote), scope: Scope::OwnSyns };
            let interface = simopen_device::interface::Interface::find("tun0").unwrap();
            let onlooker = PacketSocketCapture::open(&selection, Some(&interface)).unwrap();
            (onlooker, TunRouteCapture::open(config).unwrap())
        });
        let from = capture.dialling_endpoint();
        let _dial = network.a.run(move || {
            let dialer = socket::bind_dialer(from, &DialOptions::default()).unwrap();
            dialer.connect(remote).unwrap()
        });
        let (_, in_the_way) = next_packet(&mut capture);
        let (_, looking_on) = next_packet(&mut onlooker);
        assert_eq!(Syn::parse(&in_the_way).unwrap(), Syn::parse(&looking_on).unwrap());
    }
}

#[test]
fn the_route_goes_with_the_capture_and_other_flows_were_never_touched() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let config = config(&network, Version::V4);
    let remote = config.remote;
    let listener = network.b.run(move || socket::listener_saving_syn(remote).unwrap());
    let other = network.a.endpoint(Version::V4, 4999);
    for _ in 0..2 {
        let config = config.clone();
        let (capture, stream) = network.a.run(move || {
            let capture = TunRouteCapture::open(config).unwrap();
            let dialer = socket::bind_dialer(other, &DialOptions::default()).unwrap();
            (capture, dialer.connect(remote).unwrap())
        });
        wait(listener.as_fd(), PollFlags::POLLIN);
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer, other);
        exchange(&blocking(stream), &blocking(accepted), 1 << 12);
        assert_eq!(capture.stats().forwarded_out, 0);
    }
}

/// A thread that forwards until this value is dropped.
struct Forwarding {
    stop: Option<std::os::unix::net::UnixStream>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep_forwarding(mut capture: TunRouteCapture) -> Forwarding {
    let (stop, stopped) = std::os::unix::net::UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let mut buffer = vec![0; 2048];
        loop {
            while capture.poll_packet(&mut buffer).unwrap().is_some() {}
            let readable = PollFlags::POLLIN;
            let mut fds = [
                nix::poll::PollFd::new(capture.as_fd(), readable),
                nix::poll::PollFd::new(stopped.as_fd(), readable),
            ];
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
            if fds[1].any().unwrap_or(true) {
                return;
            }
        }
    });
    Forwarding { stop: Some(stop), thread: Some(thread) }
}

fn config(network: &Network, version: Version) -> TunRouteConfig {
    TunRouteConfig {
        tun: "standin".to_owned(),
        interface: "tun0".to_owned(),
        local: network.a.endpoint(version, 4000),
        remote: network.b.endpoint(version, 5000),
        stand_in: match version {
            Version::V4 => "198.18.0.1".parse().unwrap(),
            Version::V6 => "2001:2::1".parse().unwrap(),
        },
        table: 4000,
        mtu: 1500,
        syn_ttl: Some(Ttl(2)),
        scope: Scope::OwnSyns,
    }
}

/// Every SYN of A dies at a router, which says so; nothing else of A gets through either.
fn syns_die_on_the_way() -> Policy {
    Box::new(|from, bytes| {
        if from == From::B {
            return Action::Deliver;
        }
        let packet = Packet::parse(bytes).unwrap();
        if !packet.tcp().is_some_and(|tcp| tcp.flags.is_bare_syn()) {
            return Action::Drop;
        }
        let router = match packet.ip.source {
            std::net::IpAddr::V4(_) => "192.0.2.1".parse().unwrap(),
            std::net::IpAddr::V6(_) => "2001:db8::1".parse().unwrap(),
        };
        let mut buffer = vec![0; 1500];
        let length = error_quoting(IcmpError::TimeExceeded, router, bytes, &mut buffer).unwrap();
        buffer.truncate(length);
        Action::Answer(buffer)
    })
}

/// Sends from B what a broker would: the SYN-ACK of a B that was never asked.
fn answer_as(network: &Network, source: std::net::SocketAddr, seen: &Syn) {
    let offer = Offer { window_scale: Some(7), timestamps: Some(2), sack: true };
    let other = syn(source, seen.source, 0x8888_0000, offer);
    let answer = SynAck::forge(&other, seen, source, seen.source).unwrap();
    network.b.run(move || {
        let mut buffer = [0; MAX_SYN_LEN];
        let length = answer.emit(&mut buffer).unwrap();
        RawSender::for_endpoint(source).unwrap().send(&buffer[..length]).unwrap();
    });
}
