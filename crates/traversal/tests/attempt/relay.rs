//! Both sides meet at a relay.

use std::time::Duration;

use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Accept, Action, Connect, OutcomeState};
use simopen_protocol::technique::{Carriage, Technique};
use simopen_traversal::{AttemptOutcome, Command, DialOutcome, Side as SeenBy, Timer, What};

use crate::side::{
    DIRECT, RELAY, RELAY_AT, REMOTE, SESSION, Side, acceptance, acceptance_at, at, ms,
};

/// How long a relay knows a value.
const VALUE_LIFETIME: Duration = Duration::from_secs(30);

/// Both roles, each as far as its dial to the relay; 40 ms have passed.
fn both_dialling() -> [Side; 2] {
    let mut originator = Side::originator(RELAY);
    originator.pass(ms(40));
    originator.hear(&acceptance_at(&[RELAY_AT]));
    let mut responder = Side::responder(RELAY);
    responder.pass(ms(40));
    [originator, responder]
}

#[test]
fn an_originator_asks_without_a_port_and_dials_the_relay_once_it_is_named() {
    let mut side = Side::originator(RELAY);
    let [Action::Connect(Connect { technique: RELAY, port: 0, syn: None, .. })] =
        side.messages.as_slice()
    else {
        panic!("{:?}", side.messages);
    };
    assert_eq!(side.commands, []);
    side.hear(&acceptance_at(&[RELAY_AT]));
    assert_eq!(side.commands, [Command::Meet(Carriage::Any)]);
    let meeting = side.attempt.meeting().expect("it was named");
    assert_eq!(meeting.relay, [RELAY_AT.parse().unwrap()]);
    assert!(side.events.contains(&What::Acknowledged { remote: None }));
}

#[test]
fn a_responder_accepts_without_a_port_and_dials_at_once() {
    let side = Side::responder(RELAY);
    let accept = Accept { session: SESSION, port: 0, syn: None, private: None };
    assert_eq!(side.messages, [Action::Accept(accept)]);
    assert_eq!(side.commands, [Command::Meet(Carriage::Any)]);
    assert_eq!(side.events, [What::Asked { remote: None }]);
}

#[test]
fn the_carriage_is_the_one_that_the_technique_names() {
    for technique in Technique::BY_RELAY {
        let Technique::Relay(carriage) = technique else { panic!() };
        let side = Side::responder(technique);
        assert_eq!(side.commands, [Command::Meet(carriage)]);
    }
}

#[test]
fn a_value_that_is_presented_and_a_greeting_that_comes_confirm() {
    for mut side in both_dialling() {
        side.dialled(DialOutcome::Established);
        side.attempt.handle_greeting(side.now);
        side.drain();
        assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
        assert_eq!(side.reported(), [OutcomeState::Confirmed]);
        assert!(!side.commands.contains(&Command::Abandon));
    }
}

#[test]
fn whatever_keeps_a_side_from_the_relay_is_its_own_verdict_at_once() {
    for (outcome, cause) in [
        (DialOutcome::RelayUnreachable, Cause::RelayUnreachable),
        (DialOutcome::ProxyRefused, Cause::ProxyRefused),
    ] {
        for mut side in both_dialling() {
            side.dialled(outcome);
            side.assert_failed(cause);
            assert_eq!(side.reported(), [OutcomeState::Failed(cause)]);
            assert_eq!(side.commands.last(), Some(&Command::Abandon));
        }
    }
}

#[test]
fn a_relay_that_closes_before_a_greeting_has_joined_nobody() {
    for end in [simopen_traversal::Attempt::handle_closed, simopen_traversal::Attempt::handle_reset]
    {
        for mut side in both_dialling() {
            side.dialled(DialOutcome::Established);
            end(&mut side.attempt, side.now);
            side.drain();
            assert_eq!(side.reported(), [OutcomeState::Failed(Cause::NotPaired)]);
            side.finish();
            side.assert_failed(Cause::NotPaired);
        }
    }
}

#[test]
fn why_a_relay_closed_is_what_the_other_side_says_before_or_after() {
    let refused = OutcomeState::Failed(Cause::ProxyRefused);
    for mut side in both_dialling() {
        side.dialled(DialOutcome::Established);
        side.attempt.handle_closed(side.now);
        side.drain();
        assert_eq!(side.failure(), None);
        side.hear_of_peer(refused);
        side.assert_failed(Cause::ProxyRefused);
        assert_eq!(side.failure().map(|failure| failure.seen_by), Some(SeenBy::Peer));
    }
    for mut side in both_dialling() {
        side.dialled(DialOutcome::Established);
        side.hear_of_peer(OutcomeState::Failed(Cause::NotPaired));
        assert_eq!(side.failure(), None, "this side may still be joined");
        side.attempt.handle_closed(side.now);
        side.drain();
        side.assert_failed(Cause::NotPaired);
    }
}

#[test]
fn a_stranger_at_the_relays_other_end_is_not_the_other_side() {
    for mut side in both_dialling() {
        side.dialled(DialOutcome::Established);
        side.attempt.handle_wrong_greeting(side.now);
        side.drain();
        side.assert_failed(Cause::NotConfirmed);
    }
}

#[test]
fn a_close_without_a_relay_still_means_that_nobody_confirmed() {
    let mut side = Side::originator(DIRECT);
    side.hear(&acceptance(REMOTE));
    side.dialled(DialOutcome::Established);
    side.attempt.handle_closed(side.now);
    side.drain();
    side.assert_failed(Cause::NotConfirmed);
}

#[test]
fn a_dial_to_the_relay_that_never_ends_is_given_up_within_a_values_life() {
    for mut side in both_dialling() {
        let begun = side.now;
        assert!(matches!(side.attempt.poll_timeout(), Some((_, Timer::Answer))));
        side.finish();
        side.assert_failed(Cause::RelayUnreachable);
        // Twice both round trips there and back, and three SYNs of a dial in their time.
        assert!(side.now - begun >= ms(2 * 2 * (20 + 60)) + Duration::from_secs(3));
        assert!(side.now - begun <= VALUE_LIFETIME);
    }
}

#[test]
fn the_other_side_has_as_long_to_come_as_this_one_had() {
    for mut side in both_dialling() {
        let dial = side.attempt.poll_timeout().map(|(due, _)| due - side.now).unwrap();
        side.dialled(DialOutcome::Established);
        let (due, timer) = side.attempt.poll_timeout().unwrap();
        assert_eq!(timer, Timer::Greeting);
        assert!(due - side.now > dial);
        side.finish();
        side.assert_failed(Cause::NotPaired);
    }
}

#[test]
fn the_other_sides_verdict_ends_the_wait_at_the_relay() {
    for mut side in both_dialling() {
        side.dialled(DialOutcome::Established);
        side.hear_of_peer(OutcomeState::Failed(Cause::ProxyRefused));
        side.assert_failed(Cause::ProxyRefused);
        assert_eq!(side.failure().map(|failure| failure.seen_by), Some(SeenBy::Peer));
    }
}

#[test]
fn a_broker_without_a_relay_refuses_the_request() {
    let mut side = Side::originator(RELAY);
    side.hear(&simopen_traversal::FromBroker::Refused(Cause::NoRelay));
    side.assert_failed(Cause::NoRelay);
}

#[test]
fn addresses_that_a_peer_does_not_dial_are_left_out_of_a_meeting() {
    let named = ["127.0.0.1:443", "relay.example:443", "203.0.113.5:25", RELAY_AT];
    let mut side = Side::originator(RELAY);
    side.hear(&acceptance_at(&named));
    let left = side.attempt.meeting().map(|meeting| meeting.relay.clone()).unwrap();
    assert_eq!(left, ["relay.example:443", RELAY_AT].map(|at| at.parse().unwrap()));
    let consent = side.attempt.consent();
    assert!(consent.allow_relay("203.0.113.5:443".parse().unwrap()).is_ok());
    assert!(consent.allow_relay("169.254.169.254:80".parse().unwrap()).is_err());
}

#[test]
fn a_meeting_at_forbidden_addresses_alone_is_refused_and_nobody_is_dialled() {
    let mut side = Side::originator(RELAY);
    side.hear(&acceptance_at(&["127.0.0.1:443", "[fe80::1]:443", "198.51.100.1:443"]));
    side.assert_failed(Cause::ConsentRefused);
    assert_eq!(side.commands, [Command::Abandon]);
}

#[test]
fn a_destination_of_the_other_kind_is_no_destination() {
    let mut by_relay = Side::originator(RELAY);
    by_relay.hear(&acceptance(REMOTE));
    by_relay.assert_failed(Cause::LocalError);
    let mut direct = Side::originator(DIRECT);
    direct.hear(&acceptance_at(&[RELAY_AT]));
    direct.assert_failed(Cause::LocalError);
    for side in [by_relay, direct] {
        assert_eq!(side.commands, [Command::Abandon]);
    }
}

#[test]
fn captured_syns_and_callers_mean_nothing_to_a_meeting() {
    for mut side in both_dialling() {
        side.clear();
        side.capture_syn(1);
        side.attempt.handle_accepted(at(0), side.now);
        side.packet(&[0x45; 60]);
        side.drain();
        assert_eq!((side.commands.len(), side.messages.len(), side.events.len()), (0, 0, 0));
    }
}
