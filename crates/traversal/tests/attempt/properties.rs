//! Whatever comes in whatever order: no panic, an end in bounded time, and bounds that hold.

use std::time::Duration;

use proptest::prelude::*;
use simopen_packet::{SeqNumber, TcpFlags};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::OutcomeState;
use simopen_protocol::technique::Technique;
use simopen_traversal::consent::MAX_SYNS;
use simopen_traversal::{Command, DialOutcome, FromBroker};

use crate::side::{
    DIRECT, LOCAL, PRIVATE, RELAY_AT, REMOTE, Side, USERSPACE, acceptance, acceptance_at,
    acceptance_beside, bytes, endpoint, kernel_syn, ms, segment,
};

#[derive(Debug, Clone)]
enum Input {
    Accepted(bool),
    AcceptedBeside,
    AcceptedAtRelay(bool),
    Called,
    Refused(Cause),
    PeerOutcome(OutcomeState),
    Syn { own: bool, timestamp: u32 },
    Answer { right: bool },
    Segment { flags: u8, right: bool },
    Noise(Vec<u8>),
    Dialled(DialOutcome),
    Greeting(bool),
    Reset,
    Closed,
    LinkLost,
    TimeOut,
    Pass(u64),
}

fn causes() -> impl Strategy<Value = Cause> {
    prop::sample::select(Cause::ALL.to_vec())
}

fn inputs() -> impl Strategy<Value = Input> {
    let dials = prop::sample::select(vec![
        DialOutcome::Established,
        DialOutcome::Refused,
        DialOutcome::Unreachable,
        DialOutcome::Prohibited,
        DialOutcome::TimedOut,
        DialOutcome::RelayUnreachable,
        DialOutcome::ProxyRefused,
        DialOutcome::LocalError,
    ]);
    let outcomes =
        prop_oneof![Just(OutcomeState::Confirmed), causes().prop_map(OutcomeState::Failed)];
    prop_oneof![
        4 => prop::bool::weighted(0.9).prop_map(Input::Accepted),
        2 => Just(Input::AcceptedBeside),
        3 => prop::bool::weighted(0.9).prop_map(Input::AcceptedAtRelay),
        1 => Just(Input::Called),
        1 => causes().prop_map(Input::Refused),
        1 => outcomes.prop_map(Input::PeerOutcome),
        6 => (prop::bool::weighted(0.8), any::<u32>())
            .prop_map(|(own, timestamp)| Input::Syn { own, timestamp }),
        3 => any::<bool>().prop_map(|right| Input::Answer { right }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(flags, right)| Input::Segment { flags, right }),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Input::Noise),
        1 => dials.prop_map(Input::Dialled),
        1 => any::<bool>().prop_map(Input::Greeting),
        1 => Just(Input::Reset),
        1 => Just(Input::Closed),
        1 => Just(Input::LinkLost),
        8 => Just(Input::TimeOut),
        4 => (0..3000_u64).prop_map(Input::Pass),
    ]
}

fn apply(side: &mut Side, input: Input) {
    let now = side.now;
    match input {
        Input::Accepted(allowed) => {
            side.hear(&acceptance(if allowed { REMOTE } else { "127.0.0.1:4000" }));
        }
        Input::AcceptedBeside => side.hear(&acceptance_beside(PRIVATE)),
        Input::AcceptedAtRelay(allowed) => {
            side.hear(&acceptance_at(&[if allowed { RELAY_AT } else { "127.0.0.1:443" }]));
        }
        Input::Called => side.attempt.handle_accepted(now, now),
        Input::Refused(cause) => side.hear(&FromBroker::Refused(cause)),
        Input::PeerOutcome(state) => side.hear_of_peer(state),
        Input::Syn { own, timestamp } => {
            let source = if own { LOCAL } else { "10.0.0.2:9" };
            side.attempt.handle_syn(&kernel_syn(source, REMOTE, timestamp), now);
        }
        Input::Answer { right } => {
            if side.own.is_some() {
                let mut answer = side.answer();
                answer.acknowledgment += u32::from(!right);
                side.packet(&bytes(&answer));
            }
        }
        Input::Segment { flags, right } => {
            let number = side.own.map_or(SeqNumber(5000), |own| own.sequence);
            let acknowledgment = number + 1 + u32::from(!right);
            let ends = [endpoint(REMOTE), endpoint(LOCAL)];
            side.packet(&segment(ends, TcpFlags(flags), acknowledgment, b"x"));
        }
        Input::Noise(noise) => side.packet(&noise),
        Input::Dialled(outcome) => side.dialled(outcome),
        Input::Greeting(true) => side.attempt.handle_greeting(now),
        Input::Greeting(false) => side.attempt.handle_wrong_greeting(now),
        Input::Reset => side.attempt.handle_reset(now),
        Input::Closed => side.attempt.handle_closed(now),
        Input::LinkLost => side.attempt.handle_link_lost(now),
        Input::TimeOut => {
            if let Some((due, _)) = side.attempt.poll_timeout() {
                side.now = side.now.max(due);
            }
            side.attempt.handle_timeout(side.now);
        }
        Input::Pass(milliseconds) => side.now += ms(milliseconds),
    }
    side.drain();
}

fn run(technique: Technique, originates: bool, inputs: &[Input]) -> Side {
    let mut side =
        if originates { Side::originator(technique) } else { Side::responder(technique) };
    for input in inputs {
        let ended = side.attempt.outcome().is_some();
        let before = (side.commands.len(), side.messages.len(), side.events.len());
        apply(&mut side, input.clone());
        let after = (side.commands.len(), side.messages.len(), side.events.len());
        assert!(!ended || before == after, "something came after the end: {input:?}");
    }
    side
}

/// Inputs that are a verdict of silence by themselves, before any SYN.
fn is_silence(input: &Input) -> bool {
    matches!(
        input,
        Input::Dialled(DialOutcome::TimedOut)
            | Input::Refused(Cause::NoAnswer)
            | Input::PeerOutcome(OutcomeState::Failed(Cause::NoAnswer))
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_inputs_end_in_bounded_time_and_keep_every_bound(
        technique in prop::sample::select(Technique::ALL.to_vec()),
        originates in any::<bool>(),
        inputs in prop::collection::vec(inputs(), 0..60),
    ) {
        let mut side = run(technique, originates, &inputs);
        let left_alone = side.now;
        side.finish();
        // Nothing that is waited for takes longer than a few SYNs and round trips, or as long as a
        // relay knows a value.
        let longest = if technique.meets_at_relay() { 31 } else { 15 };
        prop_assert!(side.now - left_alone < Duration::from_secs(longest), "{}", side.now);

        let emitted = side.emitted();
        prop_assert!(emitted.len() <= usize::from(MAX_SYNS));
        prop_assert!(emitted.windows(2).all(|pair| pair[0] == pair[1]), "fact 16");
        let count = |is_wanted: fn(&Command) -> bool| {
            side.commands.iter().filter(|command| is_wanted(command)).count()
        };
        prop_assert!(count(|one| matches!(one, Command::Install { .. })) <= 1, "Install");
        let dials = if technique == DIRECT { 2 } else { 1 };
        prop_assert!(count(|one| matches!(one, Command::Dial { .. })) <= dials, "Dial");
        prop_assert!(count(|one| matches!(one, Command::Punch { .. })) <= 1, "Punch");
        prop_assert!(count(|one| matches!(one, Command::Listen { .. })) <= 1, "Listen");
        prop_assert!(count(|one| matches!(one, Command::RaiseTtl)) <= 1, "RaiseTtl");
        prop_assert!(count(|one| matches!(one, Command::Meet(_))) <= 1, "Meet");
        prop_assert!(count(|one| matches!(one, Command::Swallow { .. })) <= 1, "Swallow");
        prop_assert!(side.reported().len() <= 1, "{:?}", side.reported());
        if let Some(failure) = side.failure() {
            prop_assert_eq!(count(|one| matches!(one, Command::Abandon)), 1);
            let installed = side.commands.iter().any(|one| matches!(one, Command::Install { .. }));
            let by_silence = failure.cause == Cause::NoAnswer && !inputs.iter().any(is_silence);
            if by_silence && technique == USERSPACE && !installed {
                prop_assert!(failure.syns >= 2, "{failure:?}");
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        technique in prop::sample::select(Technique::ALL.to_vec()),
        originates in any::<bool>(),
        inputs in prop::collection::vec(inputs(), 0..40),
    ) {
        let views = [(); 2].map(|()| run(technique, originates, &inputs).view());
        prop_assert_eq!(&views[0], &views[1]);
    }

    #[test]
    fn a_timeout_before_its_deadline_changes_nothing(
        technique in prop::sample::select(Technique::ALL.to_vec()),
        originates in any::<bool>(),
        inputs in prop::collection::vec(inputs(), 0..20),
    ) {
        let mut side = run(technique, originates, &inputs);
        if side.attempt.poll_timeout().is_none_or(|(due, _)| side.now < due) {
            let before = side.view();
            side.attempt.handle_timeout(side.now);
            side.drain();
            prop_assert_eq!(side.view(), before);
        }
    }
}
