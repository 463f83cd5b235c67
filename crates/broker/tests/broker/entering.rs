//! Joining by an invitation, logging in by key, and what becomes of those who guess.

use std::time::Duration;

use simopen_broker::directory::RELAY;
use simopen_broker::{AdminReply, AdminRequest, LinkId};
use simopen_protocol::control::{
    Action, ErrorName, Join, Login, NoteSend, Notification, PublicKey, Reachable, Recipient, Reply,
};
use simopen_protocol::token::Token;

use crate::desk::{Desk, Store, WALL, endpoint, ms, secret, user, word};

const HOUR: Duration = Duration::from_secs(3600);
const HOME: &str = "198.51.100.7:30000";

pub(crate) fn key(number: u8) -> PublicKey {
    PublicKey(vec![number; 64])
}

pub(crate) fn invited(desk: &mut Desk, name: &str) -> Token {
    match desk.admin(AdminRequest::Invite { user: user(name), lifetime: HOUR }) {
        Ok(AdminReply::Invited { secret, until }) => {
            assert_eq!(until, WALL + 3600);
            secret
        }
        other => panic!("{other:?}"),
    }
}

fn join(device: &str, secret: Token, key: &PublicKey) -> Action {
    Action::Join(Join { device: device.parse().unwrap(), secret, key: key.clone() })
}

fn joined(desk: &mut Desk, action: Action) -> Result<Reply, ErrorName> {
    let link = desk.link_from(endpoint(HOME));
    desk.ask_patiently(link, action)
}

pub(crate) fn log_in_by_key(
    desk: &mut Desk,
    name: &str,
    key: &PublicKey,
) -> (LinkId, Result<Reply, ErrorName>) {
    let link = desk.link_with_key(HOME, key);
    let login = Login { user: user(name), secret: None, reachable: Reachable::Yes };
    (link, desk.ask_patiently(link, Action::Login(login)))
}

/// A device that has joined and is logged in.
pub(crate) fn device(desk: &mut Desk, name: &str, device: &str, number: u8) -> LinkId {
    let secret = invited(desk, name);
    joined(desk, join(device, secret, &key(number))).unwrap();
    let (link, answer) = log_in_by_key(desk, name, &key(number));
    assert!(matches!(answer, Ok(Reply::LoggedIn(_))), "{answer:?}");
    desk.notifications(link);
    link
}

#[test]
fn a_device_joins_by_an_invitation_and_logs_in_by_its_key() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "alice");
    let Ok(Reply::Joined(joined)) = joined(&mut desk, join("laptop", secret, &key(1))) else {
        panic!("not joined");
    };
    assert_eq!((joined.user, joined.broker.as_str()), (user("alice"), "broker"));
    let (link, answer) = log_in_by_key(&mut desk, "alice", &key(1));
    assert!(matches!(answer, Ok(Reply::LoggedIn(_))), "{answer:?}");
    assert_eq!(desk.broker.device_on(link).unwrap().name.as_str(), "laptop");
    assert_eq!(desk.ask(link, Action::Certificate), Some(Ok(Reply::Certified(None))));
}

#[test]
fn an_invitation_is_good_once_even_for_two_at_the_same_moment() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "alice");
    desk.store = Store::Waits;
    let links = [1, 2].map(|number| {
        let link = desk.link_from(endpoint(HOME));
        let device = if number == 1 { "one" } else { "two" };
        assert_eq!(desk.ask(link, join(device, secret, &key(number))), None);
        link
    });
    assert_eq!(desk.asked.len(), 1, "the second is judged when the first is settled");
    desk.store = Store::Keeps;
    desk.settle(Store::Keeps);
    desk.pass(Duration::from_secs(1));
    let answer = desk.last_response(links[1]).unwrap();
    assert_eq!(word(answer), "not-invited");
    assert_eq!(desk.broker.directory().devices_of(&user("alice")).count(), 1);
}

#[test]
fn an_invitation_that_the_store_did_not_keep_as_used_is_still_good() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "alice");
    desk.store = Store::Fails;
    let failed = joined(&mut desk, join("laptop", secret, &key(1)));
    assert_eq!(word(failed), "storage-failed");
    assert_eq!(desk.broker.directory(), &desk.kept, "nothing has changed");
    desk.store = Store::Keeps;
    joined(&mut desk, join("laptop", secret, &key(1))).unwrap();
}

#[test]
fn a_device_that_did_not_hear_the_answer_joins_again_and_nobody_else_does() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "alice");
    let first = joined(&mut desk, join("laptop", secret, &key(1)));
    assert_eq!(joined(&mut desk, join("laptop", secret, &key(1))), first);
    assert_eq!(word(joined(&mut desk, join("laptop", secret, &key(2)))), "not-invited");
}

#[test]
fn unknown_and_late_invitations_are_refused_alike() {
    let mut desk = Desk::new();
    let secret = invited(&mut desk, "alice");
    let unknown = joined(&mut desk, join("laptop", Token::from_random([3; 32]), &key(1)));
    desk.broker.handle_wall_clock(WALL + 3601, desk.now);
    let late = joined(&mut desk, join("laptop", secret, &key(1)));
    assert_eq!((word(unknown), word(late)), ("not-invited".into(), "not-invited".into()));
}

#[test]
fn a_name_or_a_key_that_is_taken_is_refused() {
    let mut desk = Desk::new();
    device(&mut desk, "alice", "laptop", 1);
    let secret = invited(&mut desk, "alice");
    assert_eq!(word(joined(&mut desk, join("laptop", secret, &key(2)))), "device-exists");
    let secret = invited(&mut desk, "bob");
    assert_eq!(word(joined(&mut desk, join("laptop", secret, &key(1)))), "key-in-use");
}

#[test]
fn a_key_logs_in_its_own_user_only() {
    let mut desk = Desk::new();
    device(&mut desk, "alice", "laptop", 1);
    for (name, number) in [("bob", 1), ("nobody", 1), ("alice", 2)] {
        let (_, answer) = log_in_by_key(&mut desk, name, &key(number));
        assert_eq!(word(answer), "not-authenticated");
    }
}

#[test]
fn a_relay_joins_and_logs_in_nowhere() {
    let mut desk = Desk::new();
    let invited = desk.admin(AdminRequest::InviteRelay { lifetime: HOUR });
    let Ok(AdminReply::Invited { secret, .. }) = invited else { panic!("{invited:?}") };
    joined(&mut desk, join("relay-1", secret, &key(1))).unwrap();
    let (_, answer) = log_in_by_key(&mut desk, RELAY, &key(1));
    assert_eq!(word(answer), "not-authenticated");
}

#[test]
fn a_logout_is_answered_and_ends_the_link() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    assert_eq!(desk.ask(alice.link, Action::Logout), Some(Ok(Reply::Done)));
    assert_eq!(desk.closed, [alice.link]);
    let told = desk.notifications(bob.link);
    assert!(matches!(&told[..], [Notification::Presence(gone)] if !gone.online), "{told:?}");
    assert_eq!(desk.ask(alice.link, Action::Ping), None, "nothing on it counts any more");
    desk.close(alice.link);
}

#[test]
fn a_link_by_secret_has_no_device_to_certify() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    assert_eq!(word(desk.ask(alice.link, Action::Certificate).unwrap()), "no-device");
}

fn guess(desk: &mut Desk, from: &str, right: bool) -> LinkId {
    let link = desk.link_from(endpoint(from));
    let secret = if right { secret("alice") } else { Token::from_random([0; 32]) };
    let login = Login { user: user("alice"), secret: Some(secret), reachable: Reachable::Yes };
    assert_eq!(desk.ask(link, Action::Login(login)), None, "the answer is held back");
    link
}

#[test]
fn answers_to_guesses_come_one_after_the_other_and_later_each_time() {
    let mut desk = Desk::new();
    let links: Vec<_> = (0..4).map(|_| guess(&mut desk, HOME, false)).collect();
    let mut answered = Vec::new();
    for step in 1..=16 {
        desk.pass(ms(100));
        for (place, link) in links.iter().enumerate() {
            if desk.inbox.get(link).is_some_and(|inbox| !inbox.is_empty()) {
                answered.push((place, step));
                desk.inbox.remove(link);
            }
        }
    }
    assert_eq!(answered, [(0, 1), (1, 3), (2, 7), (3, 15)], "after 100, 200, 400, 800 ms more");
    assert_eq!(desk.broker.stats().refused["not-authenticated"], 4);
}

#[test]
fn whoever_shares_an_address_with_a_guesser_waits_and_is_let_in() {
    let mut desk = Desk::new();
    guess(&mut desk, HOME, false);
    let right = guess(&mut desk, HOME, true);
    desk.pass(ms(99));
    assert!(!desk.broker.is_logged_in(right));
    desk.pass(ms(2));
    assert!(desk.broker.is_logged_in(right));
    let elsewhere = desk.link_from(endpoint("203.0.113.9:30000"));
    desk.log_in("bob", elsewhere).unwrap();
}

#[test]
fn a_bounded_number_of_guesses_is_held_and_one_that_left_makes_room() {
    let mut desk = Desk::set_up(|config| config.limits.held_per_guesser = 2);
    let held = [0, 1].map(|_| guess(&mut desk, HOME, false));
    let link = desk.link_from(endpoint(HOME));
    assert_eq!(desk.log_in("alice", link).unwrap_err().0, "too-many-attempts");
    assert_eq!(desk.closed, [link]);
    desk.close(held[0]);
    guess(&mut desk, HOME, false);
    for link in desk.inbox.keys().copied().collect::<Vec<_>>() {
        desk.close(link);
    }
    desk.close(held[1]);
}

#[test]
fn a_user_has_a_bounded_number_of_peers() {
    let mut desk = Desk::set_up(|config| config.limits.peers_per_user = 2);
    let links = [0; 3].map(|_| desk.link_from(endpoint(HOME)));
    desk.log_in("alice", links[0]).unwrap();
    desk.log_in("alice", links[1]).unwrap();
    assert_eq!(desk.log_in("alice", links[2]).unwrap_err().0, "too-many-peers");
    desk.close(links[0]);
    desk.log_in("alice", links[2]).unwrap();
}

#[test]
fn a_restarting_broker_tells_so_and_takes_nobody() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let within = Duration::from_secs(3);
    desk.broker.handle_restarting(within, desk.now);
    desk.drain();
    assert_eq!(desk.notifications(alice.link), [Notification::Restarting { within }]);
    let link = desk.link_from(endpoint(HOME));
    assert_eq!(desk.log_in("bob", link).unwrap_err().0, "restarting");
    assert_eq!(desk.ask(alice.link, Action::Ping), Some(Ok(Reply::Done)));
}

#[test]
fn what_waits_for_the_store_is_bounded() {
    let mut desk = Desk::set_up(|config| config.limits.waiting = [4, 2]);
    let [alice, bob] = desk.alice_and_bob();
    desk.store = Store::Waits;
    let to = Recipient::Member(user("bob"));
    let note = Action::NoteSend(NoteSend { to, subject: String::new(), text: "x".into() });
    let mut ask = |link| desk.ask(link, note.clone()).map(word);
    let answers = [ask(alice.link), ask(alice.link), ask(alice.link), ask(bob.link)];
    assert_eq!(answers, [None, None, Some("busy".into()), None]);
}
