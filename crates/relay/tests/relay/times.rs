//! Seed 001 ¶181-182: 10 s to present, 30 s of life, scans each 30 s.

use std::time::Duration;

use simopen_protocol::identity::SessionId;
use simopen_relay::{Command, Limits, OpenRefused, Presented, Refusal};

use crate::bench::{Bench, joined, proxy, refused, value};

const NANOSECOND: Duration = Duration::from_nanos(1);

#[test]
fn two_values_of_a_pairing_join_its_connections_in_their_order() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 1));
    assert_eq!(bench.came(), []);
    bench.present(2, value(7, 0));
    assert_eq!(bench.came(), [joined(7, 2, 1)]);
}

#[test]
fn a_connection_may_present_until_its_ten_seconds_are_over() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.accept(1);
    bench.accept(2);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.came(), []);
    bench.present_on(1, value(7, 0));
    assert_eq!(bench.came(), []);
    bench.pass(NANOSECOND);
    assert_eq!(bench.came(), [refused(2)]);
    assert_eq!(bench.relay.stats().refused(Refusal::Late), 1);
}

#[test]
fn a_late_presentation_is_refused_even_where_no_timer_has_fired_and_the_value_stays_good() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.accept(1);
    bench.now += Duration::from_secs(10) + NANOSECOND;
    bench.present_on(1, value(7, 0));
    assert_eq!(bench.came(), [refused(1)]);
    bench.present(2, value(7, 0));
    bench.present(3, value(7, 1));
    assert_eq!(bench.came(), [joined(7, 2, 3)]);
}

#[test]
fn a_value_lives_for_thirty_seconds_whether_or_not_a_scan_came_by() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.open(8);
    bench.now += Duration::from_secs(30);
    bench.present(1, value(7, 0));
    bench.present(2, value(7, 1));
    assert_eq!(bench.came(), [joined(7, 1, 2)]);
    bench.now += NANOSECOND;
    bench.present(3, value(8, 0));
    assert_eq!(bench.came(), [refused(3)]);
    assert_eq!(bench.relay.stats().refused(Refusal::Expired), 1);
}

#[test]
fn a_waiting_connection_is_closed_by_the_scan_that_finds_its_pairing_old() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.pass(Duration::from_secs(1));
    bench.open(8);
    bench.present(1, value(8, 0));
    bench.pass(Duration::from_secs(58));
    assert_eq!(bench.came(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.came(), [refused(1)]);
    assert_eq!(bench.relay.stats().expired, 2);
    assert_eq!((bench.relay.pairs(), bench.relay.unjoined()), (0, 0));
    assert_eq!(bench.relay.poll_timeout(), None);
}

#[test]
fn a_pair_that_is_half_closed_for_over_thirty_seconds_is_ended() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.present(2, value(7, 1));
    bench.pass(Duration::from_secs(45));
    bench.relay.handle_half_closed(SessionId(7), bench.now);
    bench.came();
    // Scans come at 60 and 90 s; at 60 s it is 15 s.
    bench.pass(Duration::from_secs(44));
    assert_eq!(bench.came(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.came(), [Command::End(SessionId(7))]);
    assert_eq!(bench.relay.stats().half_closed, 1);
}

#[test]
fn a_pair_that_is_over_holds_no_place_and_its_values_stay_good_for_nothing() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.present(2, value(7, 1));
    bench.came();
    bench.relay.handle_over(SessionId(7));
    assert_eq!(bench.relay.pairs(), 0);
    bench.present(3, value(7, 0));
    assert_eq!(bench.came(), [refused(3)]);
}

#[test]
fn a_pair_that_is_open_both_ways_is_never_ended_by_a_scan() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.present(2, value(7, 1));
    bench.came();
    bench.pass(Duration::from_secs(86_400));
    assert_eq!(bench.came(), []);
    bench.relay.handle_over(SessionId(7));
    assert_eq!(bench.relay.pairs(), 0);
}

#[test]
fn a_pair_and_a_pairing_are_ended_by_their_number() {
    let mut bench = Bench::new();
    for session in [7, 8] {
        bench.open(session);
        bench.present(session * 10, value(session, 0));
    }
    bench.present(71, value(7, 1));
    bench.came();
    for session in [7, 8, 9] {
        bench.relay.handle_end(SessionId(session));
    }
    bench.pass(Duration::ZERO);
    assert_eq!(bench.came(), [Command::End(SessionId(7)), refused(80)]);
    assert_eq!(bench.gone(), [7, 8]);
    bench.present(81, value(8, 1));
    assert_eq!(bench.came(), [refused(81)]);
}

#[test]
fn whoever_announced_a_pairing_hears_once_that_it_is_no_more() {
    let mut bench = Bench::new();
    // One is over, one is half-closed for too long, of one a side waits alone, one is given up, and
    // one goes on.
    for session in 1..=5 {
        bench.open(session);
        bench.present(session * 10, value(session, 0));
    }
    for session in [1, 2, 5] {
        bench.present(session * 10 + 1, value(session, 1));
    }
    bench.relay.handle_gone(simopen_relay::ConnectionId(40));
    bench.relay.handle_over(SessionId(1));
    assert_eq!(bench.gone(), [1]);
    bench.relay.handle_half_closed(SessionId(2), bench.now);
    bench.pass(Duration::from_secs(3600));
    let mut gone = bench.gone();
    gone.sort_unstable();
    assert_eq!(gone, [2, 3, 4]);
    for session in 1..=4 {
        bench.relay.handle_over(SessionId(session));
        bench.relay.handle_end(SessionId(session));
    }
    assert_eq!(bench.gone(), []);
}

#[test]
fn unknown_expired_and_used_values_get_the_same_answer_and_are_counted_apart() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.present(2, value(7, 0));
    bench.present(3, value(99, 0));
    bench.now += Duration::from_secs(31);
    bench.present(4, value(7, 1));
    assert_eq!(bench.came(), [refused(2), refused(3), refused(4)]);
    let stats = bench.relay.stats();
    for why in [Refusal::Used, Refusal::Unknown, Refusal::Expired] {
        assert_eq!(stats.refused(why), 1, "{why:?}");
    }
}

#[test]
fn when_a_waiting_side_goes_the_other_is_refused() {
    let mut bench = Bench::new();
    bench.open(7);
    bench.present(1, value(7, 0));
    bench.relay.handle_gone(simopen_relay::ConnectionId(1));
    bench.present(2, value(7, 1));
    bench.present(3, value(7, 0));
    assert_eq!(bench.came(), [refused(2), refused(3)]);
}

#[test]
fn a_connection_that_is_refused_while_it_waits_is_joined_with_nobody() {
    for second in [value(9, 0), value(7, 0), value(8, 0)] {
        let mut bench = Bench::new();
        bench.open(7);
        bench.open(8);
        bench.present(1, value(7, 0));
        bench.present_on(1, second);
        assert_eq!(bench.came(), [refused(1)]);
        for (connection, session) in [(2, 7), (3, 8)] {
            bench.present(connection, value(session, 1));
        }
        let came = bench.came();
        assert!(came.contains(&refused(2)), "nobody is there to be joined with: {came:?}");
        assert!(came.iter().all(|command| matches!(command, Command::Refuse(_))), "{came:?}");
    }
}

#[test]
fn tables_are_bounded() {
    let mut bench = Bench::with(Limits { pairs: 2, unpresented: 2 });
    bench.open(1);
    bench.open(2);
    assert_eq!(bench.relay.handle_open(&proxy(1), bench.now), Err(OpenRefused::InUse));
    assert_eq!(bench.relay.handle_open(&proxy(3), bench.now), Err(OpenRefused::Full));
    for connection in 1..=3 {
        bench.accept(connection);
    }
    assert_eq!(bench.came(), [refused(1)]);
    assert_eq!(bench.relay.stats().refused(Refusal::Crowded), 1);
}

#[test]
fn random_values_find_nothing_and_leave_nothing_behind() {
    let mut bench = Bench::with(Limits { pairs: 10_000, unpresented: 10 });
    for session in 0..10_000 {
        bench.open(session);
    }
    // In a debug build each costs microseconds; the million is the survival test's.
    for guess in 0..50_000_u64 {
        let mut bytes = [0x5a; 32];
        bytes[0] = 0x80;
        bytes[24..].copy_from_slice(&guess.to_be_bytes());
        bench.present(guess, Presented::Value(bytes));
    }
    assert!(bench.came().into_iter().all(|command| matches!(command, Command::Refuse(_))));
    assert_eq!((bench.relay.pairs(), bench.relay.unjoined()), (10_000, 0));
    assert_eq!(bench.relay.stats().refused(Refusal::Unknown), 50_000);
}
