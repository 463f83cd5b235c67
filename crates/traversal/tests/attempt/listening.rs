//! The techniques in which one side listens, and the SYN that dies on the way.

use std::time::Duration;

use simopen_packet::Ttl;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Accept, Action, Destination, OutcomeState};
use simopen_traversal::{AttemptOutcome, Command, DialOutcome, Handshake, Timer, What};

use crate::side::{
    DIRECT, LOCAL, LOW_TTL, OBSERVED, OWN_TRIP, PEER_TRIP, PRIVATE, PUNCH, REMOTE, SESSION, Side,
    acceptance, acceptance_beside, at, endpoint, kernel_syn, ms,
};

const NO_ANSWER: OutcomeState = OutcomeState::Failed(Cause::NoAnswer);

fn dial(remote: &str, ttl: Option<Ttl>) -> Command {
    let (local, remote) = (endpoint(LOCAL), endpoint(remote));
    Command::Dial { local, remote, ttl, handshake: Handshake::EndToEnd }
}

/// What comes from the private endpoint.
type Answer = fn(&mut Side);

fn listen() -> Command {
    Command::Listen { local: endpoint(LOCAL) }
}

fn punch() -> Command {
    Command::Punch { local: endpoint(LOCAL), remote: endpoint(REMOTE), ttl: Ttl(2) }
}

fn accept(private: Option<&str>) -> Action {
    let private = private.map(|endpoint_text| endpoint(endpoint_text).ip());
    Action::Accept(Accept { session: SESSION, port: 40_000, syn: None, private })
}

/// Responders that listen.
fn listeners() -> [Side; 2] {
    let mut punched = Side::responder(PUNCH);
    punched.pass(ms(50));
    [Side::responder(DIRECT), punched]
}

/// Originators that dial what listens.
fn diallers() -> [Side; 2] {
    [DIRECT, PUNCH].map(|technique| {
        let mut side = Side::originator(technique);
        side.hear(&acceptance(REMOTE));
        side
    })
}

#[test]
fn a_direct_responder_listens_before_it_accepts_and_offers_its_own_address() {
    let side = Side::responder(DIRECT);
    assert_eq!(side.commands, [listen()]);
    assert_eq!(side.messages, [accept(Some(LOCAL))]);
}

#[test]
fn originators_dial_what_listens_and_nothing_else() {
    for side in diallers() {
        assert_eq!(side.commands, [dial(REMOTE, None)]);
        assert_eq!(side.messages.len(), 1, "the request alone");
    }
}

#[test]
fn a_punching_responder_listens_as_soon_as_its_syn_was_seen_and_then_says_so() {
    let mut side = Side::responder(PUNCH);
    assert_eq!(side.commands, [punch()]);
    assert_eq!(side.messages, []);
    side.capture_syn(1);
    assert_eq!(side.commands, [punch(), listen()]);
    assert_eq!(side.messages, [accept(None)]);
    side.capture_syn(2);
    side.pass(ms(100));
    assert_eq!((side.commands.len(), side.messages.len()), (2, 1), "once");
}

#[test]
fn a_punching_responder_that_sees_no_syns_listens_a_moment_later() {
    let mut side = Side::responder(PUNCH);
    assert_eq!(side.attempt.poll_timeout(), Some((at(50), Timer::Listen)));
    side.pass(ms(50));
    assert_eq!(side.commands, [punch(), listen()]);
    assert_eq!(side.messages, [accept(None)]);
}

#[test]
fn a_port_that_cannot_be_held_is_a_local_error() {
    for mut side in listeners() {
        side.dialled(DialOutcome::LocalError);
        side.assert_failed(Cause::LocalError);
        assert_eq!(side.reported(), [OutcomeState::Failed(Cause::LocalError)]);
    }
}

#[test]
fn an_accepted_connection_with_the_right_greeting_is_established_and_confirmed_at_once() {
    for mut side in listeners() {
        side.clear();
        side.pass(ms(300));
        let since = at(200);
        side.attempt.handle_accepted(since, side.now);
        side.drain();
        assert_eq!(side.events, [What::Established, What::Confirmed]);
        assert_eq!(side.attempt.established_at(), Some(since));
        assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
        assert_eq!(side.reported(), [OutcomeState::Confirmed]);
        let before = side.view();
        side.attempt.handle_accepted(since, side.now);
        side.drain();
        assert_eq!(side.view(), before, "one connection a session");
    }
}

#[test]
fn nobody_is_accepted_by_a_side_that_does_not_listen() {
    for mut side in diallers() {
        let before = side.view();
        side.attempt.handle_accepted(side.now, side.now);
        side.drain();
        assert_eq!(side.view(), before);
    }
}

#[test]
fn the_side_that_dials_decides_after_two_syns_and_waits_for_nobody() {
    for mut side in diallers() {
        side.capture_syn(1);
        side.pass(ms(1000));
        side.capture_syn(1001);
        // As long as the first SYN had, and the way there and back: 2·(20 + 60) + 50 ms.
        side.pass(ms(1000 + 210 - 1));
        assert_eq!(side.attempt.outcome(), None);
        side.pass(ms(1));
        side.assert_failed(Cause::NoAnswer);
        assert_eq!(side.reported(), [NO_ANSWER]);
        assert_eq!(side.failure().unwrap().syns, 2);
        assert!(!side.events.iter().any(|what| matches!(what, What::GivenUp(_))));
    }
}

#[test]
fn a_side_that_may_not_see_its_syns_gives_the_kernel_time_for_three() {
    for mut side in diallers() {
        side.finish();
        side.assert_failed(Cause::NoAnswer);
        assert_eq!(side.now, at(3210));
    }
}

#[test]
fn a_listener_takes_over_the_verdict_of_the_side_that_dials() {
    for cause in [Cause::NoAnswer, Cause::Refused, Cause::NotConfirmed] {
        for mut side in listeners() {
            side.hear_of_peer(OutcomeState::Failed(cause));
            side.assert_failed(cause);
            assert_eq!(side.failure().unwrap().seen_by, simopen_traversal::Side::Peer);
            assert_eq!(side.commands.last(), Some(&Command::Abandon));
            assert_eq!(side.reported(), [OutcomeState::Failed(cause)]);
        }
    }
}

#[test]
fn a_listener_that_hears_nothing_outlasts_the_side_that_dials_and_ends_by_itself() {
    for mut side in listeners() {
        side.finish();
        side.assert_failed(Cause::NoAnswer);
        // The side that dials takes R + 3 s at most, and 0.71 s for a private endpoint.
        let apart = (OWN_TRIP + PEER_TRIP) * 2 + ms(50);
        assert!(side.now > at(0) + apart * 2 + ms(3000 + 710), "{}", side.now);
        assert!(side.now < at(6000), "{}", side.now);
    }
}

#[test]
fn two_peers_at_one_public_address_try_the_private_endpoint_first() {
    let mut side = Side::originator(DIRECT);
    side.hear(&acceptance_beside(PRIVATE));
    assert_eq!(side.commands, [dial(PRIVATE, None)]);
    side.dialled(DialOutcome::Established);
    side.attempt.handle_greeting(side.now);
    assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
}

#[test]
fn a_private_endpoint_that_is_not_the_other_side_costs_only_time() {
    let observed = "198.51.100.7:52000";
    let answers: [(&str, Answer); 6] = [
        ("silence", |side| side.pass(ms(250))),
        ("an RST", |side| side.dialled(DialOutcome::Refused)),
        ("no route", |side| side.dialled(DialOutcome::Unreachable)),
        ("another greeting", |side| {
            side.dialled(DialOutcome::Established);
            side.attempt.handle_wrong_greeting(side.now);
            side.drain();
        }),
        ("an RST afterwards", |side| {
            side.dialled(DialOutcome::Established);
            side.attempt.handle_reset(side.now);
            side.drain();
        }),
        ("no greeting", |side| {
            side.dialled(DialOutcome::Established);
            side.pass(ms(460));
        }),
    ];
    for (why, answer) in answers {
        let mut side = Side::originator(DIRECT);
        side.hear(&acceptance_beside(PRIVATE));
        side.attempt.handle_syn(&kernel_syn(LOCAL, PRIVATE, 1), side.now);
        answer(&mut side);
        assert_eq!(side.commands, [dial(PRIVATE, None), dial(observed, None)], "{why}");
        assert_eq!((side.attempt.outcome(), side.attempt.established_at()), (None, None), "{why}");
        for timestamp in [1, 2] {
            side.attempt.handle_syn(&kernel_syn(LOCAL, observed, timestamp), side.now);
            side.pass(ms(1000));
            assert_eq!(side.attempt.outcome(), None, "two SYNs to the observed endpoint: {why}");
        }
        side.finish();
        side.assert_failed(Cause::NoAnswer);
    }
}

#[test]
fn a_private_endpoint_that_may_not_be_dialled_is_left_out() {
    for private in ["203.0.113.77:5000", "127.0.0.1:5000", "10.0.0.2:5000", "10.0.0.77:80"] {
        let mut side = Side::originator(DIRECT);
        side.hear(&acceptance_beside(private));
        assert_eq!(side.commands, [dial("198.51.100.7:52000", None)], "{private}");
    }
    for technique in [PUNCH, LOW_TTL] {
        let mut side = Side::originator(technique);
        side.hear(&acceptance_beside(PRIVATE));
        let to_private = |one: &Command| matches!(one, Command::Dial { remote, .. } if *remote == endpoint(PRIVATE));
        assert!(!side.commands.iter().any(to_private));
    }
}

#[test]
fn a_private_endpoint_of_a_peer_that_is_elsewhere_is_left_out() {
    let simopen_traversal::FromBroker::Accepted(mut accepted) = acceptance_beside(PRIVATE) else {
        panic!()
    };
    assert_ne!(endpoint(REMOTE).ip(), endpoint(OBSERVED).ip());
    accepted.destination = Destination::Endpoint(endpoint(REMOTE));
    let mut side = Side::originator(DIRECT);
    side.hear(&simopen_traversal::FromBroker::Accepted(accepted));
    assert_eq!(side.commands, [dial(REMOTE, None)]);
}

#[test]
fn the_first_syn_of_a_low_ttl_open_dies_and_the_ttl_is_raised_before_the_second() {
    let mut originator = Side::originator(LOW_TTL);
    originator.hear(&acceptance(REMOTE));
    let mut responder = Side::responder(LOW_TTL);
    responder.pass((OWN_TRIP + PEER_TRIP) / 2);
    for mut side in [originator, responder] {
        let dialled = side.now;
        assert_eq!(side.commands, [dial(REMOTE, Some(Ttl(2)))]);
        side.capture_syn(1);
        assert_eq!(side.attempt.poll_timeout(), Some((dialled + ms(500), Timer::RaiseTtl)));
        side.pass(ms(500));
        assert_eq!(side.commands.last(), Some(&Command::RaiseTtl));
        side.clear();
        side.pass(ms(500));
        side.capture_syn(1001);
        side.finish();
        assert_eq!(side.commands, [Command::Abandon], "raised once");
        side.assert_failed(Cause::NoAnswer);
    }
}

#[test]
fn a_low_ttl_open_that_stands_raises_nothing() {
    let mut side = Side::originator(LOW_TTL);
    side.hear(&acceptance(REMOTE));
    side.dialled(DialOutcome::Established);
    side.pass(Duration::from_secs(1));
    assert_eq!(side.commands.len(), 1);
}
