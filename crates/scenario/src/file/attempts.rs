//! What a file asks for: attempts, tunnels, and what happens in the middle of them.

use std::net::IpAddr;
use std::time::Duration;

use simopen_protocol::technique::Technique;

use super::fault::Fault;
use super::plan::{Plan, find};
use super::reader::{Table, Value};
use super::wiring::Later;
use crate::cell::Way;
use crate::proxies::Proxies;

/// How many attempts, tunnels and events there may be, of each.
pub const MOST_EXPERIMENTS: usize = 64;

/// How many ways one attempt may name.
const MOST_WAYS: usize = 16;

/// How many runs a file may ask for.
pub const MOST_RUNS: u32 = 100;

/// The longest time that a connection is held.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// One host tries to connect to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its name.
    pub name: String,
    /// The number of the host that originates.
    pub from: usize,
    /// The number of the host that responds.
    pub to: usize,
    /// The number of the host that runs the broker.
    pub broker: usize,
    /// The ways that are tried, one after the other.
    pub ways: Vec<Way>,
    /// How often each.
    pub runs: u32,
    /// Whether the broker sends its forged packets.
    pub forging: bool,
    /// How much later than agreed `from` and `to` send their first SYN.
    pub skew: [Duration; 2],
    /// What must come of it; `None` where that is the question.
    pub expect: Option<Expected>,
    /// How long the connection is kept before bytes must go each way once more.
    pub hold: Option<Hold>,
}

/// What must come of an attempt or a tunnel. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Bytes go both ways.
    Connects,
    /// They do not.
    Fails,
}

/// A connection is kept while the network changes, and used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Since the request.
    pub until: Duration,
    /// What must come of the bytes then.
    pub expect: Option<Survival>,
}

/// What becomes of a connection that is kept. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Bytes still go both ways.
    Survives,
    /// They do not.
    Breaks,
}

/// A host reaches another through an HTTP proxy, by CONNECT (RFC 9110 §9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its name.
    pub name: String,
    /// The number of the host that asks.
    pub from: usize,
    /// The number of the host whose proxy it asks.
    pub through: usize,
    /// The number of the host that it wants to reach.
    pub to: usize,
    /// The port there.
    pub port: u16,
    /// What must come of it.
    pub expect: Option<Expected>,
}

/// Something happens in the middle of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How long after the request.
    pub at: Duration,
    /// What.
    pub what: Change,
    /// In the runs of which attempt; `None` for all.
    pub during: Option<String>,
}

/// What happens. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The box of that number loses its tables.
    Reboot(usize),
    /// The box of that number gets another address outside, and loses its tables.
    BoxAddress(usize, IpAddr),
    /// The host of that number gets another address in the place of the one of its family.
    HostAddress(usize, IpAddr),
    /// The link of that host, or the outer one of that box, goes down or comes up.
    Link(Attached, Direction),
}

/// Whose link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// Of the host of that number.
    Host(usize),
    /// The outer one of the box of that number.
    Box(usize),
}

/// Which way a link goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It takes nothing any more.
    Down,
    /// It takes packets again.
    Up,
}

impl Attempt {
    pub(super) fn read(mut table: Table<'_>, number: usize, plan: &Plan) -> Result<Self, Fault> {
        let span = table.span().clone();
        let from = plan.host_named(table.need("from", "the host that originates")?)?;
        let respond = table.need("to", "the host that responds")?;
        let to = plan.host_named(respond)?;
        let broker = match table.take("broker") {
            Some(value) => plan.host_named(value)?,
            None => plan.hosts.iter().position(|host| host.name == "c").ok_or_else(|| {
                Fault::at(&span, "an attempt without `broker`", "the host that runs the broker")
            })?,
        };
        if from == to || from == broker || to == broker {
            return Err(respond.fault("three hosts for `from`, `to` and `broker`"));
        }
        plan.family_of(&[from, to, broker]).ok_or_else(|| {
            respond.fault("a host with an address of the same version of IP as the other two")
        })?;
        let name = table.take("name").map(|name| name.text("a name")).transpose()?;
        let attempt = Self {
            name: name.map_or_else(|| format!("attempt-{number}"), str::to_owned),
            from,
            to,
            broker,
            ways: read_ways(table.need("ways", "the techniques to try")?, plan, [from, to])?,
            runs: runs(&mut table)?,
            forging: table.take("forging").map_or(Ok(true), Value::flag)?,
            skew: [
                table.take("skew-from").map_or(Ok(Duration::ZERO), Value::time)?,
                table.take("skew-to").map_or(Ok(Duration::ZERO), Value::time)?,
            ],
            expect: expected(&mut table)?,
            hold: table.take("hold").map(Hold::read).transpose()?,
        };
        table.finish()?;
        Ok(attempt)
    }
}

fn runs(table: &mut Table<'_>) -> Result<u32, Fault> {
    let runs = table.take("runs").map_or(Ok(1), |value| value.integer(1..=MOST_RUNS.into()))?;
    Ok(runs.try_into().unwrap_or(MOST_RUNS))
}

fn expected(table: &mut Table<'_>) -> Result<Option<Expected>, Fault> {
    let words = [("connects", Expected::Connects), ("fails", Expected::Fails)];
    table.take("expect").map(|value| value.word("outcome", &words)).transpose()
}

fn read_ways(value: Value<'_>, plan: &Plan, ends: [usize; 2]) -> Result<Vec<Way>, Fault> {
    let mut ways = Vec::new();
    for item in value.list("ways", MOST_WAYS)? {
        let text = item.text("a technique, or \"program:NAME\"")?;
        let way: Way = text.parse().map_err(|_| {
            let known: Vec<&str> =
                Technique::ALL.iter().map(|technique| technique.name()).collect();
            Fault::unknown(&item.span(), "technique", text, known)
        })?;
        if Proxies::for_way(&way) != Proxies::None {
            return Err(
                item.fault("a way without proxies, which stand in the networks of matrices")
            );
        }
        if let Way::Program(name) = &way {
            for end in ends {
                let host = &plan.hosts[end];
                if host.exec.as_ref().is_none_or(|exec| exec.name != *name) {
                    let expected = format!("a program that host `{}` has as its `exec`", host.name);
                    return Err(item.fault(expected));
                }
            }
        }
        if ways.contains(&way) {
            return Err(item.fault("each way once"));
        }
        ways.push(way);
    }
    if ways.is_empty() { Err(value.fault("one way at least")) } else { Ok(ways) }
}

impl Hold {
    fn read(value: Value<'_>) -> Result<Self, Fault> {
        let mut table = value.table("a hold")?;
        let until = table.need("until", "how long after the request it ends")?;
        let words = [("survives", Survival::Survives), ("breaks", Survival::Breaks)];
        let expect = table.take("expect");
        let hold = Self {
            until: until.time()?,
            expect: expect.map(|value| value.word("outcome", &words)).transpose()?,
        };
        if hold.until > LONGEST_HOLD {
            return Err(until.fault("a minute at most"));
        }
        table.finish()?;
        Ok(hold)
    }
}

impl Tunnel {
    pub(super) fn read(mut table: Table<'_>, number: usize, plan: &Plan) -> Result<Self, Fault> {
        let from = plan.host_named(table.need("from", "the host that asks the proxy")?)?;
        let proxy = table.need("through", "the host that runs the proxy")?;
        let through = plan.host_named(proxy)?;
        if plan.hosts[through].proxy.is_none() {
            return Err(proxy.fault("a host with `proxy = \"squid\"` or `proxy = \"tinyproxy\"`"));
        }
        let reached = table.need("to", "the host that is to be reached")?;
        let to = plan.host_named(reached)?;
        if from == to || from == through || to == through {
            return Err(reached.fault("three hosts for `from`, `through` and `to`"));
        }
        plan.family_of(&[from, through, to]).ok_or_else(|| {
            reached.fault("a host with an address of the same version of IP as the other two")
        })?;
        let name = table.take("name").map(|name| name.text("a name")).transpose()?;
        let port = table.take("port").map_or(Ok(443), |port| port.integer(1..=65_535))?;
        let tunnel = Self {
            name: name.map_or_else(|| format!("tunnel-{number}"), str::to_owned),
            from,
            through,
            to,
            port: port.try_into().unwrap_or(443),
            expect: expected(&mut table)?,
        };
        table.finish()?;
        Ok(tunnel)
    }
}

impl Event {
    pub(super) fn read(
        mut table: Table<'_>,
        plan: &Plan,
        attempts: &[Attempt],
    ) -> Result<Self, Fault> {
        let at = table.need("at", "how long after the request it happens")?.time()?;
        let names: Vec<&str> = attempts.iter().map(|attempt| attempt.name.as_str()).collect();
        let during =
            table.take("during").map(|value| find(value, "attempt", &names)).transpose()?;
        let during = during.map(|number| attempts[number].name.clone());
        let mut changes = Vec::new();
        if let Some(value) = table.take("reboot") {
            changes.push(Change::Reboot(plan.box_named(value)?));
        }
        if let Some(value) = table.take("readdress") {
            let address = table.need("address", "its new address")?;
            changes.push(plan.readdressed(value, address)?);
        }
        for (key, direction) in [("link-down", Direction::Down), ("link-up", Direction::Up)] {
            if let Some(value) = table.take(key) {
                changes.push(Change::Link(plan.attached(value)?, direction));
            }
        }
        let (span, count) = (table.span().clone(), changes.len());
        table.finish()?;
        match <[Change; 1]>::try_from(changes) {
            Ok([what]) => Ok(Self { at, what, during }),
            Err(_) => {
                let expected = "one of `reboot`, `readdress`, `link-down`, `link-up`";
                Err(Fault::at(
                    &span,
                    format_args!("an event that changes {count} things"),
                    expected,
                ))
            }
        }
    }

    pub(super) fn later(&self) -> Option<Later> {
        match self.what {
            Change::BoxAddress(number, address) => Some(Later::OfBox(number, address)),
            Change::HostAddress(number, address) => Some(Later::OfHost(number, address)),
            Change::Reboot(_) | Change::Link(..) => None,
        }
    }
}

impl Plan {
    /// The version of IP that all these hosts speak; IPv4 where they speak both.
    pub(super) fn family_of(&self, hosts: &[usize]) -> Option<bool> {
        [true, false]
            .into_iter()
            .find(|is_ipv4| hosts.iter().all(|host| self.hosts[*host].address(*is_ipv4).is_some()))
    }

    fn attached(&self, value: Value<'_>) -> Result<Attached, Fault> {
        let hosts = self.hosts.iter().map(|host| host.name.as_str());
        let boxes = self.boxes.iter().map(|placed| placed.name.as_str());
        let number = find(value, "host or box", &hosts.chain(boxes).collect::<Vec<_>>())?;
        Ok(match number.checked_sub(self.hosts.len()) {
            Some(number) => Attached::Box(number),
            None => Attached::Host(number),
        })
    }

    fn readdressed(&self, value: Value<'_>, address: Value<'_>) -> Result<Change, Fault> {
        let new = address.address()?;
        match self.attached(value)? {
            Attached::Host(number) => {
                let host = &self.hosts[number];
                if host.address(new.is_ipv4()).is_none() {
                    return Err(address.fault("an address of a family that the host has"));
                }
                self.place(host.network, new, address)?;
                Ok(Change::HostAddress(number, new))
            }
            Attached::Box(number) => {
                let placed = &self.boxes[number];
                if placed.address.is_ipv4() != new.is_ipv4() {
                    return Err(address.fault("an address of the family that the box has"));
                }
                self.place(placed.outside, new, address)?;
                Ok(Change::BoxAddress(number, new))
            }
        }
    }
}
