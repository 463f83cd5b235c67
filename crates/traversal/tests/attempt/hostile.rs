//! Packets that anybody can send, and SYNs that are of other flows.

use simopen_packet::{SeqNumber, SynAck, TcpFlags};
use simopen_protocol::cause::Cause;
use simopen_traversal::{Command, DialOutcome};

use crate::side::{
    KERNEL, LOCAL, LOW_TTL, REMOTE, SIMULTANEOUS, Side, USERSPACE, bytes, endpoint, kernel_syn,
    segment,
};

const RESET: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

#[track_caller]
fn assert_unmoved(side: &mut Side, packet: &[u8], why: &str) {
    let before = side.view();
    side.packet(packet);
    assert_eq!(side.view(), before, "{why}");
}

#[test]
fn a_syn_ack_that_is_not_the_answer_changes_nothing() {
    for mut side in Side::both_opening(USERSPACE) {
        let answer = side.answer();
        let wrong = |change: fn(&mut SynAck)| {
            let mut wrong = answer;
            change(&mut wrong);
            bytes(&wrong)
        };
        for (why, packet) in [
            ("another port", wrong(|answer| answer.source.set_port(52_001))),
            ("another host", wrong(|answer| answer.source.set_ip([203, 0, 113, 10].into()))),
            ("for another port", wrong(|answer| answer.destination.set_port(40_001))),
            ("for another host", wrong(|answer| answer.destination.set_ip([10, 0, 0, 3].into()))),
            ("one less", wrong(|answer| answer.acknowledgment += u32::MAX)),
            ("one more", wrong(|answer| answer.acknowledgment += 1)),
            ("none", wrong(|answer| answer.acknowledgment = SeqNumber(0))),
        ] {
            assert_unmoved(&mut side, &packet, why);
        }
        side.packet(&bytes(&answer));
        assert!(matches!(side.commands.last(), Some(Command::Install { .. })));
    }
}

#[test]
fn a_segment_that_is_no_syn_ack_changes_nothing() {
    let ends = [endpoint(REMOTE), endpoint(LOCAL)];
    for mut side in Side::both_opening(USERSPACE) {
        let right = side.answer().acknowledgment;
        for flags in [
            TcpFlags::ACK,
            TcpFlags::ACK | TcpFlags::PSH,
            TcpFlags::ACK | TcpFlags::FIN,
            TcpFlags::SYN | TcpFlags::ACK | TcpFlags::FIN,
            TcpFlags::SYN,
            TcpFlags::default(),
        ] {
            for payload in [&b""[..], b"GET / HTTP/1.0\r\n"] {
                let packet = segment(ends, flags, right, payload);
                assert_unmoved(&mut side, &packet, &format!("{flags}"));
            }
        }
    }
}

#[test]
fn an_rst_that_does_not_acknowledge_the_syn_changes_nothing() {
    let ends = [endpoint(REMOTE), endpoint(LOCAL)];
    let elsewhere = [endpoint("203.0.113.10:52000"), endpoint(LOCAL)];
    for mut side in Side::both_opening(USERSPACE) {
        let right = side.answer().acknowledgment;
        for (ends, flags, number) in [
            (ends, TcpFlags::RST, right),
            (ends, RESET, right + 1),
            (ends, RESET, right + u32::MAX),
            (elsewhere, RESET, right),
        ] {
            assert_unmoved(&mut side, &segment(ends, flags, number, b""), "RST");
        }
        side.packet(&segment(ends, RESET, right, b""));
        side.assert_failed(Cause::Refused);
    }
}

#[test]
fn bytes_that_are_no_packet_change_nothing() {
    for mut side in Side::both_opening(USERSPACE) {
        let whole = bytes(&side.answer());
        for length in 0..whole.len() {
            assert_unmoved(&mut side, &whole[..length], "cut short");
        }
        assert_unmoved(&mut side, &[0xff; 60], "noise");
    }
}

#[test]
fn a_copy_of_the_answer_installs_nothing_again_and_an_rst_comes_too_late() {
    let ends = [endpoint(REMOTE), endpoint(LOCAL)];
    for mut side in Side::both_opening(USERSPACE) {
        let answer = side.answer();
        let reset = segment(ends, RESET, answer.acknowledgment, b"");
        side.packet(&bytes(&answer));
        assert_unmoved(&mut side, &bytes(&answer), "a copy before the installation is done");
        assert_unmoved(&mut side, &reset, "an RST before the installation is done");
        side.dialled(DialOutcome::Established);
        assert_unmoved(&mut side, &bytes(&answer), "a copy afterwards");
        assert_unmoved(&mut side, &reset, "an RST afterwards");
    }
}

#[test]
fn packets_mean_nothing_to_a_technique_that_leaves_them_to_the_kernel() {
    let ends = [endpoint(REMOTE), endpoint(LOCAL)];
    for technique in [SIMULTANEOUS, KERNEL] {
        for mut side in Side::both_opening(technique) {
            for flags in [TcpFlags::SYN | TcpFlags::ACK, RESET] {
                let packet = segment(ends, flags, SeqNumber(5001), b"");
                assert_unmoved(&mut side, &packet, "the kernel sees it too");
            }
        }
    }
}

#[test]
fn syns_of_other_flows_change_nothing() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        for mut side in Side::both_opening(technique) {
            for (source, destination) in [
                ("10.0.0.2:40001", REMOTE),
                ("10.0.0.3:40000", REMOTE),
                (LOCAL, "203.0.113.9:52001"),
                (LOCAL, "192.0.2.1:443"),
                (REMOTE, LOCAL),
            ] {
                let before = side.view();
                side.attempt.handle_syn(&kernel_syn(source, destination, 9), side.now);
                side.drain();
                assert_eq!(side.view(), before, "{source} to {destination}");
            }
        }
    }
}

#[test]
fn what_is_no_syn_is_none() {
    for mut side in Side::both_opening(KERNEL) {
        let whole = kernel_syn(LOCAL, REMOTE, 9);
        let mut syn_ack = whole.clone();
        syn_ack[33] |= 0x10;
        for packet in [&whole[..20], &whole[..39], &syn_ack, b""] {
            let before = side.view();
            side.attempt.handle_syn(packet, side.now);
            side.drain();
            assert_eq!(side.view(), before);
        }
    }
}

#[test]
fn a_syn_before_the_opening_and_after_the_end_is_not_counted() {
    let waiting = Side::originator(KERNEL);
    let [mut ended, _] = Side::both_opening(KERNEL);
    ended.dialled(DialOutcome::Refused);
    for mut side in [waiting, ended] {
        let before = side.view();
        side.capture_syn(5);
        assert_eq!(side.view(), before);
    }
}
