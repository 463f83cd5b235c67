//! TUN devices, namespaces and what the kernel tells of its sockets.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use nix::poll::PollFlags;
use simopen_device::DeviceError;
use simopen_device::capability::Capabilities;
use simopen_device::interface::Interface;
use simopen_device::namespace::{self, Namespace};
use simopen_device::socket::{self, DialOptions, TcpState};
use simopen_device::tun::{Tun, TunConfig};
use simopen_packet::{Packet, SeqNumber, Syn, Ttl};

use crate::support::{Network, TWO_HOSTS, VERSIONS, blocking, exchange, requires, wait};
use std::os::fd::AsFd;

#[test]
fn a_tun_device_shows_what_its_namespace_sends_and_hands_in_what_is_written() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        let (at_a, at_b) = (network.a.endpoint(version, 7000), network.b.endpoint(version, 7000));
        let sender = network.a.run(move || UdpSocket::bind(at_a).unwrap());
        let receiver = network.b.run(move || UdpSocket::bind(at_b).unwrap());
        sender.send_to(b"over the wire", at_b).unwrap();
        wait(receiver.as_fd(), PollFlags::POLLIN);
        let mut buffer = [0; 64];
        let (length, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"over the wire"[..], at_a));
    }
}

#[test]
fn a_full_queue_is_counted_packet_by_packet_from_a_thread_outside() {
    if !requires(TWO_HOSTS) {
        return;
    }
    const SENT: u64 = 100;
    let config = TunConfig { queue_len: 10, ..TunConfig::named("tun0") };
    let thread = Namespace::spawn("host", move || {
        let tun = Tun::open(&config).unwrap();
        tun.interface().add_address(IpAddr::from([10, 0, 0, 1]), 24).unwrap();
        tun.interface().set_up().unwrap();
        let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
        for _ in 0..SENT {
            // A full queue may be reported to the sender, too.
            let _ = socket.send_to(b"x", "10.0.0.2:9");
        }
        tun
    });
    let tun = thread.unwrap().join().unwrap();
    let mut buffer = [0; 2048];
    let mut read = 0;
    while let Ok(length) = tun.read(&mut buffer) {
        let packet = Packet::parse(&buffer[..length]).unwrap();
        read += u64::from(packet.ip.destination == IpAddr::from([10, 0, 0, 2]));
    }
    assert!(read < SENT, "a queue of 10 held {read}");
    assert_eq!(read + tun.dropped().unwrap(), SENT);
}

#[test]
fn a_quiet_interface_sends_nothing_of_its_own() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let thread = Namespace::spawn("host", || {
        let tun = Tun::open(&TunConfig::named("quiet")).unwrap();
        tun.interface().add_address("fd00::1".parse().unwrap(), 128).unwrap();
        tun.interface().set_up().unwrap();
        let socket = UdpSocket::bind("[fd00::1]:0").unwrap();
        tun.interface().add_default_route_v6().unwrap();
        socket.send_to(b"first", "[fd00::2]:9").unwrap();
        let mut buffer = [0; 2048];
        let length = tun.read(&mut buffer).unwrap();
        Packet::parse(&buffer[..length]).unwrap().ip.destination
    });
    let first: IpAddr = "fd00::2".parse().unwrap();
    assert_eq!(thread.unwrap().join().unwrap(), first);
}

#[test]
fn an_ipv6_address_takes_packets_as_soon_as_it_is_said_to_be_there() {
    if !requires(TWO_HOSTS) {
        return;
    }
    // The kernel is late now and then only, and mostly on a busy machine.
    for _ in 0..50 {
        let thread = Namespace::spawn("host", || {
            let tun = Tun::open(&TunConfig::named("tun0")).unwrap();
            let interface = tun.interface();
            interface.add_address("fd00::1".parse().unwrap(), 128).unwrap();
            interface.set_up().unwrap();
            interface.add_address("fd00::2".parse().unwrap(), 128).unwrap();
            ["fd00::1", "fd00::2"].map(|address| {
                let socket = UdpSocket::bind((address, 9)).unwrap();
                socket.send_to(b"x", (address, 9)).is_ok()
            })
        });
        assert_eq!(thread.unwrap().join().unwrap(), [true, true]);
    }
}

#[test]
fn a_flushed_interface_has_no_route_left() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let thread = Namespace::spawn("host", || {
        let tun = Tun::open(&TunConfig::named("tun0")).unwrap();
        let interface = Interface::find("tun0").unwrap();
        interface.add_address("10.0.0.1".parse().unwrap(), 24).unwrap();
        interface.add_address("fd00::1".parse().unwrap(), 64).unwrap();
        interface.set_up().unwrap();
        let before = ["10.0.0.1:0", "[fd00::1]:0"].map(|local| UdpSocket::bind(local).is_ok());
        interface.flush_addresses().unwrap();
        let after = ["10.0.0.1:0", "[fd00::1]:0"].map(|local| UdpSocket::bind(local).is_ok());
        drop(tun);
        (before, after)
    });
    assert_eq!(thread.unwrap().join().unwrap(), ([true, true], [false, false]));
}

#[test]
fn each_namespace_thread_has_a_namespace_of_its_own_with_loopback_up() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let here = namespace::current_id().unwrap();
    let thread = Namespace::spawn("host", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        namespace::current_id().unwrap()
    });
    let thread = thread.unwrap();
    let there = thread.namespace_id();
    assert_ne!(there, here);
    assert_eq!(thread.join().unwrap(), there);
}

#[test]
fn a_panic_in_a_namespace_thread_comes_back_as_an_error_with_its_message() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let thread = Namespace::spawn("doomed", || -> () { panic!("on purpose") }).unwrap();
    let DeviceError::Panicked { thread, message } = thread.join().unwrap_err() else {
        panic!("not reported as a panic")
    };
    assert_eq!((thread.as_str(), message.as_str()), ("doomed", "on purpose"));
}

#[test]
fn a_device_name_that_is_taken_is_an_error_that_says_so() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let thread = Namespace::spawn("host", || {
        let _first = Tun::open(&TunConfig::named("tun0")).unwrap();
        Tun::open(&TunConfig::named("tun0")).unwrap_err().to_string()
    });
    let message = thread.unwrap().join().unwrap();
    assert!(message.contains("tun0") && message.contains("another name"), "{message}");
}

#[test]
fn every_missing_capability_comes_with_a_remedy() {
    for requirement in Capabilities::probe().requirements() {
        if let Err(missing) = &requirement.state {
            assert!(!missing.remedy.is_empty() && !missing.reason.is_empty(), "{requirement}");
        }
    }
}

#[test]
fn the_saved_syn_is_the_syn_that_was_on_the_wire() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let (dialled, accepted) = connect(&network, from, to, DialOptions::default());
        let saved = socket::saved_syn(&accepted).unwrap().unwrap();
        let wire = network.tcp();
        let sent: Vec<_> = wire.iter().filter_map(|it| Syn::parse(&it.bytes).ok()).collect();
        assert!(sent.contains(&saved), "{saved:?} is none of {sent:?}");
        assert_ne!(saved.sequence, SeqNumber(0));
        assert!(socket::saved_syn(&dialled).unwrap().is_none(), "a dialler has no saved SYN");
    }
}

#[test]
fn a_dialler_sends_with_the_ttl_that_it_was_given_and_its_state_is_told() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    for version in VERSIONS {
        let (from, to) = (network.a.endpoint(version, 4000), network.b.endpoint(version, 5000));
        let options = DialOptions {
            ttl: Some(Ttl(7)),
            congestion_control: Some("cubic".to_owned()),
            ..DialOptions::default()
        };
        let (dialled, accepted) = connect(&network, from, to, options);
        let wire = network.tcp();
        let sent = wire.iter().find(|it| it.packet().source_endpoint() == Some(from)).unwrap();
        assert_eq!(sent.packet().ip.ttl, Ttl(7));
        let info = socket::tcp_info(&dialled).unwrap();
        assert_eq!(info.state, TcpState::Established);
        assert!(!info.rtt.is_zero() && info.has_timestamps && info.has_window_scale);
        exchange(&dialled, &accepted, 1 << 16);
    }
}

#[test]
fn a_dial_to_a_closed_port_leaves_its_error_to_be_taken() {
    if !requires(TWO_HOSTS) {
        return;
    }
    let network = Network::new();
    let (from, to) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:5000".parse().unwrap());
    let stream = network.a.run(move || {
        socket::bind_dialer(from, &DialOptions::default()).unwrap().connect(to).unwrap()
    });
    wait(stream.as_fd(), PollFlags::POLLOUT);
    let error = socket::take_error(&stream).unwrap().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

fn connect(
    network: &Network,
    from: SocketAddr,
    to: SocketAddr,
    options: DialOptions,
) -> (TcpStream, TcpStream) {
    let listener = network.b.run(move || socket::listener_saving_syn(to).unwrap());
    let dialled =
        network.a.run(move || socket::bind_dialer(from, &options).unwrap().connect(to).unwrap());
    wait(listener.as_fd(), PollFlags::POLLIN);
    let (accepted, _) = listener.accept().unwrap();
    wait(dialled.as_fd(), PollFlags::POLLOUT);
    (blocking(dialled), blocking(accepted))
}
