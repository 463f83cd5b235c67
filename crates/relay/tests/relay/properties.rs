//! Whatever is presented in whatever order: nothing is joined that was no pair, no value is good
//! twice, and no table stays full.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use simopen_protocol::carrier::Direction;
use simopen_protocol::identity::SessionId;
use simopen_relay::{Command, ConnectionId, Limits, Presented};

use crate::bench::{Bench, proxy, token};

/// One step of an adversary; the numbers choose among few things, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Open(u64),
    End(u64),
    Accept,
    Value { connection: u64, session: u64, side: u8 },
    Digest { connection: u64, session: u64, side: u8, direction: Direction },
    Gone(u64),
    HalfClosed(u64),
    Over(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Direction::Up), Just(Direction::Down)];
    prop_oneof![
        4 => (0..4_u64).prop_map(Step::Open),
        1 => (0..4_u64).prop_map(Step::End),
        4 => Just(Step::Accept),
        6 => (0..12_u64, 0..4_u64, 0..2_u8)
            .prop_map(|(connection, session, side)| Step::Value { connection, session, side }),
        6 => (0..12_u64, 0..4_u64, 0..2_u8, direction).prop_map(
            |(connection, session, side, direction)| Step::Digest { connection, session, side, direction }
        ),
        1 => (0..12_u64).prop_map(Step::Gone),
        1 => (0..4_u64).prop_map(Step::HalfClosed),
        1 => (0..4_u64).prop_map(Step::Over),
        3 => (0..40_000_u64).prop_map(Step::Pass),
    ]
}

/// What a judge knows who looks on: what was opened when, and who presented what when.
#[derive(Default)]
struct Judge {
    /// Age of each opening, by its time.
    opened: BTreeMap<u64, Duration>,
    /// What each connection has presented.
    presented: BTreeMap<u64, BTreeSet<(u64, u8, &'static str)>>,
    /// Pairings that were joined since they were opened.
    joined: BTreeSet<u64>,
    /// Pairings that were opened and are not said to be no more.
    announced: BTreeSet<u64>,
    /// Connections that were joined or refused.
    decided: BTreeSet<ConnectionId>,
}

impl Judge {
    fn judge(&mut self, commands: Vec<Command>, now: Duration) -> Result<(), TestCaseError> {
        for command in commands {
            match command {
                Command::Refuse(connection) => prop_assert!(self.decided.insert(connection)),
                Command::End(session) => prop_assert!(self.joined.contains(&session.0)),
                Command::Gone(_) => prop_assert!(false, "the bench keeps them apart"),
                Command::Join { session: SessionId(session), connections } => {
                    prop_assert!(self.joined.insert(session), "joined twice");
                    let age = now - self.opened[&session];
                    prop_assert!(age <= Duration::from_secs(30), "joined after {age:?}");
                    for (side, connection) in (0..2_u8).zip(connections) {
                        prop_assert!(self.decided.insert(connection));
                        let own = &self.presented[&connection.0];
                        let has = |how| own.contains(&(session, side, how));
                        prop_assert!(has("value") || has("up") && has("down"));
                    }
                }
            }
        }
        Ok(())
    }

    fn judge_gone(&mut self, gone: Vec<u64>) -> Result<(), TestCaseError> {
        for session in gone {
            prop_assert!(self.announced.remove(&session), "told twice of {session}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_joined_that_was_no_pair_and_no_value_is_good_twice(
        steps in prop::collection::vec(steps(), 1..80),
    ) {
        let mut bench = Bench::with(Limits { pairs: 3, unpresented: 4 });
        let mut judge = Judge::default();
        let mut accepted = 0;
        for step in steps {
            let elapsed = Duration::from_nanos(bench.now.as_nanos());
            match step {
                Step::Open(session) => {
                    if bench.relay.handle_open(&proxy(session), bench.now).is_ok() {
                        judge.opened.insert(session, elapsed);
                        judge.joined.remove(&session);
                        prop_assert!(judge.announced.insert(session), "opened twice");
                    }
                }
                Step::End(session) => bench.relay.handle_end(SessionId(session)),
                Step::Accept => {
                    bench.accept(accepted);
                    accepted += 1;
                }
                Step::Value { connection, session, side } => {
                    judge.presented.entry(connection).or_default().insert((session, side, "value"));
                    let presented = Presented::Value(*token(session, side).as_bytes());
                    bench.present_on(connection, presented);
                }
                Step::Digest { connection, session, side, direction } => {
                    let how = if direction == Direction::Up { "up" } else { "down" };
                    judge.presented.entry(connection).or_default().insert((session, side, how));
                    let digest = direction.digest(&token(session, side));
                    bench.present_on(connection, Presented::Digest(direction, digest));
                }
                Step::Gone(connection) => bench.relay.handle_gone(ConnectionId(connection)),
                Step::HalfClosed(session) => {
                    bench.relay.handle_half_closed(SessionId(session), bench.now);
                }
                Step::Over(session) => bench.relay.handle_over(SessionId(session)),
                Step::Pass(milliseconds) => bench.pass(Duration::from_millis(milliseconds)),
            }
            bench.pass(Duration::ZERO);
            // Joins come of presenting, which takes no time.
            let commands = bench.came();
            judge.judge(commands, elapsed)?;
            judge.judge_gone(bench.gone())?;
            prop_assert!(bench.relay.pairs() <= 3);
        }
        // An active pair may go on for ever; everything else is over.
        bench.pass(Duration::from_secs(120));
        for session in 0..4 {
            bench.relay.handle_over(SessionId(session));
        }
        bench.pass(Duration::from_secs(60));
        judge.judge_gone(bench.gone())?;
        prop_assert!(judge.announced.is_empty(), "not told of {:?}", judge.announced);
        prop_assert_eq!((bench.relay.pairs(), bench.relay.unjoined()), (0, 0));
    }
}
