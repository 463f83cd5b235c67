//! No bytes make anything panic.

use proptest::{collection::vec, prelude::*};
use simopen_packet::{IcmpError, Packet, error_quoting};

use crate::{
    exercise::exercise,
    strategy::{emitted_syn, syns, v4, v6},
};

/// Bytes that look like IP, with the protocols and extension headers that lead deeper.
fn likely_packets() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop::sample::select(vec![0_u8, 1, 6, 17, 43, 44, 51, 58, 60]);
    let rest = vec(prop_oneof![3 => any::<u8>(), 1 => protocol.clone()], 0..160);
    (any::<bool>(), protocol, 0..8_u8, rest).prop_map(|(is_v4, protocol, first, rest)| {
        let total_len = if is_v4 { 20 + rest.len() } else { rest.len() } as u16;
        let [high, low] = total_len.to_be_bytes();
        let mut bytes = if is_v4 {
            let header_len = if first < 6 { 5 } else { first };
            vec![0x40 | header_len, 0, high, low, 0, 0, first << 5, 0, 64, protocol, 0, 0]
        } else {
            vec![0x60, 0, 0, 0, high, low, protocol, 64]
        };
        bytes.resize(if is_v4 { 20 } else { 40 }, 1);
        bytes.extend(rest);
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    #[test]
    fn bytes_that_look_like_a_packet_never_panic(bytes in likely_packets()) {
        exercise(&bytes);
    }

    #[test]
    fn every_truncation_of_a_syn_is_an_error_and_never_panics(syn in syns()) {
        let bytes = emitted_syn(&syn);
        for length in 0..bytes.len() {
            prop_assert!(Packet::parse(&bytes[..length]).is_err());
            exercise(&bytes[..length]);
        }
    }

    #[test]
    fn an_error_about_a_syn_survives_any_truncation_and_any_changed_byte(
        syn in syns(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let offending = emitted_syn(&syn);
        let from = if syn.source.is_ipv4() { v4(9, 0) } else { v6(9, 0) };
        let mut buffer = [0; 1280];
        let error = error_quoting(IcmpError::TimeExceeded, from.ip(), &offending, &mut buffer);
        if let Some(length) = error {
            let mut bytes = buffer[..length].to_vec();
            bytes[at.index(length)] = byte;
            for length in 0..=bytes.len() {
                exercise(&bytes[..length]);
            }
        }
    }
}

#[test]
fn the_longest_lengths_that_fields_can_say_are_refused_or_read() {
    let mut bytes = vec![0; 65_600];
    bytes[0] = 0x60;
    bytes[4..6].fill(0xff);
    assert!(Packet::parse(&bytes).is_err(), "an IPv6 packet longer than 65,535 bytes");
    exercise(&bytes);

    bytes[0] = 0x45;
    bytes[2..4].fill(0xff);
    bytes[9] = 6;
    bytes[32] = 0x50;
    assert_eq!(Packet::parse(&bytes).unwrap().tcp().unwrap().payload.len(), 65_495);
    exercise(&bytes);
}

#[test]
fn a_long_chain_of_extension_headers_is_walked_without_recursion() {
    let mut bytes = vec![0; 40 + 8 * 8_000];
    let payload_len = (bytes.len() - 40) as u16;
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
    bytes[6] = 60;
    for header in bytes[40..].chunks_mut(8) {
        header[0] = 60;
    }

    exercise(&bytes);
}
