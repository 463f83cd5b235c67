//! Each technique's messages and commands, in their order, for both roles.

use simopen_packet::Syn;
use simopen_protocol::control::{Accept, Action, Connect, OutcomeState, SynBytes, SynReport};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::Technique;
use simopen_traversal::{Attempt, AttemptConfig, AttemptOutcome, Command, DialOutcome};
use simopen_traversal::{Handshake, Timer, What};

use crate::side::{
    KERNEL, LOCAL, LOW_TTL, OWN_TRIP, PEER_TRIP, REMOTE, SESSION, SIMULTANEOUS, Side, USERSPACE,
    acceptance, at, bytes, config, endpoint, entropy, greetings, kernel_syn, ms, request,
};

fn connect(technique: Technique, syn: Option<SynBytes>) -> Action {
    Action::Connect(Connect {
        to: UserId::new("bob").unwrap(),
        device: None,
        technique,
        port: 40_000,
        syn,
    })
}

fn accept(syn: Option<SynBytes>) -> Action {
    Action::Accept(Accept { session: SESSION, port: 40_000, syn, private: None })
}

fn report(syn: Vec<u8>) -> Action {
    Action::Syn(SynReport { session: SESSION, syn: SynBytes(syn) })
}

fn dial(handshake: Handshake) -> Command {
    Command::Dial { local: endpoint(LOCAL), remote: endpoint(REMOTE), ttl: None, handshake }
}

#[test]
fn a_simultaneous_originator_asks_and_dials_when_it_is_acknowledged() {
    let mut side = Side::originator(SIMULTANEOUS);
    assert_eq!(side.messages, [connect(SIMULTANEOUS, None)]);
    assert_eq!(side.commands, []);
    side.hear(&acceptance(REMOTE));
    assert_eq!(side.commands, [dial(Handshake::EndToEnd)]);
    assert_eq!(side.messages.len(), 1);
}

#[test]
fn a_simultaneous_responder_accepts_at_once_and_dials_when_its_acceptance_has_arrived() {
    let mut side = Side::responder(SIMULTANEOUS);
    assert_eq!(side.messages, [accept(None)]);
    assert_eq!(side.commands, []);
    let moment = at(0) + (OWN_TRIP + PEER_TRIP) / 2;
    assert_eq!(side.attempt.poll_timeout(), Some((moment, Timer::Moment)));
    side.pass((OWN_TRIP + PEER_TRIP) / 2);
    assert_eq!(side.commands, [dial(Handshake::EndToEnd)]);
}

#[test]
fn the_syns_of_a_simultaneous_open_are_counted_and_not_reported() {
    for mut side in Side::both_opening(SIMULTANEOUS) {
        side.clear();
        side.capture_syn(2);
        assert_eq!(side.messages, []);
        assert!(matches!(side.events[..], [What::SynSent { number: 2, .. }]), "{:?}", side.events);
    }
}

#[test]
fn a_kernel_originator_dials_when_it_is_acknowledged_and_reports_each_syn() {
    let mut side = Side::originator(KERNEL);
    assert_eq!(side.messages, [connect(KERNEL, None)]);
    side.hear(&acceptance(REMOTE));
    assert_eq!(side.commands, [dial(Handshake::ThroughBroker)]);
    side.messages.clear();
    for timestamp in [1, 1001, 3001] {
        side.capture_syn(timestamp);
    }
    let syn = |timestamp| report(kernel_syn(LOCAL, REMOTE, timestamp));
    assert_eq!(side.messages, [syn(1), syn(1001), syn(3001)], "a retransmission too");
}

#[test]
fn a_kernel_responder_dials_at_once_and_accepts_with_its_first_syn() {
    let mut side = Side::responder(KERNEL);
    assert_eq!(side.commands, [dial(Handshake::ThroughBroker)]);
    assert_eq!(side.messages, [], "nothing is accepted before the SYN has left");
    side.capture_syn(1);
    side.capture_syn(1001);
    let first = SynBytes(kernel_syn(LOCAL, REMOTE, 1));
    let again = report(kernel_syn(LOCAL, REMOTE, 1001));
    assert_eq!(side.messages, [accept(Some(first)), again]);
}

#[test]
fn a_userspace_originator_falls_silent_and_commits_before_it_knows_the_other_side() {
    let side = Side::originator(USERSPACE);
    assert_eq!(side.commands, [Command::Swallow { local: endpoint(LOCAL) }]);
    let committed = side.committed().expect("the SYN comes with the request");
    assert_eq!(side.messages, [connect(USERSPACE, Some(committed.clone()))]);
    let syn = Syn::parse(&committed.0).unwrap();
    assert_eq!((syn.source, syn.destination), (endpoint(LOCAL), endpoint("0.0.0.0:0")));
    assert_eq!(syn.ttl.0, 2);
    assert!(!syn.ecn_setup, "ECN cannot be installed");
    assert_eq!(syn.options.timestamps.unwrap().value % 2, 0, "the low bit is a unit");
    assert_eq!(syn.options.window_scale, Some(10));
}

#[test]
fn a_userspace_originator_emits_what_it_committed_to() {
    let mut side = Side::originator(USERSPACE);
    let committed = Syn::parse(&side.committed().unwrap().0).unwrap();
    side.clear();
    side.hear(&acceptance(REMOTE));
    let emitted = Syn { destination: endpoint(REMOTE), ..committed };
    assert_eq!(side.commands, [Command::Emit(emitted)]);
    assert_eq!(side.messages, [], "the broker knows it already");
}

#[test]
fn a_userspace_responder_falls_silent_emits_and_accepts_with_its_syn() {
    let side = Side::responder(USERSPACE);
    let [Command::Swallow { local }, Command::Emit(syn)] = side.commands[..] else {
        panic!("{:?}", side.commands)
    };
    assert_eq!((local, syn.destination), (endpoint(LOCAL), endpoint(REMOTE)));
    let [Action::Accept(accept)] = &side.messages[..] else { panic!("{:?}", side.messages) };
    assert_eq!(Syn::parse(&accept.syn.as_ref().unwrap().0).unwrap(), syn);
}

#[test]
fn an_own_syn_is_sent_and_reported_again_every_second_with_the_same_sequence_number() {
    for mut side in Side::both_opening(USERSPACE) {
        let first = side.own.unwrap();
        side.clear();
        side.pass(ms(959));
        assert_eq!(side.commands, []);
        side.pass(ms(41));
        assert_eq!(side.commands, [Command::Emit(first)], "fact 16: one flow, one ISN");
        let [Action::Syn(report)] = &side.messages[..] else { panic!("{:?}", side.messages) };
        assert_eq!(Syn::parse(&report.syn.0).unwrap(), first);
    }
}

#[test]
fn a_userspace_side_installs_what_answers_its_syn_and_stops_sending() {
    for mut side in Side::both_opening(USERSPACE) {
        let (own, answer) = (side.own.unwrap(), side.answer());
        side.clear();
        side.packet(&bytes(&answer));
        assert_eq!(side.commands, [Command::Install { own, answer }]);
        assert_eq!(side.events, [What::SynAckReceived]);
        side.dialled(DialOutcome::Established);
        side.pass(ms(2000));
        assert_eq!(side.commands.len(), 1, "no SYN follows");
        assert_eq!(side.events, [What::SynAckReceived, What::Established]);
    }
}

#[test]
fn a_connection_is_confirmed_by_the_greeting_and_that_is_reported() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        for mut side in Side::both_opening(technique) {
            side.dialled(DialOutcome::Established);
            assert_eq!(side.attempt.established_at(), Some(side.now));
            assert_eq!(side.attempt.outcome(), None, "established is not confirmed");
            side.attempt.handle_greeting(side.now);
            side.drain();
            assert_eq!(side.attempt.outcome(), Some(AttemptOutcome::Confirmed));
            assert_eq!(side.reported(), [OutcomeState::Confirmed]);
            assert_eq!(side.attempt.poll_timeout(), None);
        }
    }
}

#[test]
fn both_roles_know_session_and_greetings_as_soon_as_the_broker_has_told_them() {
    let mut originator = Side::originator(KERNEL);
    assert_eq!((originator.attempt.session(), originator.attempt.greetings()), (None, None));
    originator.hear(&acceptance(REMOTE));
    for side in [originator, Side::responder(KERNEL)] {
        assert_eq!(side.attempt.session(), Some(SESSION));
        assert_eq!(side.attempt.greetings(), Some(greetings()));
    }
}

#[test]
fn a_skew_delays_the_first_syn_of_every_technique() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        let config = AttemptConfig { start_skew: ms(100), ..config(technique) };
        let request = request(technique, REMOTE);
        let mut side = Side::new(Attempt::respond(config, &request, entropy(), at(0)));
        side.pass(ms(99));
        let begins = |one: &&Command| matches!(one, Command::Dial { .. } | Command::Emit(_));
        assert_eq!(side.commands.iter().find(begins), None);
        side.pass(ms(1) + (OWN_TRIP + PEER_TRIP) / 2);
        assert_eq!(side.commands.iter().filter(begins).count(), 1);
    }
}

#[test]
fn a_failed_attempt_gives_everything_up() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        for mut side in Side::both_opening(technique) {
            side.dialled(DialOutcome::Refused);
            assert_eq!(side.commands.last(), Some(&Command::Abandon));
        }
    }
}

#[test]
fn a_second_acknowledgement_changes_nothing() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        for mut side in Side::both_opening(technique) {
            let before = side.view();
            side.hear(&acceptance("198.51.100.77:6000"));
            assert_eq!(side.view(), before);
        }
    }
}

#[test]
fn the_same_entropy_and_inputs_give_the_same_outputs() {
    for technique in [SIMULTANEOUS, LOW_TTL, KERNEL, USERSPACE] {
        let run = || {
            let mut sides = Side::both_opening(technique);
            for side in &mut sides {
                side.finish();
            }
            sides.map(|side| side.view())
        };
        assert_eq!(run(), run());
    }
}
