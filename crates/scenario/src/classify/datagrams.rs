//! What the box does with UDP and ICMP echo (RFC 4787, RFC 5508 §3).

use std::net::{IpAddr, SocketAddr};

use simopen_nat::{Filtering, IcmpEcho, PortParity, UdpHandling};
use simopen_packet::checksum::Checksum;
use simopen_packet::{Datagram, DatagramKind};

use super::axis::Axis;
use super::bench::Vantage;
use super::classification::Classification;
use super::lifetime::lifetime;
use super::mapping::{RIVALS, mapping};
use super::probe::Probe;
use super::reading::{NotSeen, Reading};

/// IANA's numbers of the protocols.
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The axes that only a box has which lets UDP pass.
const OF_UDP: [Axis; 4] =
    [Axis::UdpMapping, Axis::UdpFiltering, Axis::UdpLifetime, Axis::UdpPortParity];

/// Reads everything about UDP.
pub(super) fn udp(probe: &mut Probe<'_>, found: &mut Classification) {
    probe.restart();
    let inside = probe.inside(0, 4000);
    let opened = probe.remote(0, 0).and_then(|remote| open(probe, inside, remote));
    if opened.is_none() {
        found.is(Axis::Udp, UdpHandling::Blocked);
        for axis in OF_UDP {
            found.masked(axis, Axis::Udp);
        }
        return;
    }
    found.is(Axis::Udp, UdpHandling::Translated);
    found.note(Axis::UdpFiltering, filtering(probe));
    found.note(Axis::UdpLifetime, udp_lifetime(probe));
    if found.translates() {
        found.note(Axis::UdpMapping, mapping(probe, open));
        found.note(Axis::UdpPortParity, port_parity(probe));
    } else {
        found.masked(Axis::UdpMapping, Axis::Role);
        found.masked(Axis::UdpPortParity, Axis::Role);
    }
}

/// Reads whether an echo request goes out and its reply comes back.
pub(super) fn icmp_echo(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    probe.restart();
    let (inside, outside) = (probe.inside(0, 700), probe.outside(0, 0));
    let request = echo(DatagramKind::EchoRequest, inside.ip(), outside.ip(), 700);
    let arrivals = probe.send(Vantage::Inside(0), &request);
    let came = arrivals.iter().find_map(|arrival| {
        let packet = arrival.packet()?;
        let datagram = Datagram::of(&packet, &arrival.bytes)?;
        let is_it = datagram.kind == DatagramKind::EchoRequest && arrival.at == Vantage::Outside(0);
        is_it.then_some((packet.ip.source, datagram.source_port))
    });
    let Some((source, identifier)) = came else {
        let everywhere = Reading::is(simopen_nat::Egress::Everything);
        return if *found.reading(Axis::Egress) == everywhere {
            Reading::is(IcmpEcho::Blocked)
        } else {
            Reading::NotSeen(NotSeen::MaskedBy(Axis::Egress))
        };
    };
    let reply = echo(DatagramKind::EchoReply, outside.ip(), source, identifier);
    let comes_back = probe
        .send(Vantage::Outside(0), &reply)
        .iter()
        .any(|arrival| arrival.at == Vantage::Inside(0));
    Reading::is(if comes_back { IcmpEcho::Translated } else { IcmpEcho::Blocked })
}

/// Opens a UDP session and gives the outside endpoint of its inside end.
fn open(probe: &mut Probe<'_>, inside: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
    send(probe, inside, remote)
        .filter(|(at, _)| matches!(at, Vantage::Outside(_)))
        .map(|came| came.1)
}

/// Sends a datagram and gives where it came out, and its source there.
fn send(
    probe: &mut Probe<'_>,
    source: SocketAddr,
    destination: SocketAddr,
) -> Option<(Vantage, SocketAddr)> {
    let from = probe.vantage(source.ip())?;
    let arrivals = probe.send(from, &datagram(source, destination));
    arrivals.iter().find_map(|arrival| {
        let packet = arrival.packet()?;
        let datagram = Datagram::of(&packet, &arrival.bytes)?;
        (datagram.kind == DatagramKind::Udp)
            .then(|| (arrival.at, SocketAddr::new(packet.ip.source, datagram.source_port)))
    })
}

fn comes_in(probe: &mut Probe<'_>, from: SocketAddr, to: SocketAddr) -> bool {
    send(probe, from, to).is_some_and(|(at, _)| matches!(at, Vantage::Inside(_)))
}

fn filtering(probe: &mut Probe<'_>) -> Reading {
    let strangers = [probe.outside(0, 7777), probe.outside(1, 7777)];
    let [same_address, other_address] = strangers.map(|stranger| {
        probe.restart();
        let inside = probe.inside(0, 4000);
        let external = probe.remote(0, 0).and_then(|remote| open(probe, inside, remote));
        external.is_some_and(|external| comes_in(probe, stranger, external))
    });
    Reading::is(match (same_address, other_address) {
        (_, true) => Filtering::EndpointIndependent,
        (true, false) => Filtering::AddressDependent,
        (false, false) => Filtering::AddressAndPortDependent,
    })
}

fn udp_lifetime(probe: &mut Probe<'_>) -> Reading {
    lifetime(
        probe,
        |probe| {
            let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
            open(probe, inside, remote).map(|external| (external, remote))
        },
        |probe, (external, remote)| comes_in(probe, *remote, *external),
    )
}

/// Many hosts want the same ports, so that most must take others. Their parity follows no step.
fn port_parity(probe: &mut Probe<'_>) -> Reading {
    const PORTS: [u16; 4] = [4000, 4002, 4501, 4503];
    /// As many other ports of the same parity are no chance.
    const TELLING: usize = 10;
    probe.restart();
    let mut others = 0;
    for (host, port) in (0..=RIVALS).flat_map(|host| PORTS.map(|port| (host, port))) {
        let inside = probe.inside(host, port);
        let opened = probe.remote(0, 0).and_then(|remote| open(probe, inside, remote));
        let Some(external) = opened else { break };
        if external.port() % 2 != port % 2 {
            return Reading::is(PortParity::Ignored);
        }
        others += usize::from(external.port() != port);
    }
    if others < TELLING {
        return Reading::NotSeen(NotSeen::MaskedBy(Axis::LimitTotal));
    }
    Reading::is(PortParity::Kept)
}

/// A whole UDP packet of four bytes.
fn datagram(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut message = Vec::with_capacity(12);
    message.extend(source.port().to_be_bytes());
    message.extend(destination.port().to_be_bytes());
    message.extend([0, 12, 0, 0]);
    message.extend(*b"ping");
    let (source, destination) = (source.ip(), destination.ip());
    let sum = Checksum::of_pseudo_header(source, destination, UDP, message.len());
    let checksum = sum.with(&message).finish();
    message[6..8].copy_from_slice(&checksum);
    in_ip(source, destination, UDP, &message)
}

/// A whole ICMP echo message.
fn echo(kind: DatagramKind, source: IpAddr, destination: IpAddr, identifier: u16) -> Vec<u8> {
    let is_reply = kind == DatagramKind::EchoReply;
    let (protocol, kind) = match source {
        IpAddr::V4(_) => (ICMP, if is_reply { 0 } else { 8 }),
        IpAddr::V6(_) => (ICMPV6, if is_reply { 129 } else { 128 }),
    };
    let [high, low] = identifier.to_be_bytes();
    let mut message = [kind, 0, 0, 0, high, low, 0, 1];
    let sum = match source {
        IpAddr::V4(_) => Checksum::default(),
        IpAddr::V6(_) => Checksum::of_pseudo_header(source, destination, protocol, message.len()),
    };
    let checksum = sum.with(&message).finish();
    message[2..4].copy_from_slice(&checksum);
    in_ip(source, destination, protocol, &message)
}

/// A message with an IP header before it; empty if the families differ.
fn in_ip(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [high, low] = ((20 + message.len()) as u16).to_be_bytes();
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            let checksum = Checksum::default().with(&header).finish();
            header[10..12].copy_from_slice(&checksum);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = (message.len() as u16).to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, protocol, 64];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Vec::new(),
    };
    packet.extend(message);
    packet
}
