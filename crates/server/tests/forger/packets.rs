//! Packets between the right endpoints that are something else than a bare SYN-ACK.

use simopen_packet::{MAX_SYN_LEN, Packet, Syn, SynOptions, TcpBuilder, TcpFlags};
use simopen_server::forger::Refusal;

use crate::place::{Place, proper, syn_ack};

pub(crate) fn no_bare_syn_acks(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.proven("203.0.113.9:52000");
    let good = syn_ack(&b, &a);
    let header = TcpBuilder {
        source: good.source,
        destination: good.destination,
        ttl: good.ttl,
        sequence: good.sequence,
        acknowledgment: good.acknowledgment,
        flags: TcpFlags::SYN | TcpFlags::ACK,
        window: good.window,
    };
    let build = |header: &TcpBuilder, options: &[u8], payload: &[u8]| {
        let mut buffer = [0; 256];
        let length = header.emit(options, payload, &mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    let with_flags = |flags: TcpFlags| build(&TcpBuilder { flags, ..header }, &[], &[]);
    let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
    let mut cases = vec![
        ("data", build(&header, &[], b"x"), Refusal::Payload),
        (
            "a signature",
            build(&header, &[19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 0, 0], &[]),
            Refusal::ForeignOption,
        ),
        ("Fast Open", build(&header, &[34, 2, 1, 1], &[]), Refusal::ForeignOption),
        ("a broken option", build(&header, &[2, 9, 1, 1], &[]), Refusal::ForeignOption),
        ("a spare no-operation", build(&header, &[1, 1, 1, 1], &[]), Refusal::NotCanonical),
        ("a SYN", with_flags(syn), Refusal::NotASynAck),
        ("an ACK", with_flags(ack), Refusal::NotASynAck),
        ("a RST", with_flags(TcpFlags::RST), Refusal::NotASynAck),
        ("with FIN", with_flags(syn | ack | TcpFlags::FIN), Refusal::NotASynAck),
        ("with PSH", with_flags(syn | ack | TcpFlags::PSH), Refusal::NotASynAck),
        ("with CWR", with_flags(syn | ack | TcpFlags::CWR), Refusal::NotASynAck),
        ("nothing", Vec::new(), Refusal::NotASynAck),
    ];
    let mut wrong = proper(&b, &a);
    *wrong.last_mut().unwrap() ^= 1;
    cases.push(("a wrong checksum", wrong, Refusal::WrongChecksum));
    let longer = [proper(&b, &a), vec![0; 4]].concat();
    cases.push(("bytes behind the packet", longer, Refusal::NotCanonical));
    cases.push(("another type of service", remarked(&proper(&b, &a)), Refusal::NotCanonical));
    for (what, packet, refusal) in cases {
        let answer = place.ask(&packet, &a.accepted, &b.accepted);
        place.assert_refused(&answer, refusal, what);
    }
    let least = build(&header, &[], &[]);
    let answer = place.ask(&least, &a.accepted, &b.accepted);
    place.assert_sent(&answer, &least);
}

pub(crate) fn own_syns(place: &Place) {
    let a = place.proven("198.51.100.7:41000");
    let b = place.proven("203.0.113.9:52000");
    let good = syn_ack(&b, &a);
    let syn = Syn {
        source: good.source,
        destination: good.destination,
        sequence: good.sequence,
        window: 1,
        ttl: good.ttl,
        ecn_setup: false,
        options: SynOptions::default(),
    };
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    let answer = place.ask(&buffer[..length], &a.accepted, &b.accepted);
    place.assert_refused(&answer, Refusal::NotASynAck, "a SYN");
}

/// The same packet with another type of service, and the header's checksum right again (RFC 1624).
fn remarked(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[1] = 0x10;
    let sum = u16::from_be_bytes([packet[10], packet[11]]);
    packet[10..12].copy_from_slice(&(sum - 0x10).to_be_bytes());
    assert_eq!(Packet::verify_checksums(&packet), Ok(()));
    packet
}
