//! A sample of the matrix on real kernels: what comes of it is what specifications foretell, a
//! technique that is broken is found out, and a topology that is used again remembers nothing.

use std::time::Duration;

use simopen_lab::cancel::Cancel;
use simopen_lab::matrix::{self, How, MatrixSpec, run_schedule};
use simopen_netns_tests::{requires, requires_programs};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_scenario::result::{CellResult, Kind, Results, Verdict};
use simopen_scenario::run::{Fate, RunRecord};
use simopen_scenario::schedule::Schedule;

const LEG: Duration = Duration::from_millis(20);

/// One that lets SYNs in, one that answers RST, one that drops SYNs.
const SAMPLE: [&str; 3] = ["linux-masquerade-drop-input", "rst-answering", "syn-ack-only-firewall"];

fn preset(name: &str) -> NamedBox {
    NamedBox::preset(name).expect("a preset has that name")
}

fn sample(executor: Executor) -> Results {
    let spec = MatrixSpec {
        boxes: SAMPLE.map(preset).to_vec(),
        ways: Technique::WITHOUT_RELAY.iter().copied().map(Way::Own).collect(),
        runs: 1,
        seed: 1,
        conditions: Conditions::with_leg(LEG),
        how: How { executor, ..How::new("a test") },
    };
    matrix::run(&spec, &Cancel::never(), &|_| {}).expect("it can be made")
}

/// What is wrong, with the story of one run for each cell.
fn complaints(results: &Results) -> Vec<String> {
    let wrong = results.cells.iter().filter(|cell| cell.verdict != Verdict::Agrees);
    wrong.map(complaint).collect()
}

fn complaint(result: &CellResult) -> String {
    let Cell { boxes: [a, b], way, forging, .. } = &result.cell;
    let run = result.runs.iter().find(|run| run.is_valid()).or_else(|| result.runs.first());
    let story = run.map(|run| format!("{:?} {:?} {:#?}", run.outcome, run.void, run.timeline));
    format!(
        "{} / {} / {way}, forging {forging}: {:?}, foretold {:?}: {}",
        a.name,
        b.name,
        result.verdict,
        result.prediction,
        story.unwrap_or_default()
    )
}

#[test]
fn machines_do_what_their_specifications_foretell() {
    if !requires() {
        return;
    }
    let results = sample(Executor::Model);
    assert!(results.complete);
    assert_eq!(complaints(&results), Vec::<String>::new());
    assert!(results.classification.iter().all(|check| check.differences.is_empty()));
    // Each box has something that must fail there, so that one which lets everything through is
    // found out.
    for name in SAMPLE {
        let controls = results.cells.iter().filter(|cell| {
            cell.cell.boxes.iter().all(|placed| placed.name == name)
                && cell.prediction.as_ref().is_some_and(|says| says.expect == Expect::MustFail)
        });
        assert!(controls.count() > 0, "{name}");
    }
}

#[test]
fn kernels_do_what_their_specifications_foretell() {
    if !requires_programs(&["nft"]) {
        return;
    }
    let results = sample(Executor::Nft);
    assert_eq!(complaints(&results), Vec::<String>::new());
    assert!(results.classification.iter().all(|check| check.differences.is_empty()));
}

fn cell(technique: Technique, boxes: &str, forging: bool) -> Cell {
    Cell {
        boxes: [preset(boxes), preset(boxes)],
        way: Way::Own(technique),
        forging,
        conditions: Conditions::with_leg(LEG),
    }
}

fn run(cells: Vec<(Cell, Option<Prediction>)>, runs: u32, jobs: usize) -> Vec<CellResult> {
    let results = Results::new(Kind::Matrix, Executor::Model, 1, String::new());
    let schedule = Schedule::with_predictions(cells, runs, 1);
    let how = How { jobs, ..How::new("a test") };
    run_schedule(schedule, &how, results, &Cancel::never(), &|_| {}).expect("it can be made").cells
}

/// The broker keeps its forged packets back, and the oracle is told that it sends them: the same as
/// a technique that does not do its work.
#[test]
fn a_technique_that_is_broken_is_a_surprise_and_is_run_twenty_times_more() {
    if !requires() {
        return;
    }
    let works = cell(Technique::ForgedSynAck(SynOwner::Kernel), "syn-ack-only-firewall", true);
    let specs = [&works.boxes[0].spec, &works.boxes[1].spec];
    let foretold = simopen_scenario::oracle::predict(specs, &works.way, true, &works.conditions);
    assert_eq!(foretold.as_ref().map(|says| &says.expect), Some(&Expect::MustSucceed));
    let broken = Cell { forging: false, ..works.clone() };

    let results = run(vec![(works, foretold.clone()), (broken, foretold)], 1, 8);

    assert_eq!(results[0].verdict, Verdict::Agrees);
    assert!(results[1].is_surprise(), "{:?}", results[1].verdict);
    assert_eq!(results[1].runs.len(), 21);
}

/// One topology makes the same run first and last, and thirty others of all kinds between.
#[test]
fn a_topology_that_is_used_again_remembers_nothing() {
    if !requires() {
        return;
    }
    let techniques = [
        Technique::ForgedSynAck(SynOwner::Kernel),
        Technique::ForgedSynAck(SynOwner::Userspace),
        Technique::SimultaneousOpen,
    ];
    let first = cell(techniques[0], "rst-answering", true);
    let boxes = ["linux-masquerade-drop-input", "silent-stateful-firewall"];
    let others = techniques
        .into_iter()
        .flat_map(|technique| boxes.into_iter().map(move |boxes| cell(technique, boxes, true)));
    let mut cells = vec![first.clone()];
    for _ in 0..5 {
        cells.extend(others.clone());
    }
    cells.push(first);
    let results = run(cells.into_iter().map(|cell| (cell, None)).collect(), 1, 1);

    assert_eq!(results.len(), 32);
    let [first, last] = [&results[0], &results[31]].map(|result| &result.runs[0]);
    assert_eq!(first.seed, last.seed, "the seed is the cell's");
    assert!(first.is_valid() && last.is_valid(), "{:?} {:?}", first.void, last.void);
    assert_eq!(first.outcome, last.outcome);
    assert_eq!(first.delivered, last.delivered);
    assert_eq!(first.packets_sent, last.packets_sent);
    assert_eq!(first.mappings, last.mappings);
    assert_eq!(decisions(first), decisions(last));
    // None of the ports is used again, so the packets of no other run are among these.
    assert!(ports(first).iter().all(|port| !ports(last).contains(port)));
}

/// What became of each packet, whatever its ports and its moment.
fn decisions(run: &RunRecord) -> Vec<(String, String, String, Fate)> {
    let decided = run.ladder.iter().map(|packet| {
        (packet.from.clone(), packet.to.clone(), packet.label.clone(), packet.fate.clone())
    });
    let mut decided: Vec<_> = decided.collect();
    // Two packets on their way at one moment have no order.
    decided.sort_by(|one, other| format!("{one:?}").cmp(&format!("{other:?}")));
    decided
}

/// The ports from which `a` and `b` sent.
fn ports(run: &RunRecord) -> Vec<String> {
    let sends = run.timeline.iter().filter(|entry| entry.event == "sends");
    let sources = sends.filter_map(|entry| entry.packet.as_deref()?.split(' ').next());
    sources.filter_map(|source| source.rsplit(':').next()).map(str::to_owned).collect()
}
