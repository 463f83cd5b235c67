//! Sessions by a relay: who is told of the values, when, and when the pair ends.

use simopen_broker::consent::SESSION_LIFETIME;
use simopen_broker::directory::Standing;
use simopen_broker::{AdminError, AdminReply, AdminRequest, LinkId, PairingOrder, Rendezvous};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accepted, Action, Connect, Destination, Join, KeyFingerprint, Meeting, OutcomeState, Proxy,
    Reply, TransactionId,
};
use simopen_protocol::identity::SessionId;
use simopen_protocol::technique::{Carriage, Technique};

use crate::desk::{Desk, Member, Store, accepted, ms, user, word};
use crate::entering::{device, key};

const RELAY: Technique = Technique::Relay(Carriage::Any);

fn desk() -> Desk {
    Desk::set_up(|config| {
        config.relay = vec!["relay.example:7443".parse().unwrap()];
        config.rendezvous = Rendezvous::Allowed;
    })
}

/// Two who are logged in and have proven nothing.
fn two(desk: &mut Desk) -> [Member; 2] {
    [
        desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000"),
        desk.member("bob", "10.0.2.2:5000", "203.0.113.9:52000"),
    ]
}

fn asked(desk: &mut Desk, from: &Member) -> (TransactionId, Proxy) {
    let (id, answer) = desk.connect(from, "bob", RELAY, None);
    assert_eq!(answer, None);
    let Some(PairingOrder::Open(proxy)) = desk.orders.pop() else { panic!("{:?}", desk.orders) };
    (id, proxy)
}

fn opened(desk: &mut Desk, session: SessionId) {
    desk.broker.handle_pairing_opened(session, desk.now);
    desk.drain();
}

fn meeting(destination: Destination) -> Meeting {
    match destination {
        Destination::Meeting(meeting) => meeting,
        Destination::Endpoint(_) => panic!("{destination:?}"),
    }
}

/// A session whose two values are out.
fn standing(desk: &mut Desk, [alice, bob]: [&Member; 2]) -> (SessionId, Accepted) {
    let (id, proxy) = asked(desk, alice);
    opened(desk, proxy.session);
    let answer = accepted(desk.response(alice.link, id).unwrap());
    desk.request_for(bob).unwrap();
    (proxy.session, answer)
}

#[test]
fn each_side_gets_its_own_value_and_only_after_the_relay_knows_both() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    desk.notifications(alice.link);
    let (id, proxy) = asked(&mut desk, &alice);
    assert_ne!(proxy.values[0], proxy.values[1]);
    assert!(desk.inbox.values().all(Vec::is_empty), "nobody is told before: {:?}", desk.inbox);
    opened(&mut desk, proxy.session);
    let for_alice = accepted(desk.response(alice.link, id).unwrap());
    let for_bob = desk.request_for(&bob).unwrap();
    assert_eq!(for_alice.greetings, for_bob.greetings.swapped());
    let [one, other] = [for_alice.destination, for_bob.destination].map(meeting);
    assert_eq!([one.value, other.value], proxy.values);
    assert_eq!(one.relay, ["relay.example:7443".parse().unwrap()]);
    assert_eq!(desk.accept(&bob, proxy.session, None), Ok(Reply::Done));
}

#[test]
fn a_broker_without_a_relay_says_so_and_so_does_one_whose_relay_refuses() {
    let mut none = Desk::new();
    let [alice, _] = two(&mut none);
    let (_, answer) = none.connect(&alice, "bob", RELAY, None);
    assert_eq!(word(answer.unwrap()), "no-relay");

    let mut refusing = desk();
    let [alice, bob] = two(&mut refusing);
    let (id, proxy) = asked(&mut refusing, &alice);
    refusing.broker.handle_pairing_failed(proxy.session, refusing.now);
    refusing.drain();
    assert_eq!(word(refusing.response(alice.link, id).unwrap()), "no-relay");
    assert!(refusing.request_for(&bob).is_none());
}

#[test]
fn a_relay_that_answers_too_late_is_told_to_end_the_pair() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let (id, proxy) = asked(&mut desk, &alice);
    desk.pass(SESSION_LIFETIME + ms(1));
    assert_eq!(word(desk.response(alice.link, id).unwrap()), "signalling-timeout");
    desk.orders.clear();
    opened(&mut desk, proxy.session);
    assert_eq!(desk.orders, [PairingOrder::End(proxy.session)]);
    assert!(desk.request_for(&bob).is_none());
}

#[test]
fn a_responder_that_declines_ends_the_pair_and_the_originator_learns_why() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let (session, _) = standing(&mut desk, [&alice, &bob]);
    let declined = OutcomeState::Failed(Cause::Declined);
    desk.outcome(&bob, session, declined).unwrap();
    assert_eq!(desk.outcomes(alice.link), [declined]);
    assert_eq!(desk.orders, [PairingOrder::End(session)]);
    assert_eq!(desk.broker.gauges().pairings, 0);
}

#[test]
fn a_pair_that_stands_outlives_its_session_and_its_links() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let (session, _) = standing(&mut desk, [&alice, &bob]);
    desk.accept(&bob, session, None).unwrap();
    for member in [&alice, &bob] {
        desk.outcome(member, session, OutcomeState::Confirmed).unwrap();
    }
    desk.close(alice.link);
    desk.close(bob.link);
    assert_eq!(desk.orders, []);
    assert_eq!(desk.broker.gauges().pairings, 1);
    desk.broker.handle_pairing_ended(session, desk.now);
    assert_eq!(desk.broker.gauges().pairings, 0);
}

#[test]
fn a_relay_that_is_revoked_is_left_with_all_pairs() {
    let mut desk = desk();
    let relay = joined(&mut desk, "two", 8);
    let other = joined(&mut desk, "one", 7);
    let [alice, bob] = two(&mut desk);
    let (session, _) = standing(&mut desk, [&alice, &bob]);
    let named =
        |user, name: &str| AdminRequest::RevokeDevice { user, device: name.parse().unwrap() };
    desk.store = Store::Waits;
    assert_eq!(desk.try_admin(named(user("relay"), "two")), None, "not acknowledged");
    assert_eq!(desk.orders, [PairingOrder::Leave { relay, pairs: vec![session] }]);
    assert_eq!(standings(&mut desk), [(other, Standing::Good), (relay, Standing::Revoked)]);
    desk.settle(Store::Keeps);
    assert_eq!(standings(&mut desk), [(other, Standing::Good), (relay, Standing::Revoked)]);
    // It may be that the pairs are at the other one.
    assert_eq!(desk.broker.gauges().pairings, 1);
    desk.broker.handle_relay_left(desk.now);
    assert_eq!(desk.broker.gauges().pairings, 0);
    // The control: a device of a user is no relay.
    desk.orders.clear();
    desk.store = Store::Keeps;
    device(&mut desk, "bob", "laptop", 1);
    desk.admin(named(user("bob"), "laptop")).unwrap();
    assert_eq!(desk.orders, []);
}

/// A relay that has joined, by what it shows.
fn joined(desk: &mut Desk, name: &str, number: u8) -> KeyFingerprint {
    let invited = desk.admin(AdminRequest::InviteRelay { lifetime: ms(1000) });
    let Ok(AdminReply::Invited { secret, .. }) = invited else { panic!("{invited:?}") };
    let link = desk.link_from("198.51.100.9:1".parse().unwrap());
    let join = Join { device: name.parse().unwrap(), secret, key: key(number) };
    desk.ask_patiently(link, Action::Join(join)).unwrap();
    desk.close(link);
    key(number).fingerprint()
}

/// Of all relays, as an operator is told.
fn standings(desk: &mut Desk) -> Vec<(KeyFingerprint, Standing)> {
    let told = desk.admin(AdminRequest::Devices(Some(user("relay"))));
    let Ok(AdminReply::Devices(mut devices)) = told else { panic!("{told:?}") };
    devices.sort_by_key(|device| device.name.clone());
    devices.iter().map(|device| (device.fingerprint(), device.standing)).collect()
}

#[test]
fn a_session_that_fails_ends_its_pair() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let (session, _) = standing(&mut desk, [&alice, &bob]);
    desk.accept(&bob, session, None).unwrap();
    desk.outcome(&alice, session, OutcomeState::Failed(Cause::NotPaired)).unwrap();
    assert_eq!(desk.orders, [PairingOrder::End(session)]);
}

#[test]
fn a_revoked_user_loses_pairs_that_stand_and_pairs_that_are_asked_for() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let (stands, _) = standing(&mut desk, [&alice, &bob]);
    desk.accept(&bob, stands, None).unwrap();
    for member in [&alice, &bob] {
        desk.outcome(member, stands, OutcomeState::Confirmed).unwrap();
    }
    let (_, waits) = asked(&mut desk, &alice);
    desk.admin(AdminRequest::RevokeUser(user("bob"))).unwrap();
    assert_eq!(desk.orders, [stands, waits.session].map(PairingOrder::End));
    assert_eq!(word(desk.last_response(alice.link).unwrap()), "revoked");
}

#[test]
fn the_oldest_pairs_are_forgotten_where_nobody_tells_that_they_ended() {
    let mut desk = Desk::set_up(|config| {
        config.relay = vec!["192.0.2.1:7443".parse().unwrap()];
        config.limits.pairings = 3;
    });
    let [alice, bob] = two(&mut desk);
    for _ in 0..10 {
        standing(&mut desk, [&alice, &bob]);
    }
    assert_eq!(desk.broker.gauges().pairings, 3);
}

#[test]
fn only_a_device_of_that_name_is_asked_and_none_that_is_not_reachable() {
    let mut desk = desk();
    let [alice, bob] = two(&mut desk);
    let laptop = device(&mut desk, "bob", "laptop", 1);
    let mut connect = |device: &str| {
        let device = Some(device.parse().unwrap());
        let connect = Connect { to: user("bob"), device, technique: RELAY, port: 0, syn: None };
        desk.ask(alice.link, Action::Connect(connect))
    };
    assert_eq!(word(connect("phone").unwrap()), "unknown-peer");
    assert_eq!(connect("laptop"), None);
    let Some(PairingOrder::Open(proxy)) = desk.orders.pop() else { panic!() };
    opened(&mut desk, proxy.session);
    let asked = |desk: &mut Desk, link: LinkId| {
        let lines = desk.lines(link);
        lines.iter().any(|line| {
            matches!(line, simopen_protocol::control::Notification::ConnectionRequest(_))
        })
    };
    assert!(asked(&mut desk, laptop));
    assert!(!asked(&mut desk, bob.link));
}

#[test]
fn unmodified_clients_meet_only_where_the_operator_allows_it() {
    let mut off = Desk::set_up(|config| config.relay = vec!["192.0.2.1:1".parse().unwrap()]);
    assert_eq!(off.admin(AdminRequest::Rendezvous), Err(AdminError::RendezvousOff));
    let mut desk = desk();
    assert_eq!(desk.try_admin(AdminRequest::Rendezvous), None, "the relay is asked first");
    let Some(PairingOrder::Open(proxy)) = desk.orders.pop() else { panic!() };
    opened(&mut desk, proxy.session);
    let answer = desk.late_answer().unwrap().unwrap();
    let relay = vec!["relay.example:7443".parse().unwrap()];
    assert_eq!(answer, AdminReply::Rendezvous { relay, values: proxy.values });
    assert_eq!(desk.try_admin(AdminRequest::Rendezvous), None);
    desk.pass(ms(10_001));
    assert_eq!(desk.late_answer(), Some(Err(AdminError::NoRelay)), "a relay that says nothing");
}
