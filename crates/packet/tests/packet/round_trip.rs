//! What is written reads back as it was.

use proptest::{collection::vec, prelude::*};
use simopen_packet::{
    EmitError, MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynError, SynOptions, TcpBuilder,
    TcpFlags, Ttl,
};

use crate::strategy::{
    builders, emitted, emitted_syn, linux_syn, syn_options, syns, unknown_options, v4, v6,
};

proptest! {
    #[test]
    fn a_syn_reads_back_as_it_was_written(syn in syns()) {
        let bytes = emitted_syn(&syn);

        prop_assert_eq!(Syn::parse(&bytes), Ok(syn));
        prop_assert_eq!(Packet::verify_checksums(&bytes), Ok(()));
    }

    #[test]
    fn a_syn_ack_reads_back_as_it_was_written(syn in syns(), acknowledgment: u32, ece: bool) {
        let syn_ack = SynAck {
            source: syn.source,
            destination: syn.destination,
            sequence: syn.sequence,
            acknowledgment: SeqNumber(acknowledgment),
            window: syn.window,
            ttl: syn.ttl,
            ece,
            options: syn.options,
        };
        let mut buffer = [0xaa; MAX_SYN_LEN];
        let length = syn_ack.emit(&mut buffer).unwrap();

        prop_assert_eq!(SynAck::parse(&buffer[..length]), Ok(syn_ack));
        prop_assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    }

    #[test]
    fn a_segment_reads_back_as_it_was_written(
        header in builders(),
        words in vec(any::<[u8; 4]>(), 0..=10),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let options = words.concat();
        let bytes = emitted(&header, &options, &payload);
        let packet = Packet::parse(&bytes).unwrap();
        let segment = packet.tcp().unwrap();

        prop_assert_eq!(packet.source_endpoint(), Some(header.source));
        prop_assert_eq!(packet.destination_endpoint(), Some(header.destination));
        prop_assert_eq!(packet.ip.ttl, header.ttl);
        prop_assert_eq!(usize::from(packet.ip.total_len), bytes.len());
        prop_assert_eq!(segment.sequence, header.sequence);
        prop_assert_eq!(segment.acknowledgment, header.acknowledgment);
        prop_assert_eq!(segment.flags, header.flags);
        prop_assert_eq!(segment.window, header.window);
        prop_assert_eq!(segment.options, &options[..]);
        prop_assert_eq!(segment.payload, &payload[..]);
        prop_assert_eq!(Packet::verify_checksums(&bytes), Ok(()));
    }

    #[test]
    fn options_read_back_as_they_were_written(options in syn_options()) {
        let mut buffer = [0xaa; 40];
        let length = options.emit(&mut buffer).unwrap();

        prop_assert_eq!(length % 4, 0);
        prop_assert_eq!(SynOptions::parse(&buffer[..length]), Ok(options));
    }

    #[test]
    fn unknown_options_are_kept_in_their_order(bytes in unknown_options()) {
        let options = SynOptions::parse(&bytes).unwrap();
        let kept: Vec<u8> = options
            .unknown()
            .flat_map(|(kind, data)| [&[kind, data.len() as u8 + 2], data].concat())
            .collect();

        prop_assert_eq!(kept, bytes);
        prop_assert!(options.unknown().all(|(kind, _)| options.has(kind)));
        prop_assert_eq!(options.without_unknown(), SynOptions::default());
    }

    #[test]
    fn whatever_options_can_be_read_can_be_written(bytes in vec(0..12_u8, 0..=40)) {
        if let Ok(options) = SynOptions::parse(&bytes) {
            let mut buffer = [0; 40];
            let length = options.emit(&mut buffer).unwrap();
            prop_assert_eq!(SynOptions::parse(&buffer[..length]), Ok(options));
        }
    }

    #[test]
    fn a_changed_bit_breaks_a_checksum(syn in syns(), at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = emitted_syn(&syn);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;

        // Nothing before the addresses of IPv6 is under a checksum, and another version makes
        // another packet.
        let covered = if syn.source.is_ipv4() { 1 } else { 8 };
        if at >= covered {
            prop_assert!(Packet::verify_checksums(&bytes).is_err());
        }
    }
}

#[test]
fn the_options_of_linux_are_written_as_linux_writes_them() {
    let mut buffer = [0; 40];
    let length = linux_syn(v4(1, 1), v4(2, 2)).options.emit(&mut buffer).unwrap();

    let expected = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7];
    assert_eq!(buffer[..length], expected);
}

#[test]
fn options_lose_their_alignment_before_they_lose_an_option() {
    let mut bytes = vec![2, 4, 5, 180, 3, 3, 7, 4, 2];
    bytes.extend([253, 31]);
    bytes.extend([9; 29]);
    let options = SynOptions::parse(&bytes).unwrap();

    let mut buffer = [0; 40];
    let length = options.emit(&mut buffer).unwrap();

    assert_eq!(length, 40);
    assert_eq!(SynOptions::parse(&buffer), Ok(options));
}

#[test]
fn options_that_cannot_fit_are_refused() {
    let mut options = SynOptions::parse(&[&[253, 38][..], &[9; 36]].concat()).unwrap();
    options.mss = Some(1460);

    assert_eq!(options.emit(&mut [0; 60]), Err(EmitError::Options { length: 42 }));
}

#[test]
fn of_a_repeated_option_the_last_one_counts() {
    let options = SynOptions::parse(&[2, 4, 0, 1, 2, 4, 0, 2]).unwrap();

    assert_eq!(options.mss, Some(2));
}

#[test]
fn what_is_no_initial_syn_is_refused_as_one() {
    let header = TcpBuilder {
        source: v6(1, 4000),
        destination: v6(2, 5000),
        ttl: Ttl::DEFAULT,
        sequence: SeqNumber(1),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::SYN,
        window: 1,
    };
    let others = [
        TcpFlags::ACK,
        TcpFlags::SYN | TcpFlags::ACK,
        TcpFlags::SYN | TcpFlags::RST,
        TcpFlags::SYN | TcpFlags::FIN,
    ];
    for flags in others {
        let bytes = emitted(&TcpBuilder { flags, ..header }, &[], &[]);
        assert_eq!(Syn::parse(&bytes), Err(SynError::Flags(flags)));
    }
    assert!(Syn::parse(&emitted(&header, &[], &[])).is_ok());
}

#[test]
fn a_packet_that_cannot_be_written_leaves_the_buffer_alone() {
    let header = TcpBuilder {
        source: v4(1, 4000),
        destination: v4(2, 5000),
        ttl: Ttl::DEFAULT,
        sequence: SeqNumber(1),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::ACK,
        window: 1,
    };
    let mixed = TcpBuilder { destination: v6(2, 5000), ..header };
    let mut buffer = [0xaa; 50];

    let short = header.emit(&[], &[0; 20], &mut buffer);
    let odd = header.emit(&[1; 3], &[], &mut buffer);
    let many = header.emit(&[1; 44], &[], &mut buffer);
    let families = mixed.emit(&[], &[], &mut buffer);
    let long = header.emit(&[], &[0; 65_496], &mut buffer);

    assert_eq!(short, Err(EmitError::Buffer { needed: 60, given: 50 }));
    assert_eq!(odd, Err(EmitError::Options { length: 3 }));
    assert_eq!(many, Err(EmitError::Options { length: 44 }));
    assert_eq!(families, Err(EmitError::MixedFamilies));
    assert_eq!(long, Err(EmitError::TooLong { length: 65_536 }));
    assert_eq!(buffer, [0xaa; 50]);
}
