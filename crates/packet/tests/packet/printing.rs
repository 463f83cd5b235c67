//! One line for each packet.

use simopen_packet::{IcmpError, Packet, SeqNumber, TcpBuilder, TcpFlags, Ttl, error_quoting};

use crate::strategy::{emitted, emitted_syn, linux_syn, v4, v6};

#[test]
fn a_syn_prints_its_endpoints_its_number_and_what_it_offers() {
    let bytes = emitted_syn(&linux_syn(v4(1, 4000), v4(2, 5000)));

    assert_eq!(
        Packet::parse(&bytes).unwrap().to_string(),
        "192.0.2.1:4000 > 192.0.2.2:5000 SYN seq 4294967295 win 64240 \
         mss 1460 wscale 7 sack ts 1000/0 ttl 64"
    );
}

#[test]
fn data_print_their_acknowledgment_and_length() {
    let header = TcpBuilder {
        source: v6(1, 4000),
        destination: v6(2, 5000),
        ttl: Ttl(3),
        sequence: SeqNumber(10),
        acknowledgment: SeqNumber(20),
        flags: TcpFlags::PSH | TcpFlags::ACK,
        window: 30,
    };
    let bytes = emitted(&header, &[], b"data");

    assert_eq!(
        Packet::parse(&bytes).unwrap().to_string(),
        "[2001:db8::1]:4000 > [2001:db8::2]:5000 PSH|ACK seq 10 ack 20 win 30 len 4 ttl 3"
    );
}

#[test]
fn an_error_prints_what_it_is_about() {
    let offending = emitted_syn(&linux_syn(v4(1, 4000), v4(2, 5000)));
    let mut buffer = [0; 576];
    let router = v4(9, 0).ip();
    let length = error_quoting(IcmpError::TimeExceeded, router, &offending, &mut buffer).unwrap();

    assert_eq!(
        Packet::parse(&buffer[..length]).unwrap().to_string(),
        "192.0.2.9 > 192.0.2.1 icmp time exceeded about \
         192.0.2.1:4000 > 192.0.2.2:5000 seq 4294967295 ttl 64"
    );
}

#[test]
fn a_broken_packet_says_what_was_needed_and_what_was_given() {
    let bytes = emitted_syn(&linux_syn(v4(1, 4000), v4(2, 5000)));

    assert_eq!(
        Packet::parse(&bytes[..19]).unwrap_err().to_string(),
        "IPv4 header at byte 0 needs 20 bytes, 19 are there"
    );
}
