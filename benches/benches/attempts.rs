//! Whole attempts in virtual time, from the making of the network to the record of the run: logins,
//! proven ports, the technique, bytes both ways, and once more without the broker.
//!
//! `cargo bench -p simopen-benches --bench attempts`
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simopen_fabric::Fabric;
use simopen_packet::{Entropy, Timestamp};
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix::{LEG, boxes, ways};
use simopen_scenario::network::Executor;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use simopen_sim::{Detail, Run, Trial};

/// One cell, and the seed of its next run.
struct Attempts {
    star: Star,
    trial: Trial,
    seed: u64,
}

impl Attempts {
    fn new(cell: &Cell, detail: Detail) -> Self {
        let trial = Trial::of_cell(cell).unwrap();
        Self {
            star: Star::of_cell(cell, Executor::Model),
            trial: Trial { detail, ..trial },
            seed: 0,
        }
    }

    fn make(&mut self) -> Run {
        self.seed += 1;
        let network = self.star.network(&entropy_of(self.seed), Timestamp::ZERO).unwrap();
        self.trial.make(network, self.seed)
    }
}

/// The cell of a technique between two boxes of one kind.
fn cell(technique: Technique, name: &str) -> Cell {
    let placed = NamedBox::preset(name).unwrap();
    Cell {
        boxes: [placed.clone(), placed],
        way: Way::Own(technique),
        forging: true,
        conditions: Conditions::with_leg(LEG),
    }
}

/// Each technique between boxes that it opens, and between boxes that it does not.
fn each_technique(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attempt");
    group.throughput(Throughput::Elements(1));
    for technique in Technique::WITHOUT_RELAY {
        let opens = if technique == Technique::Direct {
            "no-box"
        } else if technique.needs_forging() {
            "linux-masquerade-drop-input"
        } else {
            "rfc5382-compliant"
        };
        for (name, success) in [(opens, true), ("apd-mapping-random", false)] {
            for detail in [Detail::Outcome, Detail::Record] {
                let mut attempts = Attempts::new(&cell(technique, name), detail);
                assert_eq!(attempts.make().record.is_success(), success, "{technique} {name}");
                group.bench_function(format!("{technique}/{name}/{detail:?}"), |bencher| {
                    bencher.iter(|| black_box(attempts.make()));
                });
            }
        }
    }
    group.finish();
}

/// The cells of the default matrix by turns.
fn default_matrix(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("default_matrix");
    group.throughput(Throughput::Elements(1));
    let cells = Cell::of_matrix(&boxes(), &ways(), Conditions::with_leg(LEG));
    for detail in [Detail::Outcome, Detail::Record] {
        let mut all: Vec<_> = cells.iter().map(|cell| Attempts::new(cell, detail)).collect();
        let mut turns = (0..all.len()).cycle();
        group.bench_function(format!("{detail:?}"), |bencher| {
            bencher.iter(|| black_box(all[turns.next().unwrap()].make()));
        });
    }
    group.finish();
}

/// A network of three hosts and two boxes, made and let go.
fn network(criterion: &mut Criterion) {
    let entropy = Entropy::new([1; 32]);
    let star = Star::of_cell(&cell(Technique::Direct, "rfc5382-compliant"), Executor::Model);
    criterion.bench_function("network", |bencher| {
        bencher.iter(|| {
            let network = black_box(&star).network(&entropy, Timestamp::ZERO).unwrap();
            black_box(Fabric::new(network.graph, entropy.clone(), Timestamp::ZERO))
        });
    });
}

criterion_group!(benches, each_technique, default_matrix, network);
criterion_main!(benches);
