//! Which runs a schedule asks for, and what it makes of them.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_scenario::result::{CellResult, Verdict};
use simopen_scenario::run::{Delivered, Outcome, PacketsSent, Phases, RunRecord, Void};
use simopen_scenario::schedule::{AFTER_SURPRISE, Job, MOST_RUNS, MOST_TRIES, Schedule, seed_of};

const RUNS: u32 = 3;

fn cell(leg: u64) -> Cell {
    let open = NamedBox::preset("rfc5382-compliant").unwrap();
    Cell {
        boxes: [open.clone(), open],
        way: Way::Own(Technique::SimultaneousOpen),
        forging: true,
        conditions: Conditions::with_leg(Duration::from_millis(leg)),
    }
}

fn expecting(expect: Expect) -> Option<Prediction> {
    Some(Prediction { expect, why: "so says the test".to_owned() })
}

fn chance(p: f64) -> Option<Prediction> {
    expecting(Expect::Probability { p, formula: "so says the test".to_owned() })
}

fn run(seed: u64, success: bool) -> RunRecord {
    let failed = Outcome::Failed { cause: "no-answer".to_owned(), words: "no answer".to_owned() };
    RunRecord {
        seed,
        outcome: if success { Outcome::Connected } else { failed },
        direct: success.then_some(true),
        phases: Phases { established_ms: success.then_some(20.0), ..Phases::default() },
        legs: success.then_some(4.0),
        packets_sent: PacketsSent::default(),
        mappings: [1, 1],
        delivered: [Delivered::default(); 2],
        void: None,
        timeline: Vec::new(),
        ladder: Vec::new(),
    }
}

fn void(seed: u64) -> RunRecord {
    RunRecord { void: Some(Void::JournalIncomplete), ..run(seed, true) }
}

#[test]
fn the_seed_of_a_run_is_found_without_a_schedule() {
    let mut schedule = Schedule::with_predictions([(cell(5), None), (cell(6), None)], RUNS, 9);
    while let Some(job) = schedule.next_job() {
        let cell = [cell(5), cell(6)][job.cell].clone();
        assert_eq!(job.seed, seed_of(&cell, job.nth, 9));
    }
}

/// Makes all runs of one cell, one after the other.
fn all_runs(prediction: Option<Prediction>, outcome: impl Fn(Job, u32) -> RunRecord) -> CellResult {
    let mut schedule = Schedule::with_predictions([(cell(5), prediction)], RUNS, 1);
    let mut tries = std::collections::BTreeMap::new();
    while let Some(job) = schedule.next_job() {
        let tried = tries.entry(job).or_insert(0);
        *tried += 1;
        schedule.handle(job, outcome(job, *tried));
    }
    assert!(schedule.is_done());
    schedule.finish().remove(0)
}

#[test]
fn a_must_cell_that_agrees_gets_the_runs_that_were_asked_for() {
    let succeeding = all_runs(expecting(Expect::MustSucceed), |job, _| run(job.seed, true));
    let failing = all_runs(expecting(Expect::MustFail), |job, _| run(job.seed, false));

    assert_eq!((succeeding.verdict, succeeding.success.runs), (Verdict::Agrees, RUNS));
    assert_eq!((failing.verdict, failing.success.runs), (Verdict::Agrees, RUNS));
}

#[test]
fn one_deviation_in_a_must_cell_is_a_surprise_and_brings_twenty_more_runs() {
    let result = all_runs(expecting(Expect::MustSucceed), |job, _| run(job.seed, job.nth != 1));

    assert_eq!(result.success.runs, RUNS + AFTER_SURPRISE);
    assert_eq!(
        result.verdict,
        Verdict::Surprise { words: "must succeed, and 1 of 23 failed".to_owned() }
    );
}

#[test]
fn a_connection_that_dies_with_the_broker_is_no_success() {
    let result = all_runs(expecting(Expect::MustSucceed), |job, _| RunRecord {
        direct: Some(false),
        ..run(job.seed, true)
    });

    assert!(result.is_surprise());
}

#[test]
fn a_cell_without_prediction_gets_its_runs_and_no_judgement() {
    let result = all_runs(None, |job, _| run(job.seed, job.nth == 0));

    assert_eq!((result.verdict, result.success.runs), (Verdict::Unpredicted, RUNS));
}

#[test]
fn a_rate_is_measured_until_it_is_known_to_a_tenth() {
    let certain = all_runs(chance(0.99), |job, _| run(job.seed, true));
    let even = all_runs(chance(0.5), |job, _| run(job.seed, job.nth % 2 == 0));

    // Wilson: z² / (2 (n + z²)) ≤ 0.1 from 16 runs on; at 1/2 from 93 on.
    assert_eq!((certain.verdict, certain.success.runs), (Verdict::Agrees, 16));
    assert_eq!((even.verdict, even.success.runs), (Verdict::Agrees, 93));
    assert!(even.success.high - even.success.low <= 0.2);
}

#[test]
fn a_probability_outside_the_interval_is_a_surprise() {
    let result = all_runs(chance(0.5), |job, _| run(job.seed, job.nth % 10 == 0));

    let Verdict::Surprise { words } = result.verdict else { panic!("{:?}", result.verdict) };
    assert!(words.starts_with("expected with probability 0.500, and "), "{words}");
}

#[test]
fn a_void_run_is_repeated_with_its_seed_and_counted() {
    let result = all_runs(expecting(Expect::MustSucceed), |job, tried| {
        if job.nth == 0 && tried == 1 { void(job.seed) } else { run(job.seed, true) }
    });

    assert_eq!((result.verdict, result.voided, result.runs.len()), (Verdict::Agrees, 1, 3));
    let seeds: BTreeSet<_> = result.runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds.len(), 3);
}

#[test]
fn a_run_that_never_counts_is_given_up_and_leaves_the_cell_void() {
    let result = all_runs(expecting(Expect::MustSucceed), |job, _| {
        if job.nth == 0 { void(job.seed) } else { run(job.seed, true) }
    });

    assert_eq!((result.verdict, result.voided), (Verdict::Void, MOST_TRIES));
    assert_eq!((result.success.runs, result.runs.len()), (2, 3));
}

#[test]
fn a_cell_whose_runs_cannot_be_made_is_void() {
    let mut schedule = Schedule::with_predictions([(cell(5), chance(0.5))], RUNS, 1);

    while let Some(job) = schedule.next_job() {
        schedule.handle_abandoned(job);
    }

    let result = schedule.finish().remove(0);
    assert_eq!((result.verdict, result.voided), (Verdict::Void, MOST_RUNS * MOST_TRIES));
}

#[test]
fn what_was_broken_off_is_pending_unless_it_has_surprised_already() {
    let must = || (cell(5), expecting(Expect::MustSucceed));
    let mut schedule = Schedule::with_predictions([must(), must()], RUNS, 1);
    let mut jobs: Vec<_> = std::iter::from_fn(|| schedule.next_job()).collect();
    jobs.retain(|job| job.nth == 0);

    schedule.handle(jobs[0], run(1, true));
    schedule.handle(jobs[1], run(1, false));

    assert!(!schedule.is_done());
    assert_eq!(schedule.progress().done, 2);
    assert_eq!(schedule.progress().planned, 6);
    let results = schedule.finish();
    assert_eq!(results[0].verdict, Verdict::Pending);
    assert!(results[1].is_surprise());
}

#[test]
fn a_cell_has_the_same_seeds_whatever_other_cells_there_are() {
    let seeds = |cells: Vec<Cell>, of: usize| -> Vec<u64> {
        let mut schedule =
            Schedule::with_predictions(cells.into_iter().map(|cell| (cell, None)), RUNS, 7);
        let jobs = std::iter::from_fn(|| schedule.next_job());
        jobs.filter(|job| job.cell == of).map(|job| job.seed).collect()
    };

    assert_eq!(seeds(vec![cell(5)], 0), seeds(vec![cell(9), cell(5)], 1));
    assert_ne!(seeds(vec![cell(5)], 0), seeds(vec![cell(9)], 0));
}

#[test]
fn a_result_that_nobody_waits_for_changes_nothing() {
    let mut schedule = Schedule::with_predictions([(cell(5), None)], RUNS, 1);
    let job = schedule.next_job().unwrap();
    schedule.handle(job, run(1, true));

    schedule.handle(job, run(1, false));

    assert_eq!(schedule.result(0).unwrap().success.successes, 1);
    assert_eq!(schedule.result(1), None);
}

/// Makes all runs, up to `jobs` at a time, which come back in an order drawn by `order`.
fn in_order(
    cells: &[(Cell, Option<Prediction>)],
    seed: u64,
    jobs: usize,
    mut order: u64,
) -> (BTreeSet<Job>, Vec<CellResult>) {
    let mut schedule = Schedule::with_predictions(cells.to_vec(), RUNS, seed);
    let (mut out, mut seen, mut tries) = (Vec::new(), BTreeSet::new(), Vec::new());
    loop {
        while out.len() < jobs
            && let Some(job) = schedule.next_job()
        {
            seen.insert(job);
            out.push(job);
        }
        if out.is_empty() {
            break;
        }
        order =
            order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let job = out.swap_remove(usize::try_from(order >> 33).unwrap() % out.len());
        // A third of all runs is void at the first try, and half succeed.
        let first = !tries.contains(&job);
        tries.push(job);
        let record = if first && job.seed % 3 == 0 {
            void(job.seed)
        } else {
            run(job.seed, job.seed % 2 == 0)
        };
        schedule.handle(job, record);
        let progress = schedule.progress();
        assert!(progress.done <= progress.planned);
    }
    assert!(schedule.is_done());
    (seen, schedule.finish())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_seed_gives_the_same_jobs_in_whatever_order_results_come_in(
        seed: u64,
        jobs in 1_usize..12,
        orders in any::<[u64; 2]>(),
    ) {
        let expectations =
            [expecting(Expect::MustSucceed), expecting(Expect::MustFail), chance(0.5), None];
        let cells: Vec<_> = (1..).map(cell).zip(expectations).collect();

        let one_at_a_time = in_order(&cells, seed, 1, orders[0]);
        let several = in_order(&cells, seed, jobs, orders[1]);

        prop_assert_eq!(one_at_a_time, several);
    }
}
