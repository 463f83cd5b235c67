//! Scenarios written down are read as the same scenarios.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use simopen_fabric::{Forwarding, SourceValidation};
use simopen_nat::{Egress, IdleKill, IdleKiller, Limits, PRESETS, WhenFull};
use simopen_protocol::technique::Technique;
use simopen_scenario::axes::{turned, with_axis_of};
use simopen_scenario::cell::Way;
use simopen_scenario::file::{
    Attached, Attempt, BoxPlan, Change, Direction, Event, Expected, Hold, HostPlan, LinkPlan, Plan,
    Scenario, Segment, Survival,
};

const EXAMPLES: [&str; 6] = [
    "double-nat",
    "http-proxy",
    "ipv6-firewalls",
    "puncher",
    "reboot-and-readdress",
    "same-nat-hairpin",
];

#[test]
fn every_example_is_read_as_the_same_once_it_was_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    for name in EXAMPLES {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("is there");
        let scenario = Scenario::from_toml(name, &text).unwrap_or_else(|error| panic!("{error}"));

        let written = scenario.to_toml();

        let read = Scenario::from_toml("written", &written)
            .unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(read, scenario, "{written}");
    }
}

#[test]
fn a_preset_is_written_by_its_name_and_nothing_else() {
    let scenario = plain();
    let text = scenario.to_toml();
    assert!(text.ends_with("address = \"192.0.2.9\"\npreset = \"rst-answering\"\n"), "{text}");
}

/// Two networks with a box between.
fn plain() -> Scenario {
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let segment = |name: &str, first| Segment {
        name: name.to_owned(),
        prefixes: vec![(first, 24)],
        forwarding: Forwarding::Switch,
        addresses: Vec::new(),
        source_validation: SourceValidation::Off,
        link: LinkPlan::default(),
    };
    let host = |name: &str, network, address| HostPlan {
        name: name.to_owned(),
        network,
        addresses: vec![(address, 24)],
        link: LinkPlan::default(),
        proxy: None,
        exec: None,
    };
    let preset = simopen_nat::Preset::named("rst-answering").expect("is a preset");
    Scenario {
        name: "plain".to_owned(),
        description: None,
        seed: None,
        plan: Plan {
            networks: vec![segment("home", v4(10, 0, 0, 0)), segment("world", v4(192, 0, 2, 0))],
            hosts: vec![
                host("a", 0, v4(10, 0, 0, 2)),
                host("b", 1, v4(192, 0, 2, 2)),
                host("c", 1, v4(192, 0, 2, 3)),
            ],
            boxes: vec![BoxPlan {
                name: "box-a".to_owned(),
                spec: preset.spec,
                inside: 0,
                outside: 1,
                address: v4(192, 0, 2, 9),
                link: LinkPlan::default(),
            }],
            routers: Vec::new(),
        },
        attempts: Vec::new(),
        tunnels: Vec::new(),
        events: Vec::new(),
    }
}

fn times() -> impl Strategy<Value = Duration> {
    (0_u64..1_000_000_000, 0_usize..4).prop_map(|(number, unit)| {
        Duration::from_nanos(number * [1, 1_000, 1_000_000, 1_000_000_000][unit] % 2_000_000_001)
    })
}

fn links() -> impl Strategy<Value = LinkPlan> {
    (times(), times(), 0.0..=1.0, proptest::option::of(1_000_u64..100_000_000_000))
        .prop_map(|(delay, jitter, loss, rate)| LinkPlan { delay, jitter, loss, rate })
}

/// A preset with some axes as another one has them, and the few that no preset turns.
fn boxes() -> impl Strategy<Value = simopen_nat::MiddleboxSpec> {
    let presets = (0..PRESETS.len(), 0..PRESETS.len());
    let odd = (any::<u32>(), any::<u8>(), times(), proptest::option::of(any::<u32>()));
    (presets, odd).prop_map(|((own, other), (which, turns, after, most))| {
        let (own, other) = (PRESETS[own].spec, PRESETS[other].spec);
        let axes = turned(&own, &other).into_iter().enumerate();
        let mut spec = axes
            .filter(|(place, _)| which >> (place % 32) & 1 == 1)
            .fold(own, |spec, (_, axis)| with_axis_of(spec, &other, &axis));
        if turns & 1 == 1 {
            spec = spec.with_idle_killer(Some(IdleKiller { after, how: IdleKill::Silence }));
        }
        if turns & 2 == 2 {
            let when_full =
                if turns & 4 == 4 { WhenFull::OldestEvicted } else { WhenFull::Refused };
            spec = spec.with_limits(Limits { per_host: most, total: Some(7), when_full });
        }
        if turns & 8 == 8 {
            spec = spec.with_egress(Egress::DenyExcept([80, 443, 0, turns.into()]));
        }
        spec.rewriting.mss = (turns & 16 == 16).then_some(1000);
        spec.timers.close = after;
        spec
    })
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let flags = (any::<bool>(), any::<bool>(), 0_u8..3, 0_u8..4, 1_u32..=100);
    ("[a-z \"\\\\äß\n]{1,12}", times(), times(), flags, 0..=Technique::WITHOUT_RELAY.len())
        .prop_map(|(name, one, other, (forging, turned, expect, hold, runs), technique)| Attempt {
            name,
            from: usize::from(turned),
            to: usize::from(!turned),
            broker: 2,
            ways: vec![Way::Own(Technique::ALL[technique])],
            runs,
            forging,
            skew: [one, other],
            expect: [None, Some(Expected::Connects), Some(Expected::Fails)][usize::from(expect)],
            hold: [
                None,
                Some(Hold { until: one, expect: None }),
                Some(Hold { until: other, expect: Some(Survival::Survives) }),
                Some(Hold { until: other, expect: Some(Survival::Breaks) }),
            ][usize::from(hold)],
        })
}

fn events() -> impl Strategy<Value = Event> {
    (times(), 0_u8..5, any::<u8>()).prop_map(|(at, kind, last)| {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + last % 100));
        let what = match kind {
            0 => Change::Reboot(0),
            1 => Change::BoxAddress(0, address),
            2 => Change::HostAddress(1, address),
            3 => Change::Link(Attached::Host(2), Direction::Down),
            _ => Change::Link(Attached::Box(0), Direction::Up),
        };
        Event { at, what, during: None }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_scenario_is_read_as_the_same_once_it_was_written(
        spec in boxes(),
        link in proptest::array::uniform4(links()),
        attempt in attempts(),
        mut events in proptest::collection::vec(events(), 0..4),
        seed in proptest::option::of(0..i64::MAX.unsigned_abs()),
    ) {
        events.sort_by_key(|event| event.at);
        let mut scenario = Scenario { seed, events, attempts: vec![attempt], ..plain() };
        let plan = &mut scenario.plan;
        // What is attached to a network whose links have a rate has one too.
        let [of_all, of_host, of_box, of_other] = link;
        let inherited = |own: LinkPlan| LinkPlan { rate: own.rate.or(of_all.rate), ..own };
        plan.networks[1].link = of_all;
        plan.hosts[0].link = of_other;
        plan.hosts[1].link = inherited(of_host);
        plan.hosts[2].link = of_all;
        plan.boxes[0].link = inherited(of_box);
        plan.boxes[0].spec = spec;

        let text = scenario.to_toml();

        let read = Scenario::from_toml("written", &text);
        prop_assert_eq!(read.as_ref().ok(), Some(&scenario), "{:?}\n{}", read.as_ref().err(), text);
    }
}
