//! Targets that a peer does not dial, whoever names them, and bounds that hold whatever is said.

use std::time::Duration;

use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Accepted, OutcomeState};
use simopen_protocol::technique::Technique;
use simopen_traversal::consent::MAX_SYNS;
use simopen_traversal::{Attempt, AttemptConfig, Command, FromBroker};

use crate::side::{
    KERNEL, REMOTE, SESSION, Side, USERSPACE, acceptance, at, config, entropy, request,
};

/// By rule: low port, unspecified, loopback, link-local, multicast, broker, gateway, private.
const FORBIDDEN: [&str; 17] = [
    "203.0.113.9:1023",
    "203.0.113.9:0",
    "0.0.0.0:4000",
    "[::]:4000",
    "127.0.0.1:4000",
    "[::1]:4000",
    "[::ffff:127.0.0.1]:4000",
    "169.254.10.10:4000",
    "[fe80::1]:4000",
    "224.0.0.1:4000",
    "255.255.255.255:4000",
    "[ff02::1]:4000",
    "192.0.2.1:4000",
    "198.51.100.1:4000",
    "192.168.1.20:8080",
    "100.64.0.1:4000",
    "[fd00::1]:4000",
];

#[track_caller]
fn assert_refused(side: &Side, target: &str) {
    side.assert_failed(Cause::ConsentRefused);
    assert_eq!(side.reported(), [OutcomeState::Failed(Cause::ConsentRefused)], "{target}");
    let acts = |command: &Command| !matches!(command, Command::Swallow { .. } | Command::Abandon);
    assert!(!side.commands.iter().any(acts), "{target}: {:?}", side.commands);
    assert_eq!(side.commands.last(), Some(&Command::Abandon));
    assert_eq!(side.attempt.poll_timeout(), None);
}

#[test]
fn an_acknowledgement_that_names_a_forbidden_target_ends_the_attempt() {
    for technique in Technique::WITHOUT_RELAY {
        for target in FORBIDDEN {
            let mut side = Side::originator(technique);
            side.hear(&acceptance(target));
            assert_refused(&side, target);
        }
    }
}

#[test]
fn a_request_that_names_a_forbidden_target_ends_the_attempt() {
    for technique in Technique::WITHOUT_RELAY {
        for target in FORBIDDEN {
            let mut side = Side::asked_by(technique, target);
            assert_refused(&side, target);
            side.pass(Duration::from_secs(60));
            assert_refused(&side, target);
        }
    }
}

#[test]
fn no_more_syns_leave_than_a_session_may_have() {
    // Round trips so long that patience would last for more.
    let round_trip = Duration::from_secs(9);
    let config = AttemptConfig { round_trip, ..config(USERSPACE) };
    let mut request = request(USERSPACE, REMOTE);
    request.round_trip = round_trip;
    let mut side = Side::new(Attempt::respond(config, &request, entropy(), at(0)));
    side.finish();
    assert_eq!(side.emitted().len(), usize::from(MAX_SYNS));
    side.assert_failed(Cause::ConsentRefused);
}

#[test]
fn a_kernel_that_sends_too_many_syns_is_stopped_and_nothing_is_reported_after_the_end() {
    let [mut side, _] = Side::both_opening(KERNEL);
    side.clear();
    for timestamp in 2..40 {
        side.capture_syn(timestamp);
    }
    side.assert_failed(Cause::ConsentRefused);
    assert_eq!(side.reported(), [OutcomeState::Failed(Cause::ConsentRefused)]);
    let reports_after_the_first = usize::from(MAX_SYNS) - 1;
    assert_eq!(side.messages.len(), reports_after_the_first + 1);
}

#[test]
fn a_round_trip_without_end_makes_nobody_wait_without_end() {
    for technique in Technique::ALL {
        let mut request = request(technique, REMOTE);
        request.round_trip = Duration::from_micros(u64::MAX);
        let responder = Side::new(Attempt::respond(config(technique), &request, entropy(), at(0)));
        let mut originator = Side::originator(technique);
        originator.hear(&FromBroker::Accepted(Box::new(Accepted {
            session: SESSION,
            peer: request.peer,
            device: None,
            certificate: None,
            destination: request.destination.clone(),
            round_trip: request.round_trip,
            greetings: request.greetings,
            private: None,
        })));
        for mut side in [originator, responder] {
            side.finish();
            assert!(side.now < at(120_000), "{technique}: {}", side.now);
        }
    }
}
