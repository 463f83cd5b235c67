//! An experiment of a search, and the scenario that it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simopen_fabric::{Forwarding, SourceValidation};
use simopen_nat::{MiddleboxSpec, Role};
use simopen_protocol::technique::Technique;
use simopen_scenario::cell::Way;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::file::{
    Attached, Attempt, BoxPlan, Change, Direction, Event, Expected, HostPlan, LinkPlan, Plan,
    Scenario, Segment,
};
use simopen_scenario::oracle;
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_scenario::star::{IpVersion, NAMES};

/// The number of the network in the middle, and of the broker, which stands in it: `a` and `b`
/// have a network each before it.
const INTERNET: usize = 2;

/// One attempt in a star, and what goes wrong meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The way to open the connection.
    pub technique: Technique,
    /// Whether the broker sends its forged packets.
    pub forging: bool,
    /// The boxes before `a` and `b`.
    pub boxes: [MiddleboxSpec; 2],
    /// Which version of IP.
    pub ip: IpVersion,
    /// The links of `a`, `b` and `c`, or of their boxes, to the middle.
    pub links: [LinkPlan; 3],
    /// How much later than agreed `a` and `b` send their first SYN.
    pub skew: [Duration; 2],
    /// Whether the middle checks sources strictly.
    pub source_validation: bool,
    /// What goes wrong, in the order of time.
    pub faults: Vec<Fault>,
    /// What the chance of the scenario follows from.
    pub seed: u64,
}

/// Something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// How long after the request.
    pub at: Duration,
    /// What.
    pub what: Trouble,
}

/// What goes wrong. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The box of that side loses its tables.
    Reboot(usize),
    /// The link of that host, or of its box, takes nothing.
    Outage {
        /// Whose: 0 for `a`, 1 for `b`, 2 for `c`.
        of: usize,
        /// How long.
        lasts: Duration,
    },
}

impl Experiment {
    /// Through the same conditions on every link, without faults: what the oracle speaks of.
    #[must_use]
    pub fn conditions(&self) -> Option<Conditions> {
        let [link, b, c] = self.links;
        let is_regular = [b, c] == [link; 2] && link.rate.is_none() && self.faults.is_empty();
        is_regular.then_some(Conditions {
            leg: link.delay * 2,
            jitter: link.jitter,
            loss: link.loss,
            rate: None,
            skew_a: self.skew[0],
            skew_b: self.skew[1],
            source_validation: self.source_validation,
        })
    }

    /// Whether nothing but the seed of hosts and boxes is left to chance.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let is_steady = |link: &LinkPlan| link.jitter.is_zero() && link.loss <= 0.0;
        self.links.iter().all(is_steady)
    }

    /// What the oracle says of it.
    #[must_use]
    pub fn prediction(&self) -> Option<Prediction> {
        let conditions = self.conditions()?;
        let [a, b] = &self.boxes;
        oracle::predict([a, b], &Way::Own(self.technique), self.forging, &conditions)
    }

    /// Whether every run must connect, or none; `None` where that is not said.
    #[must_use]
    pub fn must(&self) -> Option<(bool, String)> {
        let prediction = self.is_steady().then(|| self.prediction()).flatten()?;
        match prediction.expect {
            Expect::MustSucceed => Some((true, prediction.why)),
            Expect::MustFail => Some((false, prediction.why)),
            Expect::Probability { .. } => None,
        }
    }

    /// The scenario whose file says all of it. `expect` is what the file says must come of it.
    #[must_use]
    pub fn scenario(&self, name: &str, expect: Option<Expected>) -> Scenario {
        let places = Places::of(self);
        // A host is at no distance from its box: the link beyond has the delay.
        let near = LinkPlan { delay: Duration::ZERO, ..LinkPlan::default() };
        let hosts = NAMES.into_iter().enumerate().map(|(place, name)| HostPlan {
            name: name.to_owned(),
            network: place,
            addresses: vec![(places.hosts[place], places.length)],
            link: if place == INTERNET { self.links[place] } else { near },
            proxy: None,
            exec: None,
        });
        let boxes = [0, 1].into_iter().map(|side| BoxPlan {
            name: format!("box-{}", NAMES[side]),
            spec: self.boxes[side],
            inside: side,
            outside: INTERNET,
            address: places.boxes[side],
            link: self.links[side],
        });
        Scenario {
            name: name.to_owned(),
            description: None,
            seed: Some(self.seed),
            plan: Plan {
                networks: places.networks(self),
                hosts: hosts.collect(),
                boxes: boxes.collect(),
                routers: Vec::new(),
            },
            attempts: vec![Attempt {
                name: "found".to_owned(),
                from: 0,
                to: 1,
                broker: 2,
                ways: vec![Way::Own(self.technique)],
                runs: 1,
                forging: self.forging,
                skew: self.skew,
                expect,
                hold: None,
            }],
            tunnels: Vec::new(),
            events: self.events(),
        }
    }

    fn events(&self) -> Vec<Event> {
        let attached =
            |place| if place == INTERNET { Attached::Host(place) } else { Attached::Box(place) };
        let mut events = Vec::new();
        for Fault { at, what } in &self.faults {
            let mut add = |at, what| events.push(Event { at, what, during: None });
            match *what {
                Trouble::Reboot(side) => add(*at, Change::Reboot(side)),
                Trouble::Outage { of, lasts } => {
                    add(*at, Change::Link(attached(of), Direction::Down));
                    add(*at + lasts, Change::Link(attached(of), Direction::Up));
                }
            }
        }
        events.sort_by_key(|event| event.at);
        events
    }
}

/// The addresses of a star.
struct Places {
    hosts: [IpAddr; 3],
    boxes: [IpAddr; 2],
    core: IpAddr,
    length: u8,
}

impl Places {
    fn of(experiment: &Experiment) -> Self {
        // Networks that are set aside for documentation (RFC 5737, RFC 3849). What a firewall
        // protects has public addresses, what a NAT hides private ones.
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        let v6 = |net, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host));
        let behind = |side: usize, protected, private| match experiment.boxes[side].role {
            Role::Nat => private,
            Role::Firewall | Role::Transparent | _ => protected,
        };
        match experiment.ip {
            IpVersion::V4 => Self {
                hosts: [
                    behind(0, v4(198, 51, 100, 130), v4(10, 0, 1, 2)),
                    behind(1, v4(203, 0, 113, 130), v4(10, 0, 2, 2)),
                    v4(192, 0, 2, 2),
                ],
                boxes: [v4(198, 51, 100, 1), v4(203, 0, 113, 1)],
                core: v4(192, 0, 2, 1),
                length: 25,
            },
            IpVersion::V6 => Self {
                hosts: [v6(0x1a, 2), v6(0x1b, 2), v6(0xc, 2)],
                boxes: [v6(0xa, 1), v6(0xb, 1)],
                core: v6(0xc, 1),
                length: 64,
            },
        }
    }

    /// The networks of the sides, and the one in the middle.
    fn networks(&self, experiment: &Experiment) -> Vec<Segment> {
        let segment = |name: &str, prefixes| Segment {
            name: name.to_owned(),
            prefixes,
            forwarding: Forwarding::Switch,
            addresses: Vec::new(),
            source_validation: SourceValidation::Off,
            link: LinkPlan::default(),
        };
        let of = |address: IpAddr| (first(address, self.length), self.length);
        let homes = (0..2)
            .map(|side| segment(&format!("home-{}", NAMES[side]), vec![of(self.hosts[side])]));
        let source_validation = if experiment.source_validation {
            SourceValidation::Strict
        } else {
            SourceValidation::Off
        };
        let middle = Segment {
            forwarding: Forwarding::Router,
            addresses: vec![self.core],
            source_validation,
            ..segment("internet", [self.boxes[0], self.boxes[1], self.core].map(of).to_vec())
        };
        homes.chain([middle]).collect()
    }
}

/// The first address of the prefix that holds an address.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits() & u32::MAX << (32 - u32::from(length));
            IpAddr::V4(bits.into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits() & u128::MAX << (128 - u32::from(length));
            IpAddr::V6(bits.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use simopen_fabric::LinkSpec;
    use simopen_packet::Timestamp;
    use simopen_scenario::file::World;
    use simopen_scenario::network::Executor;
    use simopen_scenario::seed::entropy_of;

    use super::*;
    use crate::search::SearchSpec;

    #[test]
    fn every_experiment_is_a_file_that_is_read_as_the_same_scenario_and_can_be_planned() {
        let spec = SearchSpec::new(7);
        for nth in 0..400 {
            let scenario = spec.draw(nth).scenario("drawn", Some(Expected::Fails));
            let text = scenario.to_toml();
            let read = Scenario::from_toml("drawn", &text)
                .unwrap_or_else(|error| panic!("{nth}: {error}\n{text}"));
            assert_eq!(read, scenario, "{text}");
            let link = LinkSpec::default();
            let (entropy, now) = (entropy_of(1), Timestamp::ZERO);
            let world = World { executor: Executor::Model, link, entropy, now };
            let network = read.network(&world).unwrap();
            assert_eq!(network.hosts.len(), 3);
        }
    }

    #[test]
    fn a_leg_through_boxes_is_what_the_oracle_is_told_and_the_way_through_them() {
        let spec = SearchSpec::new(3);
        for nth in 0..200 {
            let experiment = spec.draw(nth);
            let Some(conditions) = experiment.conditions() else { continue };
            let scenario = experiment.scenario("drawn", None);
            let leg = scenario.leg(&scenario.attempts[0]);
            assert_eq!(leg, conditions.leg + simopen_fabric::HOST_LINK_DELAY, "{experiment:?}");
        }
    }
}
