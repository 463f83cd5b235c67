//! Where the oracle gives a probability, so often it comes.

use std::time::Duration;

use simopen_nat::{Mapping, MiddleboxSpec, PortAllocation};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::prediction::Expect;
use simopen_scenario::run::{Outcome, RunRecord};
use simopen_scenario::statistics::clopper_pearson;
use simopen_sim::Detail;

use crate::experiment::Experiment;
use crate::{foretold, run};

const RUNS: u32 = 200;
/// How far the imagined probability may be from the true one: the imagined network has no login
/// to lose, and repeats lost words at other times.
const TOLERANCE: f64 = 0.03;

/// The probability foretold, after as many runs as show that it is the true one.
fn share(experiment: &Experiment) -> f64 {
    let foretold = match foretold(experiment).unwrap().expect {
        Expect::MustSucceed => 1.0,
        Expect::MustFail => 0.0,
        Expect::Probability { p, .. } => p,
    };
    let seeds = (1..=u64::from(RUNS)).map(|nth| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let records =
        seeds.map(|seed| run(&Experiment { seed, ..*experiment }, Detail::Outcome).record);
    let begun: Vec<RunRecord> = records.filter(has_begun).collect();
    let runs = u32::try_from(begun.len()).unwrap();
    let successes = begun.iter().filter(|record| record.is_success()).count();
    let interval = clopper_pearson(u32::try_from(successes).unwrap(), runs, 0.999);
    let is_near = interval.low - TOLERANCE <= foretold && foretold <= interval.high + TOLERANCE;
    assert!(is_near, "{foretold} foretold, {successes} of {runs} came\n{experiment:#?}");
    foretold
}

/// Whether both sides came as far as the attempt.
fn has_begun(record: &RunRecord) -> bool {
    !matches!(&record.outcome, Outcome::Failed { words, .. } if words.contains("did not log in"))
}

fn lossy(technique: Technique, spec: &MiddleboxSpec, loss: f64) -> Experiment {
    let leg = Duration::from_millis(20);
    let conditions = Conditions { loss, ..Conditions::with_leg(leg) };
    Experiment { technique, boxes: [*spec; 2], forging: true, conditions, seed: 0 }
}

#[test]
fn a_lossy_network_costs_as_many_attempts_as_foretold_through_silent_boxes() {
    for technique in Technique::WITHOUT_RELAY {
        share(&lossy(technique, &MiddleboxSpec::silent_stateful_firewall(), 0.02));
    }
}

#[test]
fn a_lossy_network_costs_as_many_attempts_as_foretold_through_boxes_that_answer() {
    for technique in Technique::WITHOUT_RELAY {
        share(&lossy(technique, &MiddleboxSpec::linux_masquerade_open_input(), 0.02));
    }
}

#[test]
fn a_lost_syn_can_save_what_its_answer_would_have_ended() {
    let kernel = Technique::ForgedSynAck(SynOwner::Kernel);
    let experiment = lossy(kernel, &MiddleboxSpec::rst_answering(), 0.05);

    let foretold = share(&experiment);

    assert!(foretold > 0.05 && foretold < 0.5, "{foretold}");
}

#[test]
fn jitter_decides_the_races_that_the_oracle_leaves_open() {
    let spec = MiddleboxSpec::linux_masquerade_open_input();
    let leg = Duration::from_millis(20);
    let conditions =
        Conditions { jitter: Duration::from_millis(20), skew_a: leg, ..Conditions::with_leg(leg) };
    let technique = Technique::SimultaneousOpen;
    let boxes = [spec; 2];

    let foretold = share(&Experiment { technique, boxes, forging: true, conditions, seed: 0 });

    assert!(foretold > 0.1 && foretold < 0.9, "{foretold}");
}

#[test]
fn a_port_drawn_from_few_is_drawn_again_as_often_as_there_are_few() {
    let spec = MiddleboxSpec::linux_masquerade_drop_input()
        .with_mapping(Mapping::AddressAndPortDependent)
        .with_port_allocation(PortAllocation::RandomInBlock { size: 8 });
    let boxes = [spec, MiddleboxSpec::linux_masquerade_drop_input()];
    let conditions = Conditions::with_leg(Duration::from_millis(5));
    let technique = Technique::SimultaneousOpen;

    let foretold = share(&Experiment { technique, boxes, forging: true, conditions, seed: 0 });

    assert!((foretold - 0.125).abs() < 1e-9, "{foretold}");
}
