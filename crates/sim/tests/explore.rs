//! Explorations as a whole: what they count, what they hold, and that they find something.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use simopen_nat::Preset;
use simopen_packet::Timestamp;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::network::Network;
use simopen_scenario::run::Outcome;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::{IpVersion, Star};
use simopen_sim::explore::{Choice, Exploration, Explored, Script};

const SEED: u64 = 1;

/// Silent to strangers, and with an RST for them: what decides over the order of packets.
const BOXES: [&str; 2] = ["linux-masquerade-drop-input", "rst-answering"];

fn network(boxes: [&str; 2], ip: IpVersion) -> Network {
    let boxes = boxes.map(|name| Preset::named(name).map(|preset| preset.spec));
    let star = Star { boxes, ip, ..Star::with_leg(Duration::from_millis(10)) };
    star.network(&entropy_of(SEED), Timestamp::ZERO).unwrap()
}

fn explore(exploration: &Exploration, network: &Network) -> Explored {
    let explored = exploration.explore(network, SEED, &mut |_, _| ControlFlow::Continue(()));
    assert!(explored.complete);
    explored
}

fn assert_nothing_broken(explored: &Explored, what: &str) {
    let broken = explored.breaches.iter().take(3);
    let broken: Vec<_> =
        broken.map(|breach| format!("{}: {:?}", breach.script, breach.violations)).collect();
    assert!(broken.is_empty(), "{what}: {broken:#?}");
}

#[test]
fn eight_deliveries_in_any_order_with_a_fault_break_no_rule_and_are_counted_alike_twice() {
    for technique in Technique::WITHOUT_RELAY {
        for boxes in [[BOXES[0]; 2], BOXES] {
            let network = network(boxes, IpVersion::V4);
            let exploration = Exploration { faults: 1, ..Exploration::new(technique) };
            let explored = explore(&exploration, &network);
            let what = format!("{technique} {boxes:?}");
            println!("{what}: {explored:?}");
            assert_nothing_broken(&explored, &what);
            assert_eq!(explored, explore(&exploration, &network), "{what}");
        }
    }
}

#[test]
fn two_faults_break_no_rule_between_ipv6_firewalls() {
    let network = network(["ipv6-stateful-rfc6092"; 2], IpVersion::V6);
    for technique in Technique::WITHOUT_RELAY {
        let exploration = Exploration { deliveries: 6, ..Exploration::new(technique) };
        assert_nothing_broken(&explore(&exploration, &network), &technique.to_string());
    }
}

/// Scripts and outcomes of all schedules that were made to their end.
fn schedules(exploration: &Exploration, network: &Network) -> BTreeMap<Script, Outcome> {
    let mut made = BTreeMap::new();
    let _ = exploration.explore(network, SEED, &mut |script, run| {
        if let Some(run) = run {
            made.insert(script.clone(), run.record.outcome.clone());
        }
        ControlFlow::Continue(())
    });
    made
}

#[test]
fn a_schedule_replays_from_its_script() {
    let network = network([BOXES[1]; 2], IpVersion::V4);
    let technique = Technique::ForgedSynAck(SynOwner::Kernel);
    let exploration = Exploration { deliveries: 7, faults: 0, ..Exploration::new(technique) };
    let schedules = schedules(&exploration, &network);
    assert!(schedules.values().any(|outcome| *outcome == Outcome::Connected));
    assert!(schedules.values().any(|outcome| *outcome != Outcome::Connected));
    for (script, outcome) in schedules {
        let run = exploration.replay(&network, SEED, &script.to_string().parse().unwrap());
        assert_eq!(run.record.outcome, outcome, "{script}");
        let told = run.trace.iter().filter(|line| line.contains(" order ")).count();
        assert_eq!(told, script.0.len(), "each choice is a line of the trace");
    }
}

#[test]
fn whoever_breaks_off_gets_what_was_made_until_then() {
    let network = network([BOXES[0]; 2], IpVersion::V4);
    let exploration = Exploration::new(Technique::SimultaneousOpen);
    let mut seen = 0;
    let explored = exploration.explore(&network, SEED, &mut |_, _| {
        seen += 1;
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((explored.explored + explored.pruned, explored.complete), (5, false));
}

/// The law of arrival gives a peer time to send its SYN before the answer to it arrives. A broker
/// that does not wait is found out by an order, without any fault; one that does is not.
#[test]
fn a_broker_that_forges_too_early_is_found_out() {
    let network = network([BOXES[1]; 2], IpVersion::V4);
    let technique = Technique::ForgedSynAck(SynOwner::Userspace);
    let careful = Exploration { faults: 0, ..Exploration::new(technique) };
    let mut hasty = careful.clone();
    hasty.trial.arrival.turn_round = Duration::ZERO;
    hasty.trial.arrival.jitter = Duration::ZERO;

    let found = schedules(&careful, &network);
    assert!(found.values().all(|outcome| *outcome == Outcome::Connected), "{found:?}");

    let found = schedules(&hasty, &network);
    let broken = found.iter().find(|(_, outcome)| **outcome != Outcome::Connected);
    let (script, outcome) = broken.expect("an order in which a forged packet comes too early");
    assert!(!script.0.iter().copied().any(Choice::is_fault));
    assert_eq!(hasty.replay(&network, SEED, script).record.outcome, *outcome);
    assert!(format!("{outcome:?}").contains("forged too early"), "{outcome:?}");
}
