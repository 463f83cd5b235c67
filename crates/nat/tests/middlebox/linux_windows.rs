//! What Linux's connection tracking lets pass although a number does not fit, as the same packets
//! showed it in a kernel beside this machine. The box drops what is invalid, to tell it apart.

use std::time::Duration;

use simopen_nat::{InvalidOutbound, MiddleboxSpec, TcpTimers, UnsolicitedSyn, Verdict};

use crate::exchange::{ACK, Connection, Exchange, FIN_ACK, RST, SYN, SYN_ACK};

fn firewall() -> (Exchange, Connection) {
    let spec =
        MiddleboxSpec::silent_stateful_firewall().with_invalid_outbound(InvalidOutbound::Dropped);
    let kept = Connection::kept();
    (Exchange::new(spec), Connection { external: kept.inside, ..kept })
}

fn is_dropped(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Drop(_))
}

#[test]
fn a_segment_that_ends_within_one_window_beyond_what_was_allowed_passes() {
    let (mut exchange, link) = firewall();
    exchange.outbound(link.out(SYN, 100, 0).window(1000)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();

    exchange.inbound(link.back(ACK, 1200, 101).payload(600)).assert_forwarded();

    let beyond = exchange.inbound(link.back(ACK, 1901, 101).payload(600));
    assert!(is_dropped(beyond.verdict));
}

#[test]
fn a_reset_after_crossing_syns_must_fit_unless_it_answers_the_other_sides_syn() {
    let (mut exchange, link) = firewall();
    exchange.outbound(link.out(SYN, 100, 0).window(1000)).assert_forwarded();
    exchange.inbound(link.back(SYN, 900, 0).window(1000)).assert_forwarded();

    let of_the_same_side = exchange.inbound(link.back(RST, 90_000, 0));

    assert!(is_dropped(of_the_same_side.verdict));
    exchange.outbound(link.out(RST, 90_000, 0)).assert_forwarded();
}

#[test]
fn a_connection_that_was_picked_up_is_not_judged_after_a_new_handshake_either() {
    let (mut exchange, link) = firewall();
    exchange.outbound(link.out(ACK, 100, 50)).assert_forwarded();
    exchange.outbound(link.out(SYN, 5000, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 5001)).assert_forwarded();

    exchange.inbound(link.back(ACK, 901, 90_000)).assert_forwarded();
}

#[test]
fn a_firewall_that_rejects_by_reset_believes_its_own_reset() {
    let (mut exchange, link) = firewall();
    exchange = Exchange::new(exchange.middlebox.spec().with_unsolicited(UnsolicitedSyn::Reset));
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.inbound(link.back(SYN_ACK, 900, 101)).assert_forwarded();

    let of_bytes_never_sent = exchange.inbound(link.back(ACK, 901, 900));

    assert!(is_dropped(of_bytes_never_sent.verdict));
    assert_eq!(exchange.answers().len(), 1);
    // The box took the session for reset: now it judges no numbers.
    exchange.inbound(link.back(ACK, 901, 900)).assert_forwarded();
}

#[test]
fn a_syn_from_outside_does_not_prolong_a_session_that_nobody_has_answered() {
    let (mut exchange, link) = firewall();
    exchange.outbound(link.out(SYN, 100, 0)).assert_forwarded();
    exchange.advance(Duration::from_secs(100));
    exchange.inbound(link.back(SYN, 900, 0)).assert_forwarded();

    exchange.advance(Duration::from_secs(21));

    assert_eq!(exchange.middlebox.session_count(), 0);
}

/// How long an established session lives on after the given segments.
fn left_after(said: impl FnOnce(&mut Exchange, &Connection)) -> Duration {
    let (mut exchange, link) = firewall();
    link.establish(&mut exchange);
    said(&mut exchange, &link);
    let start = exchange.now;
    while exchange.middlebox.session_count() > 0 {
        exchange.now = exchange.middlebox.poll_timeout().unwrap().0;
        exchange.middlebox.handle_timeout(exchange.now);
    }
    exchange.now.saturating_duration_since(start)
}

const ESTABLISHED: Duration = TcpTimers::LINUX.established;

#[test]
fn a_window_of_zero_shortens_the_life_of_a_connection_until_it_opens_again() {
    let closed = |exchange: &mut Exchange, link: &Connection| {
        exchange.inbound(link.back(ACK, 901, 101).window(0)).assert_forwarded();
    };

    assert_eq!(left_after(|_, _| {}), ESTABLISHED);
    assert_eq!(left_after(closed), TcpTimers::LINUX.retransmitting);
    let opened = left_after(|exchange, link| {
        closed(exchange, link);
        exchange.inbound(link.back(ACK, 901, 101)).assert_forwarded();
    });
    assert_eq!(opened, ESTABLISHED);
}

#[test]
fn a_fin_or_rst_outside_the_windows_that_answers_another_shortens_the_life_of_a_connection() {
    for (first, second) in [(FIN_ACK, RST), (RST, FIN_ACK)] {
        let out = |exchange: &mut Exchange, link: &Connection| {
            assert!(is_dropped(exchange.outbound(link.out(first, 1 << 30, 901)).verdict));
        };

        assert_eq!(left_after(out), ESTABLISHED);
        let answered = left_after(|exchange, link| {
            out(exchange, link);
            assert!(is_dropped(exchange.inbound(link.back(second, 1 << 30, 101)).verdict));
        });
        assert_eq!(answered, TcpTimers::LINUX.unacknowledged);
        let repeated = left_after(|exchange, link| {
            out(exchange, link);
            out(exchange, link);
        });
        assert_eq!(repeated, ESTABLISHED);
    }
}

#[test]
fn a_connection_picked_up_in_its_middle_lives_long_only_once_the_other_side_has_spoken() {
    let (mut exchange, link) = firewall();
    exchange.outbound(link.out(ACK, 100, 50)).assert_forwarded();
    exchange.outbound(link.out(ACK, 100, 51)).assert_forwarded();

    exchange.advance(TcpTimers::LINUX.unacknowledged);

    assert_eq!(exchange.middlebox.session_count(), 0);
}
