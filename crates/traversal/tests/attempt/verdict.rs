//! When an attempt ends, and with which cause.

use std::time::Duration;

use simopen_protocol::cause::Cause;
use simopen_protocol::control::OutcomeState;
use simopen_protocol::technique::Technique;
use simopen_traversal::{AttemptOutcome, Command, DialOutcome, FromBroker, Timer, What};

use crate::side::{KERNEL, LOW_TTL, REMOTE, SIMULTANEOUS, Side, USERSPACE, acceptance, at, ms};

/// Those in which both sides dial.
const TECHNIQUES: [Technique; 4] = [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE];
const NO_ANSWER: OutcomeState = OutcomeState::Failed(Cause::NoAnswer);

/// Just past the second SYN, a second after the first.
fn with_two_syns(mut side: Side) -> Side {
    side.pass(ms(1000));
    side.capture_syn(1001);
    side
}

/// Until this side has made up its mind.
fn until_given_up(side: &mut Side) {
    while !side.events.iter().any(|what| matches!(what, What::GivenUp(_))) {
        let (due, timer) = side.attempt.poll_timeout().unwrap();
        assert_ne!(timer, Timer::PeerReport);
        side.pass(due - side.now);
    }
}

#[test]
fn silence_is_no_verdict_before_the_second_syn_has_had_its_time() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique).map(with_two_syns) {
            // As long as the first SYN had, 1 s, and the way there and back: 2·(20 + 60) + 50 ms.
            // A responder of a userspace SYN emitted its own 40 ms before.
            side.pass(ms(1000 + 210 - 40 - 1));
            assert!(side.reported().is_empty(), "{technique}");
            side.pass(ms(41));
            assert_eq!(side.reported(), [NO_ANSWER], "{technique}");
            assert_eq!(side.attempt.outcome(), None, "the other side may still be trying");
        }
    }
}

#[test]
fn an_own_verdict_of_silence_waits_for_the_other_sides() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique).map(with_two_syns) {
            until_given_up(&mut side);
            side.clear();
            side.hear_of_peer(NO_ANSWER);
            side.assert_failed(Cause::NoAnswer);
            assert!(side.failure().unwrap().syns >= 2);
            assert_eq!((side.messages.len(), side.commands.len()), (0, 0));
        }
    }
}

#[test]
fn a_report_that_came_before_is_as_good_as_one_that_comes_after() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique).map(with_two_syns) {
            side.hear_of_peer(NO_ANSWER);
            assert_eq!(side.attempt.outcome(), None, "this side is still trying");
            side.finish();
            side.assert_failed(Cause::NoAnswer);
            assert!(!side.events.iter().any(|what| matches!(what, What::GivenUp(_))));
        }
    }
}

#[test]
fn patience_for_the_other_sides_report_ends() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique).map(with_two_syns) {
            until_given_up(&mut side);
            let given_up = side.now;
            assert_eq!(side.attempt.poll_timeout().unwrap().1, Timer::PeerReport);
            side.finish();
            side.assert_failed(Cause::NoAnswer);
            assert_eq!(side.now - given_up, ms(2210));
        }
    }
}

#[test]
fn the_other_sides_definite_cause_is_the_better_one() {
    for mut side in Side::both_opening(KERNEL).map(with_two_syns) {
        until_given_up(&mut side);
        side.hear_of_peer(OutcomeState::Failed(Cause::Refused));
        side.assert_failed(Cause::Refused);
        assert_eq!(side.failure().unwrap().seen_by, simopen_traversal::Side::Peer);
    }
}

#[test]
fn a_kernel_that_says_no_ends_the_attempt_at_once() {
    for technique in TECHNIQUES {
        for (outcome, cause) in [
            (DialOutcome::Refused, Cause::Refused),
            (DialOutcome::Unreachable, Cause::Unreachable),
            (DialOutcome::Prohibited, Cause::Prohibited),
            (DialOutcome::LocalError, Cause::LocalError),
        ] {
            for mut side in Side::both_opening(technique) {
                side.dialled(outcome);
                side.assert_failed(cause);
                assert_eq!(side.failure().unwrap().seen_by, simopen_traversal::Side::Own);
                assert_eq!(side.reported(), [OutcomeState::Failed(cause)]);
            }
        }
    }
}

#[test]
fn a_kernel_that_gave_up_is_no_more_than_silence() {
    for mut side in Side::both_opening(KERNEL) {
        side.dialled(DialOutcome::TimedOut);
        assert_eq!(side.reported(), [NO_ANSWER]);
        assert_eq!(side.attempt.outcome(), None);
        assert_eq!(side.events.last(), Some(&What::GivenUp(Cause::NoAnswer)));
    }
}

#[test]
fn a_definite_outcome_of_the_other_side_ends_the_attempt_at_once() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique) {
            side.hear_of_peer(OutcomeState::Failed(Cause::Unreachable));
            side.assert_failed(Cause::Unreachable);
            assert_eq!(side.failure().unwrap().seen_by, simopen_traversal::Side::Peer);
            assert_eq!(side.commands.last(), Some(&Command::Abandon));
        }
    }
}

#[test]
fn the_other_side_confirms_and_this_one_still_waits_for_its_own_proof() {
    for mut side in Side::both_opening(KERNEL) {
        side.hear_of_peer(OutcomeState::Confirmed);
        assert_eq!(side.attempt.outcome(), None);
        side.dialled(DialOutcome::Established);
        side.attempt.handle_greeting(side.now);
        assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
    }
}

#[test]
fn a_refused_request_ends_with_its_cause() {
    for cause in [Cause::UnknownPeer, Cause::ForgingOff, Cause::NotProven, Cause::Declined] {
        let mut side = Side::originator(KERNEL);
        side.hear(&FromBroker::Refused(cause));
        side.assert_failed(cause);
        assert!(side.reported().is_empty(), "there is no session to report on");
    }
}

#[test]
fn a_broker_that_says_nothing_ends_the_attempt() {
    let mut side = Side::originator(USERSPACE);
    side.finish();
    side.assert_failed(Cause::SignallingTimeout);
    assert_eq!(side.commands.last(), Some(&Command::Abandon));
}

#[test]
fn a_lost_link_ends_what_still_needs_the_broker() {
    for technique in TECHNIQUES {
        let [originator, responder] = Side::both_opening(technique);
        for mut side in [Side::originator(technique), originator, responder] {
            side.attempt.handle_link_lost(side.now);
            side.drain();
            side.assert_failed(Cause::LinkLost);
        }
    }
}

#[test]
fn an_established_connection_does_not_notice_what_becomes_of_the_broker() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique) {
            side.dialled(DialOutcome::Established);
            let before = side.view();
            side.attempt.handle_link_lost(side.now);
            side.hear(&FromBroker::Refused(Cause::Unspecified));
            assert_eq!(side.view(), before);
            side.attempt.handle_greeting(side.now);
            assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
        }
    }
}

#[test]
fn a_wrong_greeting_and_none_at_all_are_not_confirmed() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique) {
            side.dialled(DialOutcome::Established);
            let mut silent = side.clone();
            side.attempt.handle_wrong_greeting(side.now);
            side.drain();
            silent.finish();
            for failed in [side, silent] {
                failed.assert_failed(Cause::NotConfirmed);
                let told = [OutcomeState::Failed(Cause::NotConfirmed)];
                assert_eq!(failed.reported(), told);
            }
        }
    }
}

#[test]
fn a_connection_that_an_rst_ends_is_told_from_one_with_a_wrong_greeting() {
    for technique in TECHNIQUES {
        for mut side in Side::both_opening(technique) {
            side.dialled(DialOutcome::Established);
            side.attempt.handle_reset(side.now);
            side.drain();
            side.assert_failed(Cause::Reset);
        }
    }
}

#[test]
fn what_a_connection_says_before_it_stands_changes_nothing() {
    for mut side in Side::both_opening(KERNEL) {
        let before = side.view();
        side.attempt.handle_greeting(side.now);
        side.attempt.handle_wrong_greeting(side.now);
        side.attempt.handle_reset(side.now);
        side.drain();
        assert_eq!(side.view(), before);
    }
}

#[test]
fn early_and_repeated_timeouts_change_nothing() {
    for technique in TECHNIQUES {
        let [originator, responder] = Side::both_opening(technique);
        let mut established = originator.clone();
        established.dialled(DialOutcome::Established);
        let mut given_up = with_two_syns(responder.clone());
        until_given_up(&mut given_up);
        let mut ended = given_up.clone();
        ended.finish();
        let waiting = Side::originator(technique);
        for mut side in [waiting, originator, responder, established, given_up, ended] {
            let before = side.view();
            let due = side.attempt.poll_timeout().map(|(due, _)| due);
            let wait = due.map_or(ms(500), |due| due - side.now);
            assert!(!wait.is_zero());
            let early = side.now + (wait - Duration::from_nanos(1));
            for moment in [side.now, side.now, early, early] {
                side.attempt.handle_timeout(moment);
                side.drain();
            }
            assert_eq!(side.view(), before, "{technique}");
        }
    }
}

#[test]
fn a_late_timeout_still_gives_two_syns_before_the_verdict() {
    let mut side = Side::originator(USERSPACE);
    side.hear(&acceptance(REMOTE));
    side.now = at(60_000);
    side.attempt.handle_timeout(side.now);
    side.drain();
    assert_eq!(side.emitted().len(), 2);
    assert!(side.reported().is_empty(), "the second has just left");
    side.finish();
    side.assert_failed(Cause::NoAnswer);
}
