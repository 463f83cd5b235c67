//! Results that no experiment made: every kind of cell occurs in them.

use std::time::Duration;

use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_scenario::report::bench::Theory;
use simopen_scenario::result::{
    BoxCheck, CellResult, Kind, LatenessNote, MachineNote, Rate, Results, Unseen, Verdict,
};
use simopen_scenario::run::{
    Delivered, Fate, LadderPacket, Outcome, PacketsSent, Phases, RunRecord, TimelineEntry, Void,
};
use simopen_scenario::statistics::{Z_95, quantiles, wilson};

/// A matrix of these boxes, upper triangle, all techniques, and one control for each that forges.
pub(crate) fn matrix(boxes: &[NamedBox], command: &str) -> Results {
    let mut results = Results::new(Kind::Matrix, Executor::Model, 7, command.to_owned());
    results.complete = true;
    results.boxes = boxes.to_vec();
    results.ways = Technique::WITHOUT_RELAY.map(Way::Own).to_vec();
    for (number, way) in results.ways.clone().into_iter().enumerate() {
        for (row, a) in boxes.iter().enumerate() {
            for (column, b) in boxes.iter().enumerate().skip(row) {
                let boxes = [a.clone(), b.clone()];
                let cell = cell(boxes, way.clone(), true, 5, 0.0);
                results.cells.push(result(cell, row * 31 + column * 7 + number * 3));
            }
        }
    }
    for technique in
        Technique::WITHOUT_RELAY.into_iter().filter(|technique| technique.needs_forging())
    {
        let boxes = [boxes[0].clone(), boxes[0].clone()];
        results.cells.push(result(cell(boxes, Way::Own(technique), false, 5, 0.0), 1));
    }
    let checked = boxes.iter().map(|named| BoxCheck {
        name: named.name.clone(),
        probes: 8,
        differences: Vec::new(),
        unseen: vec![Unseen {
            axis: "timers.unacknowledged".to_owned(),
            why: "a shorter timer hides it".to_owned(),
        }],
    });
    results.classification = checked.collect();
    results.machine = Some(MachineNote {
        kernel: "6.18.0".to_owned(),
        processors: 2,
        took_s: 512.3,
        lateness: LatenessNote {
            packets: 48_211,
            p50_us: 87.0,
            p99_us: 398.0,
            p999_us: 1204.0,
            longest_stall_us: 3052.0,
        },
        voided: 3,
    });
    results
}

/// A bench over delay and loss.
pub(crate) fn bench(named: &NamedBox) -> Results {
    let command = "simopen lab bench --seed 7".to_owned();
    let mut results = Results::new(Kind::Bench, Executor::Model, 7, command);
    results.complete = true;
    results.boxes = vec![named.clone()];
    results.ways = Technique::WITHOUT_RELAY.map(Way::Own).to_vec();
    for way in results.ways.clone() {
        for loss in [0.0, 0.01, 0.05, 0.1] {
            for leg in [1, 10, 25, 50, 100, 200] {
                let boxes = [named.clone(), named.clone()];
                let cell = cell(boxes, way.clone(), true, leg, loss);
                let theory = Theory::of(&way).unwrap().in_legs_of(cell.conditions.leg);
                let runs = (0..12_u32).map(|nth| {
                    let more = f64::from(nth) * (0.01 + loss) + 0.9 / leg as f64;
                    connected(u64::from(nth), theory + more, leg as f64)
                });
                results.cells.push(judged(cell, runs.collect(), Expect::MustSucceed));
            }
        }
    }
    results
}

fn cell(boxes: [NamedBox; 2], way: Way, forging: bool, leg: u64, loss: f64) -> Cell {
    let conditions = Conditions { loss, ..Conditions::with_leg(Duration::from_millis(leg)) };
    Cell { boxes, way, forging, conditions }
}

/// One of every sort, chosen by a number.
fn result(cell: Cell, choice: usize) -> CellResult {
    let legs = 6.2 + (choice % 7) as f64 / 10.0;
    let all = |run: fn(u64, f64, f64) -> RunRecord, many| (0..many).map(move |n| run(n, legs, 5.0));
    match choice % 23 {
        0 | 5 | 9 | 13 | 20 => judged(cell, all(failed, 3).collect(), Expect::MustFail),
        3 => {
            let runs = all(failed, 70).chain(all(connected, 30)).collect();
            judged(cell, runs, Expect::Probability { p: 0.3, formula: "256 / 853".to_owned() })
        }
        7 if choice > 400 => {
            let runs = all(connected, 20).chain(all(failed, 3)).collect();
            judged(cell, runs, Expect::MustSucceed)
        }
        11 if choice > 300 => {
            let mut found = judged(cell, all(failed, 23).collect(), Expect::MustSucceed);
            found.explained = Some("Linux answers the challenge ACK first (K41)".to_owned());
            found
        }
        16 if choice > 350 => {
            let mut runs: Vec<RunRecord> = all(connected, 3).collect();
            for run in &mut runs {
                run.void = Some(Void::Late { by_ms: 2.7, bound_ms: 1.25 });
            }
            CellResult {
                voided: 15,
                verdict: Verdict::Void,
                ..judged(cell, runs, Expect::MustFail)
            }
        }
        17 if choice > 380 => CellResult::pending(cell, None),
        _ => judged(cell, all(connected, 3).collect(), Expect::MustSucceed),
    }
}

fn judged(cell: Cell, runs: Vec<RunRecord>, expect: Expect) -> CellResult {
    let valid = runs.iter().filter(|run| run.is_valid()).count() as u32;
    let successes = runs.iter().filter(|run| run.is_valid() && run.is_success()).count() as u32;
    let interval = wilson(successes, valid, Z_95);
    let agrees = match expect {
        Expect::MustSucceed => successes == valid,
        Expect::MustFail => successes == 0,
        Expect::Probability { .. } => true,
    };
    let verdict = if agrees {
        Verdict::Agrees
    } else {
        Verdict::Surprise { words: format!("expected another, {successes} of {valid} connected") }
    };
    let prediction =
        Prediction { expect, why: "each box is open for the other's SYN when it comes".to_owned() };
    CellResult {
        success: Rate { successes, runs: valid, low: interval.low, high: interval.high },
        verdict,
        legs: quantiles(&mut runs.iter().filter_map(|run| run.legs).collect::<Vec<f64>>()),
        runs,
        ..CellResult::pending(cell, Some(prediction))
    }
}

fn connected(seed: u64, legs: f64, leg: f64) -> RunRecord {
    let at = |legs: f64| Some(legs * leg);
    RunRecord {
        outcome: Outcome::Connected,
        direct: Some(true),
        phases: Phases {
            gather_ms: at(2.1),
            signal_ms: at(legs - 2.0),
            first_packet_ms: at(legs - 0.9),
            established_ms: at(legs),
            first_byte_ms: at(legs + 2.1),
        },
        legs: Some(legs),
        ladder: vec![
            packet("b", 2.0 * leg, "box-a", 3.0 * leg, "SYN", Fate::Dropped("filtered".to_owned())),
            packet("a", 4.0 * leg, "box-b", 5.0 * leg, "SYN", Fate::Dropped("bare SYN".to_owned())),
            LadderPacket {
                forged: true,
                ..packet("c", 5.0 * leg, "b", 6.0 * leg, "SYN|ACK", Fate::Delivered)
            },
            LadderPacket {
                forged: true,
                ..packet("c", 5.01 * leg, "a", 6.0 * leg, "SYN|ACK", Fate::Delivered)
            },
            packet("a", 6.0 * leg, "b", 7.0 * leg, "ACK 32 bytes", Fate::Delivered),
            packet("b", 7.0 * leg, "a", 8.0 * leg, "ACK 32 bytes", Fate::Delivered),
        ],
        ..failed(seed, legs, leg)
    }
}

fn failed(seed: u64, _legs: f64, leg: f64) -> RunRecord {
    let line = |at_ms: f64, host: &str, event: &str, packet: Option<&str>| TimelineEntry {
        at_ms,
        host: host.to_owned(),
        event: event.to_owned(),
        packet: packet.map(str::to_owned),
    };
    let syn = "10.0.2.2:43475 > 198.51.100.1:42145 SYN seq 1846759540";
    RunRecord {
        seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        outcome: Outcome::Failed {
            cause: "timeout".to_owned(),
            words: "no answer to two SYNs; box-b dropped them: bare SYN dropped (2×)".to_owned(),
        },
        direct: None,
        phases: Phases {
            gather_ms: Some(2.1 * leg),
            signal_ms: Some(4.2 * leg),
            ..Phases::default()
        },
        legs: None,
        packets_sent: PacketsSent { a: 2, b: 2, forged: 0 },
        mappings: [2, 2],
        delivered: [Delivered::default(); 2],
        void: None,
        timeline: vec![
            line(0.2, "a", "asks the broker for a connection to b", None),
            line(2.0 * leg, "b", "sends", Some(syn)),
            line(3.0 * leg, "box-a", "drops it: filtered by endpoint", Some(syn)),
        ],
        ladder: vec![
            packet("b", 2.0 * leg, "box-a", 3.0 * leg, "SYN", Fate::Dropped("filtered".to_owned())),
            packet("a", 4.0 * leg, "box-b", 5.0 * leg, "SYN", Fate::Dropped("bare SYN".to_owned())),
            packet("core", 4.6 * leg, "a", 5.1 * leg, "ICMP time exceeded", Fate::Delivered),
            packet(
                "b",
                2.0 * leg + 1020.0,
                "box-a",
                3.0 * leg + 1020.0,
                "SYN",
                Fate::Dropped("filtered".to_owned()),
            ),
            packet(
                "a",
                4.0 * leg + 1020.0,
                "box-b",
                5.0 * leg + 1020.0,
                "SYN",
                Fate::Dropped("bare SYN".to_owned()),
            ),
        ],
    }
}

fn packet(
    from: &str,
    sent_ms: f64,
    to: &str,
    ended_ms: f64,
    label: &str,
    fate: Fate,
) -> LadderPacket {
    LadderPacket {
        from: from.to_owned(),
        sent_ms,
        to: to.to_owned(),
        ended_ms,
        label: label.to_owned(),
        fate,
        forged: false,
    }
}
