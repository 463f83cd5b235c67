//! The six situations that Linux's own scripts test its connection tracking with, told as packets
//! of an inside host and a remote one. "Invalid" shows as a packet that was not translated.

use simopen_nat::{DropReason, JournalEvent, MiddleboxSpec, TcpState, Verdict};

use crate::exchange::{ACK, Connection, Exchange, FIN_ACK, RST, RST_ACK, SCALED, SYN, SYN_ACK};

fn linux() -> (Exchange, Connection) {
    (Exchange::new(MiddleboxSpec::linux_masquerade_drop_input()), Connection::kept())
}

/// The last state that the journal tells of.
fn state(exchange: &mut Exchange) -> Option<TcpState> {
    let entries = exchange.journal();
    entries.iter().rev().find_map(|entry| {
        if let JournalEvent::Refreshed { new, .. } = entry.event {
            return Some(new);
        }
        matches!(entry.event, JournalEvent::Created { .. }).then_some(TcpState::SynSent)
    })
}

#[test]
fn ack_loss_stall_data_that_was_acknowledged_long_ago_still_passes() {
    let (mut exchange, link) = linux();
    exchange.outbound(link.out(SYN, 0, 0).window(32_792)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 0, 1)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1, 1)).assert_forwarded();
    for number in 0..46 {
        let start = 1 + number * 1460;
        exchange.outbound(link.out(ACK, start, 1).window(257).payload(1460)).assert_forwarded();
        exchange.inbound(link.back(ACK, 1, start + 1460)).assert_forwarded();
    }

    let repeated = exchange.outbound(link.out(ACK, 1, 1).window(257).payload(1460));

    repeated.assert_forwarded();
    exchange.inbound(link.back(ACK, 1, 1 + 46 * 1460)).assert_forwarded();
}

/// A connection in which the remote side has sent 3000 bytes.
fn transferring() -> (Exchange, Connection) {
    let (mut exchange, link) = linux();
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 0, 1)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1, 1)).assert_forwarded();
    for start in [1, 1001, 2001] {
        exchange.inbound(link.back(ACK, start, 1).payload(1000)).assert_forwarded();
        exchange.outbound(link.out(ACK, 1, start + 1000)).assert_forwarded();
    }
    (exchange, link)
}

#[test]
fn inexact_rst_closes_a_connection_that_is_closing_already() {
    let (mut exchange, link) = transferring();
    exchange.outbound(link.out(ACK, 1, 3001).payload(1000)).assert_forwarded();
    exchange.inbound(link.back(FIN_ACK, 3001, 1001)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1001, 3002)).assert_forwarded();
    assert_eq!(state(&mut exchange), Some(TcpState::CloseWait));

    exchange.outbound(link.out(RST_ACK, 1001, 3002)).assert_forwarded();
    assert_eq!(state(&mut exchange), Some(TcpState::Close));
    exchange.inbound(link.back(RST, 2001, 0).window(0)).assert_forwarded();

    assert_eq!(exchange.middlebox.stats().dropped_in_all(), 0);
    assert_eq!(exchange.middlebox.stats().untranslated, 0);
}

#[test]
fn invalid_rst_out_of_the_window_or_not_exact_leaves_the_connection_established() {
    let (mut exchange, link) = transferring();
    let below = DropReason::InvalidReset;

    exchange.inbound(link.back(RST, 0, 0).window(0)).assert_dropped(below);
    exchange
        .inbound(link.back(RST, 1_000_000, 0).window(0))
        .assert_dropped(DropReason::OutOfWindow);
    exchange.inbound(link.back(RST, 42, 0).window(0)).assert_dropped(below);
    exchange.outbound(link.out(ACK, 1, 3001).payload(1000)).assert_forwarded();
    exchange.inbound(link.back(ACK, 3001, 1001)).assert_forwarded();
    exchange.inbound(link.back(RST_ACK, 3000, 1001).window(0)).assert_dropped(below);
    assert_eq!(state(&mut exchange), Some(TcpState::Established));

    exchange.inbound(link.back(RST_ACK, 3001, 1001).window(0)).assert_forwarded();
    assert_eq!(state(&mut exchange), Some(TcpState::Close));
}

#[test]
fn syn_challenge_ack_passes_with_its_rst_and_the_next_syn_connects() {
    let (mut exchange, link) = linux();
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();

    let challenge = link.back(ACK, 145_824_453, 643_160_523).window(240);
    exchange.inbound(challenge).assert_forwarded();
    exchange.outbound(link.out(RST, 643_160_523, 0).window(0)).assert_forwarded();
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();
    assert_eq!(state(&mut exchange), Some(TcpState::SynSent));
    exchange.inbound(link.back(SYN_ACK, 0, 1).window(250)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1, 1).window(256)).assert_forwarded();

    assert_eq!(state(&mut exchange), Some(TcpState::Established));
    assert_eq!(exchange.middlebox.stats().dropped_in_all(), 0);
    assert_eq!(exchange.middlebox.stats().untranslated, 0);
}

#[test]
fn old_syn_ack_is_invalid_and_the_right_one_still_connects() {
    let (mut exchange, link) = linux();
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();

    exchange
        .inbound(link.back(SYN_ACK, 145_824_453, 643_160_523).window(240))
        .assert_dropped(DropReason::AckOutOfWindow);
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();
    assert_eq!(state(&mut exchange), Some(TcpState::SynSent));
    exchange.inbound(link.back(SYN_ACK, 145_758_918, 1).window(250)).assert_forwarded();
    let data = exchange.outbound(link.out(ACK, 1, 145_758_919).window(256).payload(1));

    assert_eq!(data.verdict, Verdict::Forward);
    assert_eq!(state(&mut exchange), Some(TcpState::Established));
}

#[test]
fn syn_ack_reuse_a_challenged_syn_opens_a_new_connection_after_the_rst() {
    let (mut exchange, link) = linux();
    exchange.outbound(link.out(SYN, 0, 0).options(SCALED)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 0, 1).options(SCALED)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1, 1).window(257)).assert_forwarded();
    exchange.outbound(link.out(ACK, 1, 1).window(257).payload(100)).assert_forwarded();
    exchange.inbound(link.back(ACK, 1, 101).window(256)).assert_forwarded();

    exchange.outbound(link.out(SYN, 2000, 0).options(SCALED)).assert_forwarded();
    exchange.inbound(link.back(ACK, 1, 101).window(256)).assert_forwarded();
    exchange.outbound(link.out(RST_ACK, 101, 1).window(257)).assert_forwarded();
    exchange.outbound(link.out(SYN, 2000, 0).options(SCALED)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 5000, 2001).options(SCALED)).assert_forwarded();

    assert_eq!(state(&mut exchange), Some(TcpState::SynReceived));
    assert_eq!(exchange.middlebox.stats().untranslated, 0);
}
