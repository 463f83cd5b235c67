//! Other conditions than those of the default matrix.

use std::time::Duration;

use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::cell::Cell;
use simopen_scenario::oracle::predict;
use simopen_scenario::prediction::Expect;
use simopen_scenario::run::Outcome;
use simopen_sim::Stack;

use crate::field::{LEG, cell, run, run_with};

/// Whether the oracle says that every run connects; a cell of which it says less is no example.
fn must_succeed(cell: &Cell) -> bool {
    let specs = cell.boxes.each_ref().map(|placed| &placed.spec);
    let prediction = predict(specs, &cell.way, cell.forging, &cell.conditions);
    match prediction.expect("somebody can say").expect {
        Expect::MustSucceed => true,
        Expect::MustFail => false,
        Expect::Probability { .. } => panic!("an example is certain"),
    }
}

#[track_caller]
fn assert_as_predicted(cell: &Cell) -> bool {
    let expected = must_succeed(cell);
    for seed in 0..3 {
        let run = run(cell, seed);
        assert_eq!(run.record.is_success(), expected, "{cell:?}: {:?}", run.record.outcome);
        assert_eq!(run.violations, [], "{cell:?}");
    }
    expected
}

#[test]
fn firewalls_of_ipv6_are_opened_as_those_of_ipv4() {
    for technique in Technique::WITHOUT_RELAY {
        for other in ["ipv6-stateful-rfc6092", "syn-ack-only-firewall", "silent-stateful-firewall"]
        {
            assert_as_predicted(&cell(technique, ["ipv6-stateful-rfc6092", other]));
            assert_as_predicted(&cell(technique, [other, "ipv6-stateful-rfc6092"]));
        }
    }
}

#[test]
fn a_late_dial_fails_before_a_box_that_answers_and_not_before_a_silent_one() {
    for (boxes, skew, expected) in [
        (["silent-stateful-firewall"; 2], 30, true),
        (["linux-masquerade-open-input"; 2], 0, true),
        (["linux-masquerade-open-input"; 2], 5, true),
        (["linux-masquerade-open-input"; 2], 15, false),
    ] {
        let mut late = cell(Technique::SimultaneousOpen, boxes);
        late.conditions.skew_a = Duration::from_millis(skew);
        assert_eq!(assert_as_predicted(&late), expected, "{boxes:?}, {skew} ms");
    }
}

#[test]
fn a_committed_syn_that_leaves_late_is_forged_too_early() {
    let technique = Technique::ForgedSynAck(SynOwner::Userspace);
    let mut late = cell(technique, ["linux-masquerade-open-input"; 2]);
    late.conditions.skew_a = 2 * LEG;
    let run = run(&late, 1);
    let Outcome::Failed { words, .. } = run.record.outcome else { panic!("it cannot connect") };
    assert!(words.contains("forged too early"), "{words}");
}

#[test]
fn a_broker_whose_network_checks_sources_forges_in_vain() {
    for technique in Technique::WITHOUT_RELAY {
        let open = cell(technique, ["syn-ack-only-firewall"; 2]);
        let mut checked = open.clone();
        checked.conditions.source_validation = true;
        let expected = assert_as_predicted(&open) && !technique.needs_forging();
        assert_eq!(assert_as_predicted(&checked), expected, "{technique}");
    }
}

#[test]
fn loss_jitter_and_narrow_links_break_no_rule() {
    let mut connected = 0;
    for technique in Technique::WITHOUT_RELAY {
        let mut lossy = cell(technique, ["linux-masquerade-drop-input", "rfc5382-compliant"]);
        lossy.conditions.loss = 0.05;
        lossy.conditions.jitter = LEG / 2;
        lossy.conditions.rate = Some(1_000_000);
        for seed in 0..40 {
            let run = run(&lossy, seed);
            assert_eq!(run.violations, [], "{technique}, seed {seed}");
            connected += u32::from(run.record.is_success());
        }
    }
    assert!(connected > 100, "{connected} of 240 connected");
}

#[test]
fn who_cannot_reach_the_broker_has_not_begun() {
    let cut_off = cell(Technique::Direct, ["egress-http-proxy-only", "no-box"]);
    let run = run(&cut_off, 1);
    let Outcome::Failed { cause, words } = &run.record.outcome else { panic!("it cannot connect") };
    assert_eq!(cause, "signalling-timeout");
    assert!(words.contains("a did not log in") && !words.contains("b did"), "{words}");
    assert_eq!(run.violations, []);
}

#[test]
fn bare_smoltcp_makes_attempts_too() {
    for (technique, name) in [
        (Technique::Direct, "rfc5382-compliant"),
        (Technique::ForgedSynAck(SynOwner::Kernel), "syn-ack-only-firewall"),
    ] {
        let cell = cell(technique, [name; 2]);
        let run = run_with(&cell, 1, |trial| trial.stack = Stack::Smoltcp);
        assert!(run.record.is_success(), "{technique}: {:?}", run.record.outcome);
    }
}
