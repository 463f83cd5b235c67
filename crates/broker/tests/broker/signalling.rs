//! Logins, presence, who may know of whom, and what is left when links and sessions end.

use std::time::Duration;

use simopen_broker::consent::SESSION_LIFETIME;
use simopen_broker::{LinkOrigin, Timer, What};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Action, Connect, ControlError, Head, Login, Message, Notification, OutcomeState,
    Presence, Probe, Reachable, Reply, Request, TransactionId,
};
use simopen_protocol::document::DocumentError;
use simopen_protocol::identity::{PeerId, SessionId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

use crate::desk::{Desk, KERNEL, USERSPACE, accepted, endpoint, ms, secret, user, word};

const SIMULTANEOUS: Technique = Technique::SimultaneousOpen;

fn presences(notifications: Vec<Notification>) -> Vec<(PeerId, bool)> {
    let presence = |notification| {
        let Notification::Presence(Presence { peer, online, .. }) = notification else {
            return None;
        };
        Some((peer, online))
    };
    notifications.into_iter().filter_map(presence).collect()
}

#[test]
fn a_wrong_secret_and_an_unknown_user_are_refused_alike() {
    let mut desk = Desk::new();
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    for login in [
        Login { user: user("alice"), secret: Some(secret("bob")), reachable: Reachable::Yes },
        Login { user: user("nobody"), secret: Some(secret("nobody")), reachable: Reachable::Yes },
        Login {
            user: user("nobody"),
            secret: Some(Token::from_random([0; 32])),
            reachable: Reachable::Yes,
        },
    ] {
        let answer = desk.ask_patiently(link, Action::Login(login));
        assert_eq!(word(answer), "not-authenticated");
    }
    assert!(!desk.broker.is_logged_in(link));
    desk.log_in("alice", link).unwrap();
    assert!(desk.broker.is_logged_in(link));
}

#[test]
fn a_link_logs_in_once() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    assert_eq!(desk.log_in("bob", alice.link).unwrap_err().0, "already-logged-in");
    assert_eq!(desk.log_in("alice", alice.link).unwrap_err().0, "already-logged-in");
}

#[test]
fn a_probe_connection_does_not_log_in_and_a_control_link_does_not_probe() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let probe = desk.link_from(alice.public);
    desk.probe_on(probe, &alice, None).unwrap();
    assert_eq!(desk.log_in("bob", probe).unwrap_err().0, "already-logged-in");
    assert_eq!(word(desk.probe_on(alice.link, &alice, None)), "not-authenticated");
}

#[test]
fn a_probe_needs_the_secret_of_its_peer() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    for (peer, secret) in [
        (alice.peer, bob.probe_secret),
        (alice.peer, secret("alice")),
        (PeerId(1), alice.probe_secret),
    ] {
        let link = desk.link_from(alice.public);
        let probe = Probe { peer, secret, port: 4000, sequence: None };
        assert_eq!(word(desk.ask(link, Action::Probe(probe)).unwrap()), "not-authenticated");
    }
}

#[test]
fn requests_before_the_login_are_refused_and_a_ping_is_answered() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], SIMULTANEOUS);
    let stranger = desk.link_from(endpoint("198.51.100.9:30000"));
    let mut nobody = alice.clone();
    nobody.link = stranger;
    let (_, answer) = desk.connect(&nobody, "bob", SIMULTANEOUS, None);
    assert_eq!(word(answer.unwrap()), "not-logged-in");
    assert_eq!(word(desk.accept(&nobody, session, None)), "not-logged-in");
    assert_eq!(word(desk.report(&nobody, session, &alice.syn(bob.public))), "not-logged-in");
    let failed = OutcomeState::Failed(Cause::Declined);
    assert_eq!(word(desk.outcome(&nobody, session, failed)), "not-logged-in");
    assert_eq!(desk.ask(stranger, Action::Ping), Some(Ok(Reply::Done)));
}

#[test]
fn a_request_on_a_link_that_is_not_there_is_nothing() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.close(alice.link);
    assert_eq!(desk.ask(alice.link, Action::Ping), None);
    assert!(desk.broker.is_idle());
}

#[test]
fn garbage_is_answered_once_and_ends_the_link() {
    let mut desk = Desk::new();
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    for error in [ControlError::UnknownRoot, ControlError::Document(DocumentError::Malformed)] {
        desk.broker.handle_malformed(link, error);
    }
    desk.drain();
    assert_eq!(desk.closed, [link, link]);
    let answers = desk.inbox.remove(&link).unwrap();
    let is_malformed = |message: &Message| {
        matches!(message, Message::Response(response)
        if response.result.as_ref().is_err_and(|name| name.0 == "malformed"))
    };
    assert!(answers.iter().all(is_malformed), "{answers:?}");
}

#[test]
fn an_unknown_action_is_answered_and_the_link_goes_on() {
    let mut desk = Desk::new();
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    desk.broker.handle_malformed(link, ControlError::UnknownAction(Head::default()));
    let incomplete = ControlError::Missing { element: "PBReq", what: "ID", head: Head::default() };
    desk.broker.handle_malformed(link, incomplete);
    desk.drain();
    assert!(desk.closed.is_empty());
    assert_eq!(desk.inbox[&link].len(), 2);
    desk.log_in("alice", link).unwrap();
}

#[test]
fn nobody_learns_whether_a_user_is_unknown_a_stranger_or_away() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let stranger = desk.proven("dave", "10.0.4.2:7000", "198.51.100.70:41000");
    let answers = ["nobody", "dave", "bob"].map(|to| {
        let (id, answer) = desk.connect(&alice, to, KERNEL, None);
        (id.0 > 0, answer.unwrap(), desk.inbox[&alice.link].len())
    });
    assert_eq!(answers[0].1.as_ref().unwrap_err().0, "unknown-peer");
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert!(desk.request_for(&stranger).is_none());
}

#[test]
fn presence_goes_to_members_of_common_communities_only() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let stranger = desk.member("dave", "10.0.4.2:7000", "198.51.100.70:41000");
    let bob = desk.member("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let online: Vec<_> =
        bob.online.iter().map(|presence| (presence.peer, presence.online)).collect();
    assert_eq!(online, [(alice.peer, true)]);
    assert!(stranger.online.is_empty());
    desk.close(bob.link);
    assert_eq!(presences(desk.notifications(alice.link)), [(bob.peer, true), (bob.peer, false)]);
    assert!(presences(desk.notifications(stranger.link)).is_empty());
}

#[test]
fn the_newest_device_of_a_user_is_asked() {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let old = desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    let new = desk.proven("bob", "10.0.2.3:5000", "203.0.113.9:53000");
    desk.connect(&alice, "bob", SIMULTANEOUS, None);
    assert!(desk.request_for(&old).is_none());
    assert_eq!(desk.request_for(&new).unwrap().destination.endpoint().unwrap(), alice.public);
    desk.close(new.link);
    desk.connect(&alice, "bob", SIMULTANEOUS, None);
    assert!(desk.request_for(&old).is_some());
}

#[test]
fn the_two_sides_get_each_others_endpoint_round_trip_and_greetings() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.set_one_way(&alice, ms(10));
    desk.set_one_way(&bob, ms(30));
    let (id, _) = desk.connect(&alice, "bob", SIMULTANEOUS, None);
    let request = desk.request_for(&bob).unwrap();
    desk.accept(&bob, request.session, None).unwrap();
    let accepted = accepted(desk.response(alice.link, id).unwrap());
    assert_eq!(
        (request.destination.endpoint().unwrap(), accepted.destination.endpoint().unwrap()),
        (alice.public, bob.public)
    );
    assert_eq!((request.round_trip, accepted.round_trip), (ms(20), ms(60)));
    assert_eq!((request.peer, accepted.peer), (alice.peer, bob.peer));
    assert_eq!(request.session, accepted.session);
    assert_eq!(request.greetings.swapped(), accepted.greetings);
    assert_ne!(accepted.greetings.own, accepted.greetings.peer);
}

#[test]
fn a_declined_request_is_answered_with_its_cause() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (id, _) = desk.connect(&alice, "bob", KERNEL, None);
    let session = desk.request_for(&bob).unwrap().session;
    assert_eq!(word(desk.outcome(&bob, session, OutcomeState::Confirmed)), "unknown-session");
    desk.outcome(&bob, session, OutcomeState::Failed(Cause::Declined)).unwrap();
    assert_eq!(word(desk.response(alice.link, id).unwrap()), "declined");
    assert_eq!(word(desk.accept(&bob, session, None)), "unknown-session");
}

#[test]
fn an_outcome_reaches_the_other_side_once_and_two_end_the_session() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (session, _) = desk.session([&alice, &bob], SIMULTANEOUS);
    for _ in 0..3 {
        desk.outcome(&alice, session, OutcomeState::Confirmed).unwrap();
    }
    assert_eq!(desk.outcomes(bob.link), [OutcomeState::Confirmed]);
    desk.outcome(&bob, session, OutcomeState::Confirmed).unwrap();
    assert_eq!(desk.outcomes(alice.link), [OutcomeState::Confirmed]);
    let over = desk.outcome(&alice, session, OutcomeState::Confirmed);
    assert_eq!(word(over), "unknown-session");
}

#[test]
fn what_becomes_of_a_session_is_told_with_its_number_and_its_cause() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (good, _) = desk.session([&alice, &bob], SIMULTANEOUS);
    let (bad, _) = desk.session([&alice, &bob], SIMULTANEOUS);
    for member in [&alice, &bob] {
        desk.outcome(member, good, OutcomeState::Confirmed).unwrap();
        desk.outcome(member, bad, OutcomeState::Failed(Cause::NoAnswer)).unwrap();
    }
    let of = |what: &What| {
        if let What::Asked { session, .. }
        | What::Connected { session }
        | What::Ended { session, .. } = what
        {
            return Some(*session);
        }
        None
    };
    let told = |id| -> Vec<What> {
        let events = desk.events.iter().map(|event| event.what.clone());
        events.filter(|what| of(what) == Some(id)).collect()
    };
    let asked = |session| What::Asked {
        session,
        technique: SIMULTANEOUS,
        originator: alice.peer,
        responder: bob.peer,
    };
    let connected = What::Connected { session: good };
    let ended = What::Ended { session: good, cause: None };
    assert_eq!(told(good), [asked(good), connected, ended]);
    let failed = What::Ended { session: bad, cause: Some(Cause::NoAnswer) };
    assert_eq!(told(bad), [asked(bad), failed]);
}

#[test]
fn an_outcome_of_somebody_elses_session_is_for_no_session() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let carol = desk.proven("carol", "10.0.3.2:6000", "198.51.100.8:61000");
    let (session, _) = desk.session([&alice, &bob], SIMULTANEOUS);
    for session in [session, SessionId(1)] {
        let answer = desk.outcome(&carol, session, OutcomeState::Failed(Cause::Refused));
        assert_eq!(word(answer), "unknown-session");
    }
    assert!(desk.outcomes(alice.link).is_empty());
    assert!(desk.outcomes(bob.link).is_empty());
}

#[test]
fn a_request_that_nobody_answers_ends_with_its_session() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (id, _) = desk.connect(&alice, "bob", KERNEL, None);
    let session = desk.request_for(&bob).unwrap().session;
    desk.pass(SESSION_LIFETIME);
    assert_eq!(desk.response(alice.link, id), None);
    let (at, timer) = desk.broker.poll_timeout().unwrap();
    assert_eq!(timer, Timer::SessionExpiry);
    desk.stall(at - desk.now);
    assert_eq!(word(desk.response(alice.link, id).unwrap()), "signalling-timeout");
    assert_eq!(word(desk.accept(&bob, session, None)), "unknown-session");
    assert_eq!(desk.broker.poll_timeout(), None);
}

#[test]
fn a_lost_responder_is_told_to_the_originator() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let (id, _) = desk.connect(&alice, "bob", KERNEL, None);
    desk.close(bob.link);
    assert_eq!(word(desk.response(alice.link, id).unwrap()), "link-lost");
}

#[test]
fn nothing_is_said_to_a_link_that_is_gone() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    desk.connect(&alice, "bob", KERNEL, None);
    desk.inbox.clear();
    desk.close(alice.link);
    assert_eq!(desk.inbox.get(&alice.link), None);
    assert!(desk.inbox.contains_key(&bob.link), "its absence is announced");
}

#[test]
fn closed_links_and_expired_sessions_leave_nothing_behind() {
    for technique in [KERNEL, USERSPACE, SIMULTANEOUS] {
        let mut desk = Desk::new();
        let [alice, bob] = desk.alice_and_bob();
        desk.session([&alice, &bob], technique).1.unwrap();
        desk.connect(&alice, "bob", SIMULTANEOUS, None);
        for link in 1..=4 {
            assert!(!desk.broker.is_idle());
            desk.close(simopen_broker::LinkId(link));
        }
        assert!(desk.broker.is_idle(), "{technique}");
        assert_eq!(desk.broker.poll_timeout(), None);
    }
}

#[test]
fn early_and_repeated_timeouts_change_nothing() {
    let mut desk = Desk::new();
    desk.both_reported(USERSPACE);
    let before = format!("{:?}", desk.broker);
    for _ in 0..3 {
        desk.broker.handle_timeout(desk.now);
        desk.broker.handle_timeout(desk.now + ms(4));
    }
    assert_eq!(format!("{:?}", desk.broker), before);
    desk.pass(ms(20));
    assert_eq!(desk.forged.len(), 2);
    let after = format!("{:?}", desk.broker);
    desk.broker.handle_timeout(desk.now);
    assert_eq!(format!("{:?}", desk.broker), after);
}

#[test]
fn a_peer_has_a_bounded_number_of_open_requests() {
    let mut desk = Desk::new();
    let [alice, bob] = desk.alice_and_bob();
    let answers: Vec<_> =
        (0..70).map(|_| desk.connect(&alice, "bob", SIMULTANEOUS, None).1).collect();
    let refused: Vec<_> = answers.into_iter().flatten().map(word).collect();
    assert_eq!(refused, ["too-many-sessions"; 6]);
    assert_eq!(desk.notifications(bob.link).len(), 64);
    desk.pass(SESSION_LIFETIME + ms(1));
    desk.prove(&alice, None).unwrap();
    assert_eq!(desk.connect(&alice, "bob", SIMULTANEOUS, None).1, None, "room again");
}

#[test]
fn a_peer_has_a_bounded_number_of_proofs_and_the_oldest_goes() {
    let mut desk = Desk::new();
    let mut alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    desk.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000");
    for port in 4000..4017 {
        alice.local.set_port(port);
        desk.prove(&alice, None).unwrap();
        desk.pass(ms(1));
    }
    let mut answer = |port| {
        alice.local.set_port(port);
        desk.connect(&alice, "bob", SIMULTANEOUS, None).1
    };
    assert_eq!(word(answer(4000).unwrap()), "not-proven");
    assert_eq!(answer(4001), None);
    assert_eq!(answer(4016), None);
}

#[test]
fn a_request_repeats_little_while_it_waits_for_its_answer() {
    let mut desk = Desk::new();
    let [alice, _] = desk.alice_and_bob();
    for (length, refused) in [(1000, false), (60_000, true)] {
        let connect = Connect {
            device: None,
            to: user("bob"),
            technique: SIMULTANEOUS,
            port: 4000,
            syn: None,
        };
        let mut request = Request::new(TransactionId(900), Action::Connect(connect));
        request.unknown = vec![("Colour".into(), "x".repeat(length))];
        let answer = desk.ask_as(alice.link, request);
        assert_eq!(answer.is_some_and(|answer| word(answer) == "too-long"), refused);
    }
}

#[test]
fn a_response_repeats_all_attributes_of_its_request() {
    let mut desk = Desk::new();
    let link = desk.link_from(endpoint("198.51.100.7:30000"));
    let mut request = Request::new(TransactionId(8), Action::Ping);
    request.unknown = vec![("Colour".into(), "green".into())];
    let head = request.head();
    desk.broker.handle_request(link, request, desk.now);
    desk.drain();
    let [Message::Response(response)] = desk.inbox[&link].as_slice() else { panic!() };
    assert_eq!(response.head, head);
}

#[test]
fn the_same_requests_and_entropy_give_the_same_answers() {
    let run = || {
        let mut desk = Desk::new();
        desk.both_reported(USERSPACE);
        desk.pass(Duration::from_secs(40));
        let packets: Vec<_> = desk.forged.iter().map(|one| one.packet().to_vec()).collect();
        (format!("{:?}", desk.inbox), desk.events, packets)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_link_without_a_saved_syn_shows_its_endpoint_all_the_same() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", "10.0.1.2:4000", "198.51.100.7:41000");
    let link = desk.accept_link(LinkOrigin { remote: alice.public, syn: None, key: None });
    let Ok(Reply::Observed(observed)) = desk.probe_on(link, &alice, None) else { panic!() };
    assert_eq!(observed.endpoint, alice.public);
}

/// What the originator is told of bob's own address, where both are observed at these addresses.
fn told_of_private(alice_at: &str, bob_at: &str, private: &str) -> Option<std::net::SocketAddr> {
    let mut desk = Desk::new();
    let alice = desk.proven("alice", "10.0.1.2:4000", alice_at);
    let bob = desk.proven("bob", "10.0.1.9:5000", bob_at);
    let (id, _) = desk.connect(&alice, "bob", Technique::Direct, None);
    let session = desk.request_for(&bob).unwrap().session;
    let private = Some(private.parse().unwrap());
    let accept = Accept { session, port: bob.local.port(), syn: None, private };
    desk.ask(bob.link, Action::Accept(accept)).unwrap().unwrap();
    accepted(desk.response(alice.link, id).unwrap()).private
}

#[test]
fn a_private_endpoint_is_told_only_to_a_peer_that_is_observed_at_the_same_address() {
    let (here, there) = ("198.51.100.7:41000", "203.0.113.9:52000");
    let beside = "198.51.100.7:52000";
    let private = Some(endpoint("10.0.1.9:5000"));
    assert_eq!(told_of_private(here, beside, "10.0.1.9"), private);
    assert_eq!(told_of_private(here, beside, "::ffff:10.0.1.9"), private);
    assert_eq!(told_of_private(here, there, "10.0.1.9"), None);
}

#[test]
fn a_private_endpoint_that_is_the_observed_one_is_not_told_twice() {
    assert_eq!(told_of_private("198.51.100.7:41000", "198.51.100.7:5000", "198.51.100.7"), None);
}
