//! Populations: what their pairs come to is what the boxes and their shares say.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::AtomicBool;

use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::oracle::predict;
use simopen_scenario::population::{BY_COST, Frame, Pair, Population, Survey};
use simopen_scenario::prediction::Expect;
use simopen_scenario::report::population::page;
use simopen_scenario::result::Rate;
use simopen_sim::population::{Outcome, PopulationSpec, run};
use simopen_sim::{Carriage, Stack};

const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);

fn spec(text: &str, techniques: &[Technique], pairs: u32) -> PopulationSpec {
    PopulationSpec {
        population: Population::from_toml("f.toml", &format!("source = 'none'\n{text}")).unwrap(),
        techniques: techniques.to_vec(),
        pairs,
        seed: 7,
        stack: Stack::Linux,
        carriage: Carriage::Bytes,
        jobs: 2,
    }
}

fn outcome(spec: &PopulationSpec) -> Outcome {
    run(spec, &AtomicBool::new(false), &|_| {}).unwrap()
}

fn survey(spec: &PopulationSpec) -> Survey {
    let Outcome { tally, violations, complete } = outcome(spec);
    assert_eq!(violations, []);
    let order = spec.techniques.clone();
    let frame = Frame { order: &order, seed: spec.seed, stack: "linux", command: "c", complete };
    Survey::of(&spec.population, tally, &frame).unwrap()
}

fn boxes(shares: &[(u32, &str)]) -> String {
    let table = |(share, preset)| format!("[[boxes]]\nshare = {share}\npreset = '{preset}'\n");
    shares.iter().copied().map(table).collect()
}

#[test]
fn a_population_of_one_kind_of_box_is_joined_always_or_never_as_the_oracle_says() {
    for preset in [
        "no-box",
        "linux-masquerade-drop-input",
        "rfc5382-compliant",
        "apd-mapping-random",
        "syn-ack-only-firewall",
        "isn-modulating-pf",
    ] {
        let spec = spec(&boxes(&[(1, preset)]), &BY_COST, 6);
        let survey = survey(&spec);
        let pair = Pair { boxes: [0, 0], foreign_sources: true, path: 0 };
        for (technique, alone) in BY_COST.into_iter().zip(&survey.alone) {
            let cell = spec.population.cell(pair, technique);
            let specs = [&cell.boxes[0].spec, &cell.boxes[1].spec];
            let prediction = predict(specs, &cell.way, true, &cell.conditions).unwrap();
            let expected = match prediction.expect {
                Expect::MustSucceed => 6,
                Expect::MustFail => 0,
                Expect::Probability { .. } => panic!("nothing is drawn behind {preset}"),
            };
            assert_eq!(alone.joined.successes, expected, "{technique} behind {preset}");
        }
    }
}

#[test]
fn a_mixture_is_joined_as_often_as_two_boxes_that_let_it_through_meet() {
    let mixed = boxes(&[(7, "linux-masquerade-drop-input"), (3, "apd-mapping-random")]);
    let spec = spec(&mixed, &[Technique::SimultaneousOpen], 600);

    let survey = survey(&spec);

    let Rate { low, high, .. } = survey.alone[0].joined;
    assert!(low < 0.49 && 0.49 < high, "{low} to {high}");
    let met: u32 = survey.between.iter().map(|met| met.joined.runs).sum();
    assert_eq!(met, 600);
    for met in &survey.between {
        let expected = if met.boxes == [0, 0] { met.joined.runs } else { 0 };
        assert_eq!(met.joined.successes, expected, "{met:?}");
    }
}

#[test]
fn forging_joins_the_share_of_pairs_whose_broker_may_send_foreign_sources() {
    let text =
        boxes(&[(1, "syn-ack-only-firewall")]) + "[broker]\nlets-foreign-sources-out = 0.25\n";
    let spec = spec(&text, &[Technique::SimultaneousOpen, KERNEL], 400);

    let survey = survey(&spec);

    let Rate { low, high, .. } = survey.alone[1].joined;
    assert!(low < 0.25 && 0.25 < high, "{low} to {high}");
    let passing = survey.alone[1].where_sources_pass;
    assert_eq!(passing.successes, passing.runs);
    assert_eq!(survey.order[1].adds.successes, survey.alone[1].joined.successes);
    assert_eq!(survey.left.len(), 1, "{:?}", survey.left);
    assert!(survey.left[0].cause.contains("broker's network"), "{:?}", survey.left);
}

#[test]
fn one_seed_gives_the_same_bytes_on_any_number_of_threads_and_another_seed_others() {
    let mixed = boxes(&[(1, "rst-answering"), (1, "apd-mapping-random"), (2, "no-box")])
        + "[[paths]]\ndelay = '20ms'\njitter = '4ms'\nloss = 0.05\n";
    let mut spec = spec(&mixed, &BY_COST, 70);
    let first = survey(&spec);

    spec.jobs = 1;
    let again = survey(&spec);
    spec.seed = 8;
    let other = survey(&spec);

    assert_eq!((first.to_json(), page(&first)), (again.to_json(), page(&again)));
    assert_ne!(Survey { seed: 7, ..other }, first);
}

#[test]
fn what_is_broken_off_says_so_and_holds_what_was_done() {
    let spec = spec(&boxes(&[(1, "no-box")]), &[Technique::Direct], 10);

    let outcome = run(&spec, &AtomicBool::new(true), &|_| {}).unwrap();

    assert!(!outcome.complete);
    let frame = Frame { order: &[], seed: 7, stack: "linux", command: "c", complete: false };
    let survey = Survey::of(&spec.population, outcome.tally, &frame).unwrap();
    assert_eq!((survey.pairs, survey.relay.runs), (0, 0));
}
