//! Checksums brought up to date word by word equal checksums computed anew.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};
use simopen_packet::{
    Datagram, DatagramKind, IcmpError, Packet, SeqNumber, TcpBuilder, TcpFlags, Transport, Ttl,
    error_quoting,
};

use crate::strategy::{builders, emitted, endpoint_like, v4, v6};

/// A segment, its payload, and two endpoints to rewrite it to.
fn rewritings() -> impl Strategy<Value = (TcpBuilder, Vec<u8>, SocketAddr, SocketAddr)> {
    (builders(), vec(any::<u8>(), 0..64)).prop_flat_map(|(header, payload)| {
        let to = endpoint_like(header.source);
        (Just(header), Just(payload), to.clone(), to)
    })
}

/// An error about the segment, from one router to the sender.
fn error_about(bytes: &[u8], from: SocketAddr, quoted_len: usize) -> Vec<u8> {
    let mut buffer = vec![0; 1280];
    let length = error_quoting(IcmpError::TimeExceeded, from.ip(), bytes, &mut buffer).unwrap();
    let headers = length - bytes.len();
    buffer.truncate(length);
    if quoted_len < bytes.len() {
        buffer.truncate(headers + quoted_len);
        resum_error(&mut buffer);
    }
    buffer
}

/// Fixes lengths and checksums of an ICMP error by computing them anew.
fn resum_error(bytes: &mut [u8]) {
    if bytes[0] >> 4 == 4 {
        let total_len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
        resum(bytes, 0..20, 10, 0);
        resum(bytes, 20..bytes.len(), 22, 0);
    } else {
        let payload_len = bytes.len() as u16 - 40;
        bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
        let pseudo_header = u64::from(payload_len) + 58;
        resum(bytes, 8..bytes.len(), 42, pseudo_header);
    }
}

/// The textbook checksum over a range, written at `at`.
fn resum(bytes: &mut [u8], range: std::ops::Range<usize>, at: usize, start: u64) {
    bytes[at..at + 2].fill(0);
    let mut sum: u64 = start;
    for word in bytes[range].chunks(2) {
        sum += u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

proptest! {
    #[test]
    fn a_rewritten_segment_equals_one_that_was_built_so(
        (header, payload, source, destination) in rewritings(),
        ttl: u8,
    ) {
        let mut bytes = emitted(&header, &[], &payload);
        let layout = Packet::parse(&bytes).unwrap().layout();

        prop_assert!(layout.set_source(&mut bytes, source));
        prop_assert!(layout.set_destination(&mut bytes, destination));
        prop_assert!(layout.set_ttl(&mut bytes, Ttl(ttl)));

        let built = TcpBuilder { source, destination, ttl: Ttl(ttl), ..header };
        prop_assert_eq!(bytes, emitted(&built, &[], &payload));
    }

    #[test]
    fn rewritten_addresses_of_a_segment_leave_its_ports(
        (header, payload, source, destination) in rewritings(),
    ) {
        let mut bytes = emitted(&header, &[], &payload);
        let layout = Packet::parse(&bytes).unwrap().layout();

        prop_assert!(layout.set_outer_source_addr(&mut bytes, source.ip()));
        prop_assert!(layout.set_outer_destination_addr(&mut bytes, destination.ip()));

        let built = TcpBuilder {
            source: SocketAddr::new(source.ip(), header.source.port()),
            destination: SocketAddr::new(destination.ip(), header.destination.port()),
            ..header
        };
        prop_assert_eq!(bytes, emitted(&built, &[], &payload));
    }

    #[test]
    fn a_hop_takes_one_off_and_stops_at_zero(header in builders()) {
        let mut bytes = emitted(&header, &[], &[]);
        let layout = Packet::parse(&bytes).unwrap().layout();

        let remaining = layout.decrement_ttl(&mut bytes);

        prop_assert_eq!(remaining, Ttl(header.ttl.0.saturating_sub(1)));
        prop_assert_eq!(bytes, emitted(&TcpBuilder { ttl: remaining, ..header }, &[], &[]));
    }

    #[test]
    fn a_rewritten_quote_equals_an_error_about_the_rewritten_segment(
        (header, payload, source, destination) in rewritings(),
        words in 0..20_usize,
    ) {
        let router = if header.source.is_ipv4() { v4(9, 0) } else { v6(9, 0) };
        let ip_len = if header.source.is_ipv4() { 20 } else { 40 };
        let original = emitted(&header, &[], &payload);
        let quoted_len = (ip_len + 8 + words * 2).min(original.len());
        let mut bytes = error_about(&original, router, quoted_len);
        let layout = Packet::parse(&bytes).unwrap().layout();

        prop_assert!(layout.set_quoted_source(&mut bytes, source));
        prop_assert!(layout.set_quoted_destination(&mut bytes, destination));

        let rewritten = emitted(&TcpBuilder { source, destination, ..header }, &[], &payload);
        let start = bytes.len() - quoted_len;
        prop_assert_eq!(&bytes[start..], &rewritten[..quoted_len]);
        prop_assert_eq!(Packet::verify_checksums(&bytes), Ok(()));
    }

    #[test]
    fn rewritten_addresses_of_an_error_keep_its_checksum_right(
        (header, payload, source, destination) in rewritings(),
    ) {
        let router = if header.source.is_ipv4() { v4(9, 0) } else { v6(9, 0) };
        let original = emitted(&header, &[], &payload);
        let mut bytes = error_about(&original, router, original.len());
        let layout = Packet::parse(&bytes).unwrap().layout();

        prop_assert!(layout.set_outer_source_addr(&mut bytes, source.ip()));
        prop_assert!(layout.set_outer_destination_addr(&mut bytes, destination.ip()));

        let packet = Packet::parse(&bytes).unwrap();
        prop_assert_eq!((packet.ip.source, packet.ip.destination), (source.ip(), destination.ip()));
        let mut anew = bytes.clone();
        resum_error(&mut anew);
        prop_assert_eq!(bytes, anew);
    }

    #[test]
    fn a_checksum_that_was_wrong_stays_wrong((header, payload, source, _) in rewritings()) {
        let mut bytes = emitted(&header, &[], &payload);
        let layout = Packet::parse(&bytes).unwrap().layout();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;

        prop_assert!(layout.set_source(&mut bytes, source));

        prop_assert!(Packet::verify_checksums(&bytes).is_err());
    }
}

fn segment(source: SocketAddr, destination: SocketAddr) -> TcpBuilder {
    TcpBuilder {
        source,
        destination,
        ttl: Ttl(64),
        sequence: SeqNumber(1),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::SYN,
        window: 1000,
    }
}

#[test]
fn an_endpoint_of_the_other_family_changes_nothing() {
    for (header, other) in
        [(segment(v4(1, 1), v4(2, 2)), v6(3, 3)), (segment(v6(1, 1), v6(2, 2)), v4(3, 3))]
    {
        let before = emitted(&header, &[], &[]);
        let mut bytes = before.clone();
        let layout = Packet::parse(&bytes).unwrap().layout();

        assert!(!layout.set_source(&mut bytes, other));
        assert!(!layout.set_destination(&mut bytes, other));
        assert!(!layout.set_outer_source_addr(&mut bytes, other.ip()));
        assert!(!layout.set_outer_destination_addr(&mut bytes, other.ip()));
        assert_eq!(bytes, before);

        let router = if header.source.is_ipv4() { v4(9, 0) } else { v6(9, 0) };
        let error = error_about(&before, router, before.len());
        let mut bytes = error.clone();
        let layout = Packet::parse(&bytes).unwrap().layout();

        assert!(!layout.set_quoted_source(&mut bytes, other));
        assert!(!layout.set_quoted_destination(&mut bytes, other));
        assert_eq!(bytes, error);
    }
}

#[test]
fn a_segment_has_no_quote_and_an_error_no_endpoint_of_its_own() {
    let segment = emitted(&segment(v4(1, 1), v4(2, 2)), &[], &[]);
    let error = error_about(&segment, v4(9, 0), segment.len());
    let of_segment = Packet::parse(&segment).unwrap().layout();
    let of_error = Packet::parse(&error).unwrap().layout();

    assert!(!of_segment.set_quoted_source(&mut segment.clone(), v4(3, 3)));
    assert!(!of_error.set_source(&mut error.clone(), v4(3, 3)));
}

#[test]
fn other_protocols_and_fragments_are_left_alone() {
    let mut datagram = emitted(&segment(v4(1, 1), v4(2, 2)), &[], &[]);
    datagram[9] = 17;
    let mut fragment = emitted(&segment(v4(1, 1), v4(2, 2)), &[], &[]);
    fragment[6] = 0x20;

    for (bytes, transport) in [(datagram, Transport::Other), (fragment, Transport::Fragment)] {
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.transport, transport);
        let layout = packet.layout();
        let mut rewritten = bytes.clone();

        assert!(!layout.set_source(&mut rewritten, v4(3, 3)));
        assert!(!layout.set_outer_source_addr(&mut rewritten, v4(3, 3).ip()));
        assert_eq!(rewritten, bytes);
    }
}

#[test]
fn bytes_shorter_than_those_that_were_parsed_are_left_alone() {
    let segment = emitted(&segment(v4(1, 1), v4(2, 2)), &[], &[]);
    let error = error_about(&segment, v4(9, 0), segment.len());
    let of_segment = Packet::parse(&segment).unwrap().layout();
    let of_error = Packet::parse(&error).unwrap().layout();

    for length in 0..40 {
        let mut short = segment[..length].to_vec();
        assert!(!of_segment.set_source(&mut short, v4(3, 3)));
        assert_eq!(short, segment[..length]);
    }
    for length in 0..56 {
        let mut short = error[..length].to_vec();
        assert!(!of_error.set_quoted_source(&mut short, v4(3, 3)));
        assert_eq!(short, error[..length]);
    }
}

#[test]
fn bytes_behind_a_short_quote_are_no_part_of_it() {
    let segment = emitted(&segment(v4(1, 1), v4(2, 2)), &[], &[]);
    let short = error_about(&segment, v4(9, 0), 28);
    let padded = [&short[..], &[0xff; 20]].concat();
    let layout = Packet::parse(&padded).unwrap().layout();
    let mut bytes = padded.clone();

    assert!(layout.set_quoted_source(&mut bytes, v4(3, 3)));

    assert_eq!(bytes[56..], [0xff; 20]);
    assert_eq!(Packet::verify_checksums(&bytes), Ok(()));
}

#[test]
fn a_layout_reads_addresses_and_ttl_as_they_are_after_rewriting() {
    for (header, to) in
        [(segment(v4(1, 1), v4(2, 2)), v4(3, 3)), (segment(v6(1, 1), v6(2, 2)), v6(3, 3))]
    {
        let mut bytes = emitted(&header, &[], &[]);
        let layout = Packet::parse(&bytes).unwrap().layout();

        layout.set_source(&mut bytes, to);
        layout.set_ttl(&mut bytes, Ttl(9));

        assert_eq!(layout.source_addr(&bytes), Some(to.ip()));
        assert_eq!(layout.destination_addr(&bytes), Some(header.destination.ip()));
        assert_eq!(layout.ttl(&bytes), Ttl(9));
        assert_eq!(layout.source_addr(&bytes[..8]), None);
    }
}

/// A UDP datagram, or an ICMP echo request with the source port as its identifier.
fn datagram(kind: DatagramKind, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let header = TcpBuilder {
        source,
        destination,
        ttl: Ttl(9),
        sequence: SeqNumber(0),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::ACK,
        window: 0,
    };
    let mut bytes = vec![0; 128];
    let length = header.emit(&[], &[], &mut bytes).unwrap();
    bytes.truncate(length);
    let start = length - 20;
    let is_v4 = source.is_ipv4();
    let (protocol, checksum_at) = match (kind, is_v4) {
        (DatagramKind::Udp, _) => (17, start + 6),
        (DatagramKind::EchoRequest | DatagramKind::EchoReply, true) => (1, start + 2),
        (DatagramKind::EchoRequest | DatagramKind::EchoReply, false) => (58, start + 2),
    };
    if protocol != 17 {
        bytes[start] = if is_v4 { 8 } else { 128 };
        bytes[start + 1] = 0;
        bytes[start + 4..start + 6].copy_from_slice(&source.port().to_be_bytes());
    }
    // What was the checksum of TCP is data now.
    bytes[start + 16..start + 18].fill(0);
    bytes[if is_v4 { 9 } else { 6 }] = protocol;
    if is_v4 {
        resum(&mut bytes, 0..20, 10, 0);
    }
    resum_datagram(&mut bytes, start, protocol, checksum_at);
    bytes
}

fn resum_datagram(bytes: &mut [u8], start: usize, protocol: u8, checksum_at: usize) {
    let pseudo_header: u64 = match (protocol, start) {
        (1, _) => 0,
        (_, 20) => {
            bytes[12..20].chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word[1])).sum()
        }
        _ => bytes[8..40].chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word[1])).sum(),
    };
    let length = (bytes.len() - start) as u64;
    let rest = if protocol == 1 { 0 } else { length + u64::from(protocol) };
    resum(bytes, start..start + length as usize, checksum_at, pseudo_header + rest);
    if protocol == 17 && bytes[checksum_at..checksum_at + 2] == [0, 0] {
        bytes[checksum_at..checksum_at + 2].fill(0xff);
    }
}

proptest! {
    #[test]
    fn a_rewritten_datagram_equals_one_made_for_its_new_ends(
        (header, _, source, destination) in rewritings(), kind in 0u8..2
    ) {
        let kind = if kind == 0 { DatagramKind::Udp } else { DatagramKind::EchoRequest };
        let mut bytes = datagram(kind, header.source, header.destination);
        let packet = Packet::parse(&bytes).unwrap();
        let read = Datagram::of(&packet, &bytes).unwrap();
        prop_assert_eq!((read.kind, read.source_port), (kind, header.source.port()));
        let layout = packet.layout();

        prop_assert!(layout.set_datagram_destination(&mut bytes, destination));
        prop_assert!(layout.set_datagram_source(&mut bytes, source));

        prop_assert_eq!(bytes, datagram(kind, source, destination));
    }

    #[test]
    fn an_edited_segment_equals_one_made_with_its_new_numbers_and_options(
        header in builders(), sequence in any::<u32>(), acknowledgment in any::<u32>(), mss in any::<u16>()
    ) {
        let with = |header: &TcpBuilder, mss: u16| {
            let [high, low] = mss.to_be_bytes();
            let mut bytes = vec![0; 128];
            let options = [1, 2, 4, high, low, 1, 0, 0];
            let length = header.emit(&options, b"payload", &mut bytes).unwrap();
            bytes.truncate(length);
            bytes
        };
        let mut bytes = with(&header, 1460);
        let layout = Packet::parse(&bytes).unwrap().layout();
        let mut seen = 0;

        let is_edited = layout.edit_segment(&mut bytes, |segment| {
            segment.sequence = SeqNumber(sequence);
            segment.acknowledgment = SeqNumber(acknowledgment);
            segment.for_each_option(|option| {
                seen += 1;
                option[2..].copy_from_slice(&mss.to_be_bytes());
            });
        });

        prop_assert!(is_edited);
        prop_assert_eq!(seen, 1);
        let (sequence, acknowledgment) = (SeqNumber(sequence), SeqNumber(acknowledgment));
        prop_assert_eq!(bytes, with(&TcpBuilder { sequence, acknowledgment, ..header }, mss));
    }

    #[test]
    fn a_shifted_quote_equals_one_of_a_segment_with_that_number(
        header in builders(), by in any::<u32>(), quoted_len in 28usize..80
    ) {
        let shifted = TcpBuilder { sequence: header.sequence + by, ..header };
        // At least the ports are quoted, and never half of a checksum.
        let least = if header.source.is_ipv4() { 28 } else { 48 };
        let quoted_len = quoted_len.max(least) / 2 * 2;
        let [original, expected] = [header, shifted].map(|header| {
            error_about(&emitted(&header, &[], &[7; 30]), header.destination, quoted_len)
        });
        let mut bytes = original;
        let layout = Packet::parse(&bytes).unwrap().layout();

        prop_assert!(layout.shift_quoted_sequence(&mut bytes, by));

        Packet::verify_checksums(&bytes).unwrap();
        prop_assert_eq!(Packet::parse(&bytes).unwrap(), Packet::parse(&expected).unwrap());
    }
}
