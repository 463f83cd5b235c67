//! Every axis of every preset is turned to each of its other values, one at a time.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use simopen_nat::{MiddleboxSpec, PRESETS, Preset};
use simopen_packet::Entropy;
use simopen_scenario::classify::axis::Axis;
use simopen_scenario::classify::middlebox_bench::MiddleboxBench;
use simopen_scenario::classify::unseen::UNSEEN;
use simopen_scenario::classify::{classify, compare};
use simopen_scenario::result::Difference;
use simopen_scenario::star::IpVersion;

/// A bench for a box, in the version of IP that it is made for.
pub(crate) fn bench(spec: MiddleboxSpec) -> MiddleboxBench {
    MiddleboxBench::new(spec, version_for(&spec), Entropy::new([11; 32]))
}

/// IPv6 for a firewall like that of RFC 6092, IPv4 for all others.
pub(crate) fn version_for(spec: &MiddleboxSpec) -> IpVersion {
    let modern = MiddleboxSpec::ipv6_stateful_rfc6092();
    if spec.role == modern.role && spec.filtering == modern.filtering {
        IpVersion::V6
    } else {
        IpVersion::V4
    }
}

/// The values that an axis can have, as far as they differ in kind.
#[expect(clippy::wildcard_enum_match_arm, reason = "every axis that is not named here is a time")]
fn values(axis: Axis, spec: &MiddleboxSpec) -> Vec<Value> {
    let words = |words: &[&str]| words.iter().map(|word| json!(word)).collect();
    let dependence = ["endpoint-independent", "address-dependent", "address-and-port-dependent"];
    match axis {
        Axis::Role => words(&["transparent", "firewall", "nat"]),
        Axis::Mapping | Axis::Filtering | Axis::UdpMapping | Axis::UdpFiltering => {
            words(&dependence)
        }
        Axis::PortAllocation => vec![
            json!("preserve"),
            json!("preserve-else-next"),
            json!({"sequential": {"step": 1}}),
            json!({"sequential": {"step": 7}}),
            json!("random"),
            json!({"random-in-block": {"size": 512}}),
            json!({"block": {"size": 512}}),
            json!({"block": {"size": 1024}}),
        ],
        Axis::PortOverloading => words(&["off", "by-remote"]),
        Axis::Hairpin => words(&["off", "internal-source", "external-source"]),
        Axis::Refresh => words(&["outbound", "inbound", "both"]),
        Axis::Unsolicited => words(&[
            "dropped",
            "reset",
            "port-unreachable",
            "admin-prohibited",
            "held-then-port-unreachable",
        ]),
        Axis::EarlyPacket => words(&["harmless", "takes-port"]),
        Axis::InboundBareSyn => words(&["admitted", "dropped"]),
        Axis::Tracking => words(&["strict", "liberal", "none"]),
        Axis::MidStream => words(&["picked-up", "refused"]),
        Axis::InvalidOutbound => words(&["leaves-untranslated", "dropped", "answered-by-router"]),
        Axis::OnReset => words(&["deletes-unanswered", "deletes", "starts-close-timer", "ignored"]),
        Axis::OnIcmpError => words(&["session-kept", "session-deleted"]),
        Axis::IcmpErrors => words(&["passed", "time-exceeded-filtered", "all-filtered"]),
        Axis::IcmpEcho => words(&["translated", "blocked"]),
        Axis::Egress => vec![
            json!("everything"),
            json!({"deny-except": [80, 443, 3128, 8080]}),
            json!({"deny-except": [443, 0, 0, 0]}),
        ],
        Axis::IdleKiller => {
            let killer = |how: &str| json!({"after": seconds(40), "how": how});
            vec![Value::Null, killer("reset"), killer("silence")]
        }
        Axis::PoolAddresses => vec![json!(1), json!(2), json!(8)],
        Axis::PoolPairing => words(&["paired", "arbitrary"]),
        Axis::Isn => words(&["kept", "modulated-sack-repaired", "modulated-sack-broken"]),
        Axis::Timestamps => words(&["kept", "rewritten", "stripped"]),
        Axis::Options => words(&["kept", "unknown-stripped", "all-but-mss-stripped"]),
        Axis::Mss => vec![Value::Null, json!(1380), json!(1200)],
        Axis::SynProxy => words(&["off", "on"]),
        Axis::Udp => words(&["translated", "blocked"]),
        Axis::UdpPortParity => words(&["kept", "ignored"]),
        Axis::LimitPerHost | Axis::LimitTotal => vec![Value::Null, json!(100), json!(20)],
        Axis::WhenFull => words(&["refused", "oldest-evicted"]),
        _ => {
            let time: Duration = serde_json::from_value(axis.of(spec)).expect("a time");
            vec![json!(time / 2), json!(time * 3)]
        }
    }
}

fn seconds(seconds: u64) -> Value {
    json!(Duration::from_secs(seconds))
}

/// One preset with one axis turned.
struct Mutant {
    preset: &'static Preset,
    axis: Axis,
    value: Value,
    spec: MiddleboxSpec,
}

fn mutants() -> impl Iterator<Item = Mutant> {
    PRESETS.iter().flat_map(|preset| {
        Axis::ALL.iter().flat_map(move |axis| {
            let others = values(*axis, &preset.spec).into_iter();
            others.filter(|value| *value != axis.of(&preset.spec)).map(move |value| Mutant {
                preset,
                axis: *axis,
                spec: axis.turned(&preset.spec, value.clone()).expect("a value of the axis"),
                value,
            })
        })
    })
}

/// What the probe says of a mutant.
struct Verdict {
    /// Whether it looks like the preset.
    is_hidden: bool,
    /// Where it looks like neither itself nor anything that hides it.
    wrong: Vec<Difference>,
}

fn judge(mutant: &Mutant) -> Verdict {
    let found = classify(&mut bench(mutant.spec));
    let is_hidden = compare(&found, &mutant.preset.spec).is_empty();
    Verdict { is_hidden, wrong: compare(&found, &mutant.spec) }
}

#[test]
fn a_turned_axis_is_seen_or_stands_in_the_list_of_the_unseen_and_nothing_else_does() {
    let mut complaints = Vec::new();
    let mut used = [false; UNSEEN.len()];
    for mutant in mutants() {
        let Mutant { preset, axis, value, .. } = &mutant;
        let verdict = judge(&mutant);
        let entry = UNSEEN.iter().position(|turn| turn.covers(preset, *axis, value));
        match (verdict.is_hidden, entry) {
            (true, None) => {
                complaints.push(format!("HIDDEN {} {axis} {value}: not listed", preset.name));
            }
            (false, Some(_)) => {
                complaints.push(format!("SEEN {} {axis} {value}: listed", preset.name));
            }
            (true, Some(entry)) => used[entry] = true,
            (false, None) => {}
        }
        for difference in verdict.wrong {
            complaints.push(format!("WRONG {} {axis} {value}: {difference:?}", preset.name));
        }
    }
    for (turn, used) in UNSEEN.iter().zip(used) {
        if !used {
            complaints.push(format!("IDLE {turn:?}"));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

proptest! {
    // The same boxes each time; PROPTEST_CASES sets how many.
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_box_with_several_turned_axes_is_classified_as_what_it_is(
        preset in 0..PRESETS.len(),
        turns in proptest::collection::vec((0..Axis::ALL.len(), any::<prop::sample::Index>()), 1..5),
    ) {
        let mut spec = PRESETS[preset].spec;
        for (axis, value) in turns {
            let axis = Axis::ALL[axis];
            let values = values(axis, &spec);
            spec = axis.turned(&spec, value.get(&values).clone()).expect("a value of the axis");
        }
        let differences = compare(&classify(&mut bench(spec)), &spec);
        prop_assert!(differences.is_empty(), "{spec:#?}: {differences:#?}");
    }
}
