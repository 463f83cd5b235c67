//! The reset that answers a segment (RFC 9293 §3.10.7.1).

use simopen_packet::{
    IcmpError, Packet, SeqNumber, TcpBuilder, TcpFlags, Ttl, error_quoting, reset_answering,
};

use crate::strategy::{emitted, v4, v6};

const SEGMENT_FLAGS: [TcpFlags; 4] =
    [TcpFlags::SYN, TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0), TcpFlags::FIN, TcpFlags::PSH];

fn segment(flags: TcpFlags) -> TcpBuilder {
    TcpBuilder {
        source: v4(1, 4000),
        destination: v4(2, 5000),
        ttl: Ttl(7),
        sequence: SeqNumber(u32::MAX),
        acknowledgment: SeqNumber(500),
        flags,
        window: 1000,
    }
}

#[test]
fn a_segment_without_ack_is_reset_from_zero_and_acknowledged_whole() {
    for flags in SEGMENT_FLAGS {
        let bytes = emitted(&segment(flags), &[], b"four");
        let packet = Packet::parse(&bytes).unwrap();

        let mut buffer = [0; 100];
        let length = reset_answering(&packet, &mut buffer).unwrap();
        let answer = Packet::parse(&buffer[..length]).unwrap();
        let reset = answer.tcp().unwrap();

        let controls =
            u32::from(flags.contains(TcpFlags::SYN)) + u32::from(flags.contains(TcpFlags::FIN));
        assert_eq!(reset.flags, TcpFlags::RST | TcpFlags::ACK);
        assert_eq!(reset.sequence, SeqNumber(0));
        assert_eq!(reset.acknowledgment, SeqNumber(u32::MAX) + 4 + controls);
        assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    }
}

#[test]
fn a_segment_with_ack_is_reset_at_the_number_it_acknowledges() {
    for flags in SEGMENT_FLAGS {
        let bytes = emitted(&segment(flags | TcpFlags::ACK), &[], b"four");
        let packet = Packet::parse(&bytes).unwrap();

        let mut buffer = [0; 100];
        let length = reset_answering(&packet, &mut buffer).unwrap();
        let answer = Packet::parse(&buffer[..length]).unwrap();
        let reset = answer.tcp().unwrap();

        assert_eq!(reset.flags, TcpFlags::RST);
        assert_eq!(reset.sequence, SeqNumber(500));
        assert_eq!(answer.source_endpoint(), Some(v4(2, 5000)));
        assert_eq!(answer.destination_endpoint(), Some(v4(1, 4000)));
    }
}

#[test]
fn a_reset_is_never_answered() {
    for flags in [TcpFlags::RST, TcpFlags::RST | TcpFlags::ACK, TcpFlags::RST | TcpFlags::SYN] {
        let bytes = emitted(&segment(flags), &[], &[]);
        let packet = Packet::parse(&bytes).unwrap();

        assert_eq!(reset_answering(&packet, &mut [0; 100]), None);
    }
}

#[test]
fn what_is_no_segment_is_never_reset() {
    let offending = emitted(&segment(TcpFlags::SYN), &[], &[]);
    let mut error = [0; 576];
    let length =
        error_quoting(IcmpError::TimeExceeded, v4(9, 0).ip(), &offending, &mut error).unwrap();
    let packet = Packet::parse(&error[..length]).unwrap();

    assert_eq!(reset_answering(&packet, &mut [0; 100]), None);
}

#[test]
fn a_reset_is_written_in_the_family_of_the_segment() {
    let over_v6 =
        TcpBuilder { source: v6(1, 4000), destination: v6(2, 5000), ..segment(TcpFlags::SYN) };
    let bytes = emitted(&over_v6, &[], &[]);
    let packet = Packet::parse(&bytes).unwrap();

    let mut buffer = [0; 100];
    let length = reset_answering(&packet, &mut buffer).unwrap();

    assert_eq!(length, 60);
    assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    assert_eq!(reset_answering(&packet, &mut [0; 59]), None, "the buffer is too short");
}
