//! Meetings at the relay: how long they take, what keeps them apart, and that they are no direct
//! connections.

use std::time::Duration;

use simopen_protocol::technique::{Carriage as By, Technique};
use simopen_scenario::oracle::predict_through;
use simopen_scenario::prediction::Expect;
use simopen_scenario::proxies::Proxies;
use simopen_scenario::run::Outcome;
use simopen_sim::{Carriage, Detail, Run};

use crate::field::{cell, run, run_with};

const RELAY: Technique = Technique::Relay(By::Any);
const CONNECT: Technique = Technique::Relay(By::Connect);
const HTTP: Technique = Technique::Relay(By::Http);

/// Boxes through which nothing of the other techniques gets.
const WALLS: [&str; 2] = ["apd-mapping-random", "syn-ack-only-firewall"];

/// The same star with proxies of that kind, whatever the way is usually tried with.
fn through(proxies: Proxies, technique: Technique, boxes: [&str; 2]) -> Run {
    // The star has hosts for proxies wherever the way wants some.
    let with_hosts = cell(CONNECT, boxes);
    run_with(&with_hosts, 1, |trial| {
        trial.technique = technique;
        trial.proxies = proxies;
    })
}

/// What the oracle says of that.
fn foretold(proxies: Proxies, technique: Technique, boxes: [&str; 2]) -> bool {
    let cell = cell(technique, boxes);
    let specs = cell.boxes.each_ref().map(|placed| &placed.spec);
    let said = predict_through(specs, &cell.way, true, &cell.conditions, proxies);
    match said.expect("somebody can say").expect {
        Expect::MustSucceed => true,
        Expect::MustFail => false,
        Expect::Probability { .. } => panic!("a meeting is no lottery"),
    }
}

#[track_caller]
fn fails_as(run: &Run, cause: &str) {
    let Outcome::Failed { cause: seen, words } = &run.record.outcome else {
        panic!("it met: {:?}", run.record.outcome);
    };
    assert_eq!(seen, cause, "{words}");
    assert_eq!(run.violations, []);
}

#[test]
fn a_meeting_is_no_direct_connection_and_ends_with_the_relay() {
    for technique in Technique::BY_RELAY {
        let run = run_with(&cell(technique, WALLS), 1, |trial| trial.detail = Detail::Timeline);
        let record = &run.record;
        assert_eq!(record.outcome, Outcome::Relayed, "{technique}");
        assert_eq!(record.direct, Some(false), "{technique}");
        assert!(record.is_success() && run.violations.is_empty(), "{technique}");
        // Nothing ever went between the two.
        for delivered in record.delivered {
            assert_eq!((delivered.syns_sent, delivered.syn_acks), (0, 0), "{technique}");
        }
        let told = |words: &str| record.timeline.iter().any(|entry| entry.event.contains(words));
        assert!(told("learns where it meets b") && told("asked to a meeting"), "{technique}");
    }
}

#[test]
fn a_connection_that_outlives_the_relay_is_found_out() {
    let mut record = run(&cell(RELAY, WALLS), 1).record;
    assert!(record.is_success());
    record.direct = Some(true);
    assert!(!record.is_success(), "bytes went past the relay, and it passed for one");
}

#[test]
fn the_first_byte_of_a_is_at_b_after_six_legs() {
    // The request (1), which names the relay to both (2), a SYN (3), its answer (4), value and
    // first byte to the relay (5) and on to b (6); each between a host behind a box and one
    // without.
    for boxes in [WALLS, ["silent-stateful-firewall"; 2]] {
        let record = run(&cell(RELAY, boxes), 7).record;
        let taken = record.phases.established_ms.expect("they met");
        assert!((taken - 6.0 * 10.1).abs() < 1e-3, "{taken} ms");
        // The answer goes the same way back.
        let answered = record.phases.first_byte_ms.expect("it was confirmed");
        assert!((answered - 8.0 * 10.1).abs() < 1e-3, "{answered} ms");
    }
}

#[test]
fn a_proxy_costs_a_leg_and_requests_another_one() {
    for (technique, legs) in [(CONNECT, 7.0), (HTTP, 8.0)] {
        let record = run(&cell(technique, WALLS), 7).record;
        let taken = record.legs.expect("they met");
        // A host behind a box and a proxy outside of it are 0.1 ms farther away each.
        assert!((legs..legs + 0.4).contains(&taken), "{technique}: {taken} legs");
    }
}

#[test]
fn no_port_is_proven_for_a_meeting() {
    let run = run_with(&cell(RELAY, WALLS), 1, |trial| trial.detail = Detail::Trace);
    assert!(!run.trace.iter().any(|line| line.contains("Action=\"Probe\"")));
    assert!(run.trace.iter().any(|line| line.contains("PeerConnSchemeProxy")));
    assert_eq!(run.record.phases.gather_ms, None);
}

#[test]
fn who_gets_out_by_a_proxy_alone_needs_it() {
    let boxes = ["egress-http-proxy-only", "linux-masquerade-drop-input"];
    let straight = run(&cell(RELAY, boxes), 1);
    fails_as(&straight, "signalling-timeout");
    for technique in [CONNECT, HTTP] {
        let run = run(&cell(technique, boxes), 1);
        assert!(run.record.is_success(), "{technique}: {:?}", run.record.outcome);
    }
    // A peer that has a proxy takes it by itself.
    for proxies in [Proxies::WithConnect, Proxies::WithoutConnect] {
        let run = through(proxies, RELAY, boxes);
        assert!(run.record.is_success(), "{proxies:?}: {:?}", run.record.outcome);
    }
}

#[test]
fn a_proxy_that_refuses_connect_stops_tunnels_and_no_requests() {
    // The control link goes by requests then, so that the refusal can be told.
    let refused = through(Proxies::WithoutConnect, CONNECT, WALLS);
    fails_as(&refused, "proxy-refused");
    assert!(through(Proxies::WithoutConnect, HTTP, WALLS).record.is_success());
}

#[test]
fn the_oracle_says_of_every_kind_of_proxy_what_comes() {
    let kinds = [Proxies::None, Proxies::WithConnect, Proxies::WithoutConnect];
    for boxes in [WALLS, ["egress-http-proxy-only"; 2], ["no-box", "egress-http-proxy-only"]] {
        for technique in Technique::BY_RELAY {
            for proxies in kinds {
                // Without a proxy there is nothing to try for what needs one.
                if proxies == Proxies::None && technique != RELAY {
                    assert!(!foretold(proxies, technique, boxes), "{technique}");
                    continue;
                }
                let run = through(proxies, technique, boxes);
                let expected = foretold(proxies, technique, boxes);
                let came = run.record.is_success();
                assert_eq!(came, expected, "{technique} {proxies:?} {boxes:?}: {run:?}");
            }
        }
    }
}

#[test]
fn a_relay_that_a_box_keeps_out_of_reach_is_named_as_the_cause() {
    use simopen_nat::Egress;
    let mut fenced = cell(RELAY, WALLS);
    // The broker's port, and not the relay's.
    fenced.boxes[1].spec = fenced.boxes[1].spec.with_egress(Egress::DenyExcept([7000, 80, 0, 0]));
    let run = run(&fenced, 1);
    fails_as(&run, "relay-unreachable");
    let Outcome::Failed { words, .. } = &run.record.outcome else { unreachable!() };
    assert!(words.contains("seen by b"), "{words}");
}

#[test]
fn a_side_that_comes_late_is_waited_for() {
    let mut late = cell(RELAY, WALLS);
    late.conditions.skew_b = Duration::from_secs(4);
    let run = run(&late, 1);
    assert!(run.record.is_success(), "{:?}", run.record.outcome);
}

#[test]
fn a_side_that_never_comes_is_not_waited_for_without_end() {
    let mut late = cell(RELAY, WALLS);
    late.conditions.skew_b = Duration::from_secs(25);
    fails_as(&run(&late, 1), "not-paired");
}

#[test]
fn two_meetings_of_a_seed_are_the_same_to_the_byte_and_another_seed_is_another_one() {
    for technique in Technique::BY_RELAY {
        for carriage in [Carriage::Bytes, Carriage::Streams] {
            let traced = |seed| {
                let mut cell = cell(technique, ["linux-masquerade-drop-input", WALLS[1]]);
                cell.conditions.jitter = cell.conditions.leg / 10;
                cell.conditions.loss = 0.02;
                run_with(&cell, seed, |trial| {
                    trial.detail = Detail::Trace;
                    trial.carriage = carriage;
                })
            };
            let [one, again, other] = [1, 1, 2].map(traced);
            assert_eq!(one, again, "{technique}, {carriage:?}");
            assert_ne!(one.trace, other.trace, "{technique}, {carriage:?}");
        }
    }
}

#[test]
fn loss_and_jitter_break_no_rule_of_a_meeting() {
    let mut met = 0;
    for technique in Technique::BY_RELAY {
        let mut lossy = cell(technique, ["linux-masquerade-drop-input", "rfc5382-compliant"]);
        lossy.conditions.loss = 0.05;
        lossy.conditions.jitter = lossy.conditions.leg / 2;
        lossy.conditions.rate = Some(1_000_000);
        for seed in 0..20 {
            let run = run(&lossy, seed);
            assert_eq!(run.violations, [], "{technique}, seed {seed}");
            met += u32::from(run.record.is_success());
        }
    }
    assert!(met > 40, "{met} of 60 met");
}
