//! The same bytes through etherparse and pnet: they read what this crate reads.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pnet_packet::{
    Packet as _, icmp, icmpv6,
    ipv4::{self, Ipv4Packet},
    ipv6::Ipv6Packet,
    tcp::{self, TcpOptionNumbers, TcpPacket},
};
use proptest::{collection::vec, prelude::*};
use simopen_packet::{
    IcmpError, MAX_SYN_LEN, Packet, SynAck, SynOptions, TcpSegment, Timestamps, error_quoting,
};

use crate::strategy::{builders, emitted, emitted_syn, syns, v4, v6};

fn forged() -> impl Strategy<Value = (SynAck, Vec<u8>)> {
    (syns(), syns(), any::<u16>()).prop_filter_map("signed", |(own, mut answered, port)| {
        answered.destination = own.source;
        let destination = SocketAddr::new(own.destination.ip(), port);
        let syn_ack = SynAck::forge(&own, &answered, own.source, destination).ok()?;
        let mut bytes = vec![0; MAX_SYN_LEN];
        let length = syn_ack.emit(&mut bytes).unwrap();
        bytes.truncate(length);
        Some((syn_ack, bytes))
    })
}

/// Reads the options back as etherparse sees them.
fn options_by_etherparse(tcp: &etherparse::TcpSlice<'_>) -> SynOptions {
    use etherparse::TcpOptionElement as Element;
    let mut options = SynOptions::default();
    for element in tcp.options_iterator() {
        match element.unwrap() {
            Element::Noop => {}
            Element::MaximumSegmentSize(mss) => options.mss = Some(mss),
            Element::WindowScale(shift) => options.window_scale = Some(shift),
            Element::SelectiveAcknowledgementPermitted => options.sack_permitted = true,
            Element::Timestamp(value, echo) => {
                options.timestamps = Some(Timestamps { value, echo });
            }
            Element::SelectiveAcknowledgement(..) => panic!("selective acknowledgment in a SYN"),
        }
    }
    options
}

fn same_segment(ours: &TcpSegment<'_>, theirs: &etherparse::TcpSlice<'_>) {
    assert_eq!(ours.source_port, theirs.source_port());
    assert_eq!(ours.destination_port, theirs.destination_port());
    assert_eq!(ours.sequence.0, theirs.sequence_number());
    assert_eq!(ours.acknowledgment.0, theirs.acknowledgment_number());
    assert_eq!(ours.flags.0, theirs.slice()[13]);
    assert_eq!(ours.window, theirs.window_size());
    assert_eq!(ours.options, theirs.options());
    assert_eq!(ours.payload, theirs.payload());
}

fn tcp_checksum_by_pnet(packet: &TcpPacket<'_>, source: IpAddr, destination: IpAddr) -> u16 {
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => tcp::ipv4_checksum(packet, &s, &d),
        (IpAddr::V6(s), IpAddr::V6(d)) => tcp::ipv6_checksum(packet, &s, &d),
        _ => panic!("mixed families"),
    }
}

proptest! {
    #[test]
    fn etherparse_reads_a_forged_syn_ack_as_it_was_meant((syn_ack, bytes) in forged()) {
        let sliced = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            panic!("no TCP");
        };
        let (source, destination, ttl, checksum) = match sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                prop_assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                prop_assert!(header.dont_fragment());
                let sum = tcp.calc_checksum_ipv4(header.source(), header.destination()).unwrap();
                let (source, destination) = (header.source_addr(), header.destination_addr());
                (IpAddr::V4(source), IpAddr::V4(destination), header.ttl(), sum)
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header();
                let sum = tcp.calc_checksum_ipv6(header.source(), header.destination()).unwrap();
                let (source, destination) = (header.source_addr(), header.destination_addr());
                (IpAddr::V6(source), IpAddr::V6(destination), header.hop_limit(), sum)
            }
            _ => panic!("no IP"),
        };
        prop_assert_eq!(tcp.checksum(), checksum);
        prop_assert_eq!(SocketAddr::new(source, tcp.source_port()), syn_ack.source);
        prop_assert_eq!(SocketAddr::new(destination, tcp.destination_port()), syn_ack.destination);
        prop_assert_eq!(ttl, syn_ack.ttl.0);
        prop_assert_eq!(tcp.sequence_number(), syn_ack.sequence.0);
        prop_assert_eq!(tcp.acknowledgment_number(), syn_ack.acknowledgment.0);
        prop_assert_eq!(tcp.window_size(), syn_ack.window);
        prop_assert!(tcp.syn() && tcp.ack());
        prop_assert!(!tcp.rst() && !tcp.fin() && !tcp.psh() && !tcp.urg() && !tcp.cwr());
        prop_assert_eq!(tcp.ece(), syn_ack.ece);
        prop_assert_eq!(tcp.payload(), &[] as &[u8]);
        prop_assert_eq!(options_by_etherparse(&tcp), syn_ack.options);
    }

    #[test]
    fn pnet_reads_a_forged_syn_ack_as_it_was_meant((syn_ack, bytes) in forged()) {
        let ip_len = if syn_ack.source.is_ipv4() { 20 } else { 40 };
        if let IpAddr::V4(source) = syn_ack.source.ip() {
            let ip = Ipv4Packet::new(&bytes).unwrap();
            prop_assert_eq!(ip.get_source(), source);
            prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
            prop_assert_eq!(usize::from(ip.get_total_length()), bytes.len());
        } else {
            let ip = Ipv6Packet::new(&bytes).unwrap();
            prop_assert_eq!(IpAddr::V6(ip.get_source()), syn_ack.source.ip());
            prop_assert_eq!(IpAddr::V6(ip.get_destination()), syn_ack.destination.ip());
            prop_assert_eq!(usize::from(ip.get_payload_length()), bytes.len() - 40);
        }
        let tcp = TcpPacket::new(&bytes[ip_len..]).unwrap();
        let sum = tcp_checksum_by_pnet(&tcp, syn_ack.source.ip(), syn_ack.destination.ip());
        prop_assert_eq!(tcp.get_checksum(), sum);
        prop_assert_eq!(tcp.get_source(), syn_ack.source.port());
        prop_assert_eq!(tcp.get_destination(), syn_ack.destination.port());
        prop_assert_eq!(tcp.get_sequence(), syn_ack.sequence.0);
        prop_assert_eq!(tcp.get_acknowledgement(), syn_ack.acknowledgment.0);
        let kinds: Vec<_> = tcp.get_options_iter().map(|option| option.get_number()).collect();
        prop_assert_eq!(kinds.contains(&TcpOptionNumbers::MSS), syn_ack.options.mss.is_some());
        prop_assert_eq!(
            kinds.contains(&TcpOptionNumbers::TIMESTAMPS),
            syn_ack.options.timestamps.is_some()
        );
    }

    #[test]
    fn both_find_the_checksums_of_a_segment_right(
        header in builders(),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let bytes = emitted(&header, &[], &payload);
        let ip_len = if header.source.is_ipv4() { 20 } else { 40 };
        let tcp = TcpPacket::new(&bytes[ip_len..]).unwrap();
        let sum = tcp_checksum_by_pnet(&tcp, header.source.ip(), header.destination.ip());

        prop_assert_eq!(tcp.get_checksum(), sum);
    }

    #[test]
    fn etherparse_and_this_crate_agree_on_a_damaged_syn(
        syn in syns(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = emitted_syn(&syn);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let ours = Packet::parse(&bytes);
        let theirs = SlicedPacket::from_ip(&bytes);

        if let Ok(Some(ours)) = ours.as_ref().map(Packet::tcp) {
            let Some(TransportSlice::Tcp(tcp)) = theirs.unwrap().transport else {
                panic!("etherparse sees no segment");
            };
            same_segment(ours, &tcp);
        } else if let Ok(SlicedPacket { transport: Some(TransportSlice::Tcp(_)), .. }) = theirs {
            // A length of zero is where etherparse takes all that is there (jumbograms).
            prop_assert_eq!(&bytes[4..6], &[0, 0], "we see no segment: {:?}", ours);
        }
    }

    #[test]
    fn pnet_finds_the_checksum_of_an_error_right(header in builders()) {
        let offending = emitted(&header, &[], b"data");
        let from = if header.source.is_ipv4() { v4(9, 0) } else { v6(9, 0) };
        let mut buffer = [0; 1280];
        let length = error_quoting(IcmpError::AdminProhibited, from.ip(), &offending, &mut buffer).unwrap();
        match (from.ip(), header.source.ip()) {
            (IpAddr::V4(_), _) => {
                let ip = Ipv4Packet::new(&buffer[..length]).unwrap();
                prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
                let message = icmp::IcmpPacket::new(ip.payload()).unwrap();
                prop_assert_eq!(message.get_checksum(), icmp::checksum(&message));
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let message = icmpv6::Icmpv6Packet::new(&buffer[40..length]).unwrap();
                prop_assert_eq!(message.get_checksum(), icmpv6::checksum(&message, &from, &to));
            }
            (IpAddr::V6(_), IpAddr::V4(_)) => panic!("mixed families"),
        }
    }
}
