//! Whatever a forger and its broker read from each other, fed with these; shared with the fuzz
//! target.

use simopen_packet::checksum::Checksum;
use simopen_packet::{Packet, TcpFlags, option_kind};

use super::message::{Answer, Counts, Request};
use super::packet;

/// Reads the bytes as every kind of message. A request has one spelling: written again, it is the
/// same. An answer and counts that are read are written and read again, and must be the same.
pub(super) fn exercise(bytes: &[u8]) {
    if let Some(request) = Request::parse(bytes) {
        assert_eq!(request.to_bytes(), bytes);
        if let Request::Forge { packet, .. } = request {
            judge(packet);
            // Few bytes that come by chance have right checksums.
            judge(&with_right_checksums(packet));
        }
    }
    if let Some(answer) = Answer::parse(bytes) {
        assert_eq!(Answer::parse(&answer.to_bytes()), Some(answer));
    }
    if let Some(counts) = Counts::parse(bytes) {
        assert_eq!(Counts::parse(&counts.to_bytes()), Some(counts));
    }
}

/// What may be sent is a bare SYN-ACK, by whatever way one looks at it.
fn judge(bytes: &[u8]) {
    let Ok(answer) = packet::read(bytes) else {
        return;
    };
    let packet = Packet::parse(bytes).expect("what may be sent is a packet");
    assert_eq!(usize::from(packet.ip.total_len), bytes.len());
    let segment = packet.tcp().expect("over TCP");
    assert_eq!(packet.ip.source, answer.source.ip());
    assert_eq!(packet.ip.destination, answer.destination.ip());
    let ports = [answer.source.port(), answer.destination.port()];
    assert_eq!([segment.source_port, segment.destination_port], ports);
    assert!(segment.payload.is_empty());
    let flags = segment.flags.0 & !TcpFlags::ECE.0;
    assert_eq!(flags, TcpFlags::SYN.0 | TcpFlags::ACK.0);
    let mut options = segment.options;
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            (option_kind::END, padding) => {
                assert!(padding.iter().all(|byte| *byte == option_kind::END));
                return;
            }
            (option_kind::NO_OPERATION, rest) => rest,
            (
                option_kind::MSS
                | option_kind::WINDOW_SCALE
                | option_kind::SACK_PERMITTED
                | option_kind::TIMESTAMPS,
                [length, ..],
            ) => options.get(usize::from(*length)..).expect("the option is whole"),
            (kind, _) => panic!("option {kind} would be sent"),
        };
    }
}

/// The same packet, in which the checksums of IPv4 and TCP are right.
fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let Ok(ip) = Packet::parse(bytes).map(|packet| packet.ip) else {
        return copy;
    };
    let Some((header, message)) = copy.split_at_mut_checked(usize::from(ip.header_len)) else {
        return copy;
    };
    if ip.source.is_ipv4() {
        mend(header, 10, Checksum::default());
    }
    let length = usize::from(ip.total_len - ip.header_len);
    let sum = Checksum::of_pseudo_header(ip.source, ip.destination, ip.protocol, length);
    if let Some(segment) = message.get_mut(..length) {
        mend(segment, 16, sum);
    }
    copy
}

fn mend(bytes: &mut [u8], at: usize, sum: Checksum) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.fill(0);
        let right = sum.with(bytes).finish();
        bytes[at..at + 2].copy_from_slice(&right);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Replays the corpus of the fuzz target `forger_message`, so that what it once found stays found.
    #[test]
    fn every_seed_of_the_corpus_is_taken_without_a_panic() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/forger_message");
        let (mut seeds, mut packets) = (0, 0);
        for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            exercise(&bytes);
            seeds += 1;
            if let Some(Request::Forge { packet, .. }) = Request::parse(&bytes) {
                packets += usize::from(packet::read(packet).is_ok());
            }
        }
        assert!(seeds >= 8, "only {seeds} seeds");
        assert!(packets >= 2, "packets of both families are among what may be sent");
    }
}
