//! Presence: who is silent is asked, and counts as gone only when it does not answer (seed 004).

use std::time::Duration;

use simopen_protocol::control::{
    Action, ControlError, Head, Login, Notification, Presence, Reachable, Reply,
};

use crate::desk::{Desk, Member, endpoint, ms, secret, user};

const ALIVE: Duration = Duration::from_secs(20);

fn two() -> (Desk, [Member; 2]) {
    let mut desk = Desk::set_up(|config| config.alive = Some(ALIVE));
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let bob = desk.member("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    desk.notifications(alice.link);
    (desk, [alice, bob])
}

fn ping(desk: &mut Desk, member: &Member) {
    assert_eq!(desk.ask(member.link, Action::Ping), Some(Ok(Reply::Done)));
}

#[test]
fn a_login_says_how_long_a_peer_may_be_silent() {
    let (mut desk, _) = two();
    let link = desk.link_from(endpoint("198.51.100.8:1"));
    assert_eq!(desk.log_in("carol", link).unwrap().alive, Some(ALIVE));
}

#[test]
fn a_silent_peer_is_asked_and_one_that_answers_stays() {
    let (mut desk, [alice, bob]) = two();
    for _ in 0..5 {
        desk.pass(ALIVE - ms(1));
        ping(&mut desk, &bob);
        assert_eq!(desk.notifications(alice.link), []);
        desk.pass(ms(1));
        assert_eq!(desk.notifications(alice.link), [Notification::Verify]);
        desk.pass(ALIVE / 2 - ms(1));
        ping(&mut desk, &alice);
        ping(&mut desk, &bob);
        desk.pass(ms(1));
        let told = desk.notifications(bob.link);
        let is_presence = |line: &Notification| matches!(line, Notification::Presence(_));
        assert!(!told.iter().any(is_presence), "nobody is announced as gone");
        ping(&mut desk, &alice);
    }
    assert_eq!(desk.broker.stats().vanished, 0);
}

#[test]
fn a_peer_that_does_not_answer_is_announced_after_the_verification_and_not_before() {
    let (mut desk, [alice, bob]) = two();
    desk.pass(ALIVE / 2);
    ping(&mut desk, &bob);
    desk.pass(ALIVE - ms(1));
    ping(&mut desk, &bob);
    assert_eq!(desk.notifications(bob.link), [], "it was asked, and has time to answer");
    desk.pass(ms(1));
    let gone = Presence { peer: alice.peer, user: user("alice"), device: None, online: false };
    assert_eq!(desk.notifications(bob.link), [Notification::Presence(gone)]);
    assert_eq!(desk.closed, [alice.link]);
    assert_eq!(desk.broker.stats().vanished, 1);
}

#[test]
fn an_answer_that_is_not_understood_is_an_answer() {
    let (mut desk, [alice, _]) = two();
    desk.pass(ALIVE);
    let unknown = ControlError::UnknownAction(Head::default());
    desk.broker.handle_malformed(alice.link, unknown);
    desk.pass(ALIVE + ALIVE / 2 - ms(1));
    assert!(desk.broker.is_logged_in(alice.link));
    desk.pass(ALIVE);
    assert!(!desk.broker.is_logged_in(alice.link));
}

#[test]
fn a_closed_link_is_announced_at_once() {
    let (mut desk, [alice, bob]) = two();
    desk.close(alice.link);
    let told = desk.notifications(bob.link);
    assert!(matches!(&told[..], [Notification::Presence(gone)] if !gone.online), "{told:?}");
}

#[test]
fn a_broker_that_was_held_up_asks_again_before_it_gives_anybody_up() {
    let (mut desk, [alice, bob]) = two();
    desk.pass(ALIVE);
    desk.stall(Duration::from_secs(3600));
    assert_eq!(desk.broker.gauges().peers, 2);
    for member in [&alice, &bob] {
        assert_eq!(desk.notifications(member.link), [Notification::Verify, Notification::Verify]);
        ping(&mut desk, member);
    }
    desk.pass(ALIVE - ms(1));
    assert_eq!(desk.broker.gauges().peers, 2);
}

#[test]
fn steps_of_the_wall_clock_log_nobody_out_and_end_no_session() {
    let (mut desk, [alice, bob]) = two();
    desk.prove(&alice, None).unwrap();
    let technique = simopen_protocol::technique::Technique::SimultaneousOpen;
    desk.connect(&alice, "bob", technique, None);
    for wall in [0, u64::MAX, 1, 1_900_000_000] {
        desk.broker.handle_wall_clock(wall, desk.now);
        desk.stall(ms(10));
    }
    let gauges = desk.broker.gauges();
    assert_eq!((gauges.peers, gauges.sessions), (2, 1));
    assert!(desk.request_for(&bob).is_some());
}

#[test]
fn a_peer_that_only_asks_others_is_nobodys_business() {
    let (mut desk, [alice, _]) = two();
    let link = desk.link_from(endpoint("198.51.100.8:1"));
    let login =
        Login { user: user("carol"), secret: Some(secret("carol")), reachable: Reachable::No };
    assert!(matches!(desk.ask(link, Action::Login(login)), Some(Ok(Reply::LoggedIn(_)))));
    assert_eq!(desk.notifications(alice.link), []);
    desk.prove(&alice, None).unwrap();
    let technique = simopen_protocol::technique::Technique::SimultaneousOpen;
    let (_, answer) = desk.connect(&alice, "carol", technique, None);
    assert_eq!(answer.unwrap().unwrap_err().0, "unknown-peer");
    desk.close(link);
    assert_eq!(desk.notifications(alice.link), []);
}
