//! ICMP errors: whom they answer, what they quote, and what is read out of them.

use simopen_packet::{
    IcmpError, IcmpKind, Packet, SeqNumber, TcpBuilder, TcpFlags, Transport, Ttl, error_quoting,
};

use crate::strategy::{emitted, v4, v6};

const ERRORS: [IcmpError; 4] = [
    IcmpError::TimeExceeded,
    IcmpError::PortUnreachable,
    IcmpError::HostUnreachable,
    IcmpError::AdminProhibited,
];

fn segment_v4() -> TcpBuilder {
    TcpBuilder {
        source: v4(1, 4000),
        destination: v4(2, 5000),
        ttl: Ttl(1),
        sequence: SeqNumber(123),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::SYN,
        window: 1000,
    }
}

fn segment_v6() -> TcpBuilder {
    TcpBuilder { source: v6(1, 4000), destination: v6(2, 5000), ..segment_v4() }
}

/// The IPv4 segment as a fragment with this field of flags and offset; its checksum is not fixed.
fn fragment_v4(field: u16) -> Vec<u8> {
    let mut bytes = emitted(&segment_v4(), &[], &[7; 40]);
    bytes[6..8].copy_from_slice(&field.to_be_bytes());
    bytes
}

/// The IPv6 segment behind a fragment header with this field of offset and flags.
fn fragment_v6(field: u16) -> Vec<u8> {
    let mut bytes = emitted(&segment_v6(), &[], &[7; 40]);
    let [high, low] = field.to_be_bytes();
    bytes.splice(40..40, [bytes[6], 0, high, low, 0, 0, 0, 1]);
    bytes[6] = 44;
    let payload_len = (bytes.len() - 40) as u16;
    bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
    bytes
}

fn answered(bytes: &[u8]) -> bool {
    let from = if bytes[0] >> 4 == 4 { v4(9, 0) } else { v6(9, 0) };
    error_quoting(IcmpError::TimeExceeded, from.ip(), bytes, &mut [0; 1280]).is_some()
}

#[test]
fn each_error_quotes_the_segment_it_is_about_in_both_families() {
    for (segment, from) in [(segment_v4(), v4(9, 0)), (segment_v6(), v6(9, 0))] {
        let offending = emitted(&segment, &[], b"data");
        for error in ERRORS {
            let mut buffer = [0; 1280];
            let length = error_quoting(error, from.ip(), &offending, &mut buffer).unwrap();
            let packet = Packet::parse(&buffer[..length]).unwrap();
            let Transport::Icmp(message) = packet.transport else {
                panic!("no ICMP: {packet}");
            };
            let quoted = message.quoted.unwrap();

            assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
            assert_eq!(packet.ip.source, from.ip());
            assert_eq!(packet.ip.destination, segment.source.ip());
            assert_eq!(message.kind, IcmpKind::Error(error));
            assert_eq!((quoted.source, quoted.destination), (segment.source, segment.destination));
            assert_eq!(quoted.sequence, Some(segment.sequence));
            assert_eq!(quoted.ttl, segment.ttl);
            assert_eq!(quoted.bytes, offending);
        }
    }
}

#[test]
fn a_long_packet_is_quoted_as_far_as_the_error_may_reach() {
    let mut buffer = [0; 2000];
    let long_v4 = emitted(&segment_v4(), &[], &[7; 1400]);
    let long_v6 = emitted(&segment_v6(), &[], &[7; 1400]);

    let of_v4 = error_quoting(IcmpError::TimeExceeded, v4(9, 0).ip(), &long_v4, &mut buffer);
    let of_v6 = error_quoting(IcmpError::TimeExceeded, v6(9, 0).ip(), &long_v6, &mut buffer);

    assert_eq!((of_v4, of_v6), (Some(576), Some(1280)));
}

#[test]
fn an_error_is_never_answered_by_an_error() {
    for (segment, from) in [(segment_v4(), v4(9, 0)), (segment_v6(), v6(9, 0))] {
        let offending = emitted(&segment, &[], &[]);
        let mut buffer = [0; 1280];
        let length =
            error_quoting(IcmpError::TimeExceeded, from.ip(), &offending, &mut buffer).unwrap();

        assert!(!answered(&buffer[..length]));
    }
}

#[test]
fn an_echo_request_is_answered_by_an_error() {
    let offending = emitted(&segment_v4(), &[], &[]);
    let mut buffer = [0; 1280];
    let length =
        error_quoting(IcmpError::TimeExceeded, v4(9, 0).ip(), &offending, &mut buffer).unwrap();
    buffer[20] = 8;

    assert!(answered(&buffer[..length]));
}

#[test]
fn only_the_first_fragment_is_answered_by_an_error() {
    assert!(answered(&fragment_v4(0x2000)), "first of more");
    assert!(!answered(&fragment_v4(0x2001)), "middle");
    assert!(!answered(&fragment_v4(0x0001)), "last");
    assert!(answered(&fragment_v6(0x0001)), "first of more");
    assert!(!answered(&fragment_v6(0x0009)), "middle");
    assert!(!answered(&fragment_v6(0x0008)), "last");
}

#[test]
fn every_fragment_is_told_as_a_fragment_and_an_atomic_one_is_none() {
    for bytes in [fragment_v4(0x2000), fragment_v4(0x0001), fragment_v6(0x0008)] {
        assert_eq!(Packet::parse(&bytes).unwrap().transport, Transport::Fragment);
    }
    let atomic = fragment_v6(0);
    let packet = Packet::parse(&atomic).unwrap();

    assert_eq!(packet.ip.header_len, 48);
    assert_eq!(packet.source_endpoint(), Some(v6(1, 4000)));
    assert_eq!(Packet::verify_checksums(&atomic), Ok(()));
}

#[test]
fn what_went_to_many_or_came_from_nobody_is_not_answered() {
    let set = |at: usize, address: [u8; 4]| {
        let mut bytes = emitted(&segment_v4(), &[], &[]);
        bytes[at..at + 4].copy_from_slice(&address);
        bytes
    };

    assert!(!answered(&set(12, [0, 0, 0, 0])));
    assert!(!answered(&set(12, [224, 0, 0, 1])));
    assert!(!answered(&set(16, [224, 0, 0, 1])));
    assert!(!answered(&set(16, [255, 255, 255, 255])));
}

#[test]
fn a_router_of_the_other_family_and_a_short_buffer_give_no_error() {
    let offending = emitted(&segment_v4(), &[], &[]);
    let (error, router) = (IcmpError::HostUnreachable, v4(9, 0).ip());

    assert_eq!(error_quoting(error, v6(9, 0).ip(), &offending, &mut [0; 1280]), None);
    assert_eq!(error_quoting(error, router, &offending, &mut [0; 67]), None);
    assert_eq!(error_quoting(error, router, &offending, &mut [0; 68]), Some(68));
    assert_eq!(error_quoting(error, router, &offending[..30], &mut [0; 1280]), None);
}

#[test]
fn eight_bytes_of_the_transport_header_suffice_to_know_the_segment() {
    let offending = emitted(&segment_v4(), &[], &[]);
    let mut buffer = [0; 576];
    let router = v4(9, 0).ip();
    error_quoting(IcmpError::TimeExceeded, router, &offending, &mut buffer).unwrap();
    let quoted = |length: u8| {
        let mut bytes = buffer[..usize::from(length)].to_vec();
        bytes[3] = length;
        let Transport::Icmp(message) = Packet::parse(&bytes).unwrap().transport else {
            panic!("no ICMP");
        };
        message.quoted.map(|quoted| (quoted.source, quoted.sequence))
    };

    assert_eq!(quoted(56), Some((v4(1, 4000), Some(SeqNumber(123)))));
    assert_eq!(quoted(55), None);
}

#[test]
fn types_and_codes_are_told_apart_as_the_rfcs_number_them() {
    let kinds_v4 = [
        (3, 0, IcmpKind::OtherError { kind: 3, code: 0 }),
        (3, 4, IcmpKind::OtherError { kind: 3, code: 4 }),
        (3, 9, IcmpKind::Error(IcmpError::AdminProhibited)),
        (3, 10, IcmpKind::Error(IcmpError::AdminProhibited)),
        (11, 1, IcmpKind::OtherError { kind: 11, code: 1 }),
        (12, 0, IcmpKind::OtherError { kind: 12, code: 0 }),
        (0, 0, IcmpKind::Other { kind: 0, code: 0 }),
        (8, 0, IcmpKind::Other { kind: 8, code: 0 }),
    ];
    let kinds_v6 = [
        (1, 5, IcmpKind::Error(IcmpError::AdminProhibited)),
        (2, 0, IcmpKind::OtherError { kind: 2, code: 0 }),
        (3, 1, IcmpKind::OtherError { kind: 3, code: 1 }),
        (128, 0, IcmpKind::Other { kind: 128, code: 0 }),
        (135, 0, IcmpKind::Other { kind: 135, code: 0 }),
    ];
    let numbered = |segment: TcpBuilder, from: std::net::IpAddr, at: usize, kind: u8, code: u8| {
        let offending = emitted(&segment, &[], &[]);
        let mut buffer = [0; 1280];
        let length = error_quoting(IcmpError::TimeExceeded, from, &offending, &mut buffer).unwrap();
        buffer[at..at + 2].copy_from_slice(&[kind, code]);
        match Packet::parse(&buffer[..length]).unwrap().transport {
            Transport::Icmp(message) => (message.kind, message.quoted.is_some()),
            Transport::Tcp(_) | Transport::Other | Transport::Fragment => panic!("no ICMP"),
        }
    };
    for (kind, code, expected) in kinds_v4 {
        let (told, quotes) = numbered(segment_v4(), v4(9, 0).ip(), 20, kind, code);
        assert_eq!((told, quotes), (expected, expected.is_error()));
    }
    for (kind, code, expected) in kinds_v6 {
        let (told, quotes) = numbered(segment_v6(), v6(9, 0).ip(), 40, kind, code);
        assert_eq!((told, quotes), (expected, expected.is_error()));
    }
}
