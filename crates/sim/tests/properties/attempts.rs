//! Any technique through any two boxes, over links that delay, disorder and lose, between hosts of
//! either stack.
//!
//! `PROPTEST_CASES` says how many are drawn. What once failed stands in `proptest-regressions` and
//! is tried first.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::run::Outcome;
use simopen_sim::{Carriage, Detail, Run, Stack, Trial};
use simopen_traversal::consent::MAX_SYNS;

use crate::drawn::{experiments, pick};
use crate::experiment::Experiment;

/// An attempt in every detail.
#[derive(Debug, Clone, Copy)]
struct Case {
    experiment: Experiment,
    stack: Stack,
    carriage: Carriage,
}

impl Case {
    fn run(&self, detail: Detail) -> Run {
        let Self { experiment, stack, carriage } = *self;
        experiment.run_as(|trial| Trial { stack, carriage, detail, ..trial })
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (experiments(), any::<[u8; 4]>()).prop_map(|(experiment, numbers)| {
        let [jitter, loss, stack, carriage] = numbers;
        let conditions = Conditions {
            jitter: Duration::from_millis(pick(&[0, 0, 1, 30], jitter)),
            loss: pick(&[0.0, 0.0, 0.05, 0.3], loss),
            ..experiment.conditions
        };
        Case {
            experiment: Experiment { conditions, ..experiment },
            stack: pick(&[Stack::Linux, Stack::Linux, Stack::Smoltcp], stack),
            carriage: pick(&[Carriage::Bytes, Carriage::Streams], carriage),
        }
    })
}

/// What is wrong with a run, if anything is.
fn fault(case: &Case, run: &Run) -> Option<String> {
    let record = &run.record;
    let forges = case.experiment.technique.needs_forging() && case.experiment.forging;
    let syns = record.delivered.iter().map(|host| host.syns_sent).max();
    let rules = [
        (run.violations.is_empty(), "the rules of every run"),
        (forges || record.packets_sent.forged == 0, "nothing is forged that was not asked for"),
        (syns <= Some(u32::from(MAX_SYNS)), "few SYNs are sent"),
        (
            (record.outcome == Outcome::Connected) == record.direct.is_some(),
            "a connection is proven direct or not, and nothing else is",
        ),
        (
            (record.outcome == Outcome::Connected) == record.phases.first_byte_ms.is_some(),
            "a connection is one that both sides have confirmed",
        ),
    ];
    let broken = rules.iter().find(|(holds, _)| !holds)?;
    let trace = case.run(Detail::Trace).trace;
    Some(format!("{}: {run:#?}\n{}", broken.1, trace.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/proptest-regressions/attempts.txt"
        )))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_attempt_ends_within_its_bounds_and_its_two_sides_mean_one_connection(case in cases()) {
        let fault = fault(&case, &case.run(Detail::Record));
        prop_assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }

    #[test]
    fn every_attempt_made_again_is_the_same(case in cases()) {
        prop_assert_eq!(case.run(Detail::Trace), case.run(Detail::Trace));
    }
}
