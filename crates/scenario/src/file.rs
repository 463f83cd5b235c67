//! Scenarios from TOML: any network, what is attempted in it, and what happens meanwhile.
//!
//! `docs/scenario-files.md` describes the format. Every complaint names line and column, what was
//! found, what was expected, and the nearest known name. Everything is bounded, and no text is
//! worth a panic.
//!
//! ```
//! let text = r#"
//! [networks.internet]
//! prefix = "192.0.2.0/24"
//! [hosts.a]
//! network = "interned"
//! address = "192.0.2.1"
//! "#;
//! let error = simopen_scenario::file::Scenario::from_toml("my.toml", text).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "my.toml:5:11: found `interned`, expected a known network: `internet`; \
//!      did you mean `internet`?"
//! );
//! ```

mod attempts;
mod boxes;
mod fault;
mod plan;
mod population;
mod reader;
mod wiring;
mod write;

use std::net::IpAddr;
use std::time::Duration;

use simopen_fabric::GraphError;

pub use self::attempts::{
    Attached, Attempt, Change, Direction, Event, Expected, Hold, MOST_EXPERIMENTS, MOST_RUNS,
    Survival, Tunnel,
};
pub use self::fault::FileError;
pub use self::plan::{
    BoxPlan, Exec, HostPlan, LinkPlan, MOST_OF_EACH, Plan, Proxy, RouterPlan, Segment,
};
pub use self::wiring::World;

use self::fault::Fault;
use self::reader::{Table, with_document};
use crate::boxes::NamedBox;
use crate::cell::{Cell, Way};
use crate::conditions::Conditions;
use crate::network::Network;

/// What a file describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name; the file's, if it gives none.
    pub name: String,
    /// What it shows, for a person.
    pub description: Option<String>,
    /// What all chance follows from, if the file says so.
    pub seed: Option<u64>,
    /// The network.
    pub plan: Plan,
    /// What is attempted, in this order.
    pub attempts: Vec<Attempt>,
    /// What is reached through proxies, after all attempts.
    pub tunnels: Vec<Tunnel>,
    /// What happens in the middle of runs, in the order of time.
    pub events: Vec<Event>,
}

impl Scenario {
    /// Reads a scenario; `name` is the file's, for messages.
    ///
    /// # Errors
    ///
    /// [`FileError`] for the first thing that is wrong.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, FileError> {
        let read = with_document(text, "a scenario", |file| Self::read(name, file));
        read.map_err(|fault| fault.located(name, text))
    }

    fn read(name: &str, mut file: Table<'_>) -> Result<Self, Fault> {
        let title = file.take("name").map(|value| value.text("a name")).transpose()?;
        let description = file.take("description");
        let seed = file.take("seed");
        let mut scenario = Self {
            name: title.unwrap_or(name).to_owned(),
            description: description
                .map(|value| value.text("what it shows").map(str::to_owned))
                .transpose()?,
            seed: seed.map(|value| value.integer(0..=i64::MAX.unsigned_abs())).transpose()?,
            plan: Plan::read(&mut file)?,
            attempts: Vec::new(),
            tunnels: Vec::new(),
            events: Vec::new(),
        };
        for (number, table) in tables(&mut file, "attempts")?.into_iter().enumerate() {
            let span = table.span().clone();
            let attempt = Attempt::read(table, number + 1, &scenario.plan)?;
            if scenario.attempts.iter().any(|other| other.name == attempt.name) {
                let found = format!("a second attempt `{}`", fault::shortened(&attempt.name));
                return Err(Fault::at(&span, found, "a name of its own"));
            }
            scenario.attempts.push(attempt);
        }
        for (number, table) in tables(&mut file, "tunnels")?.into_iter().enumerate() {
            scenario.tunnels.push(Tunnel::read(table, number + 1, &scenario.plan)?);
        }
        for table in tables(&mut file, "events")? {
            let event = Event::read(table, &scenario.plan, &scenario.attempts)?;
            scenario.events.push(event);
        }
        scenario.events.sort_by_key(|event| event.at);
        file.finish()?;
        Ok(scenario)
    }

    /// Plans the network.
    ///
    /// # Errors
    ///
    /// [`GraphError`] where a link of `world` has a rate of zero or an impossible loss.
    pub fn network(&self, world: &World) -> Result<Network, GraphError> {
        let later: Vec<_> = self.events.iter().filter_map(Event::later).collect();
        self.plan.wire(&later, world)
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostPlan> {
        self.plan.hosts.iter().find(|host| host.name == name)
    }

    /// The addresses of `from`, `to` and the broker that an attempt uses.
    #[must_use]
    pub fn addresses(&self, attempt: &Attempt) -> [IpAddr; 3] {
        let hosts = [attempt.from, attempt.to, attempt.broker];
        let is_ipv4 = self.plan.family_of(&hosts).unwrap_or(true);
        hosts.map(|host| {
            let host = &self.plan.hosts[host];
            host.address(is_ipv4).unwrap_or(host.addresses[0].0)
        })
    }

    /// One leg of an attempt: the mean of the ways from its two ends to its broker, as in the star
    /// any two of the three are one leg apart. Zero where there is no way.
    #[must_use]
    pub fn leg(&self, attempt: &Attempt) -> Duration {
        let delay = |end| self.plan.way(end, attempt.broker).map_or(Duration::ZERO, |way| way.1);
        (delay(attempt.from) + delay(attempt.to)) / 2
    }

    /// What stands between each end of an attempt and its broker, as one box in reports: its name
    /// tells all of them from inside, its specification is the innermost one's.
    #[must_use]
    pub fn boxes(&self, attempt: &Attempt) -> [NamedBox; 2] {
        [attempt.from, attempt.to].map(|end| self.boxes_towards(end, attempt.broker))
    }

    /// One way of an attempt as a cell: its runs' seeds follow from this, and from the seed.
    #[must_use]
    pub fn cell(&self, attempt: &Attempt, way: &Way) -> Cell {
        let conditions = Conditions {
            skew_a: attempt.skew[0],
            skew_b: attempt.skew[1],
            ..Conditions::with_leg(self.leg(attempt))
        };
        let boxes = self.boxes(attempt);
        Cell { boxes, way: way.clone(), forging: attempt.forging, conditions }
    }

    /// As [`Self::boxes`], for the host that asks and the one that runs the proxy on their way to the
    /// third.
    #[must_use]
    pub fn boxes_of_tunnel(&self, tunnel: &Tunnel) -> [NamedBox; 2] {
        [(tunnel.from, tunnel.through), (tunnel.through, tunnel.to)]
            .map(|(end, to)| self.boxes_towards(end, to))
    }

    fn boxes_towards(&self, end: usize, to: usize) -> NamedBox {
        let way = self.plan.way(end, to).map_or_else(Vec::new, |way| way.0);
        let names: Vec<&str> =
            way.iter().map(|number| self.plan.boxes[*number].name.as_str()).collect();
        way.first().map_or_else(
            || NamedBox { name: "no-box".to_owned(), spec: simopen_nat::MiddleboxSpec::no_box() },
            |first| NamedBox { name: names.join("+"), spec: self.plan.boxes[*first].spec },
        )
    }

    /// Whether all of these hosts speak IPv4; if not, they all speak IPv6.
    #[must_use]
    pub fn speak_ipv4(&self, hosts: &[usize]) -> bool {
        self.plan.family_of(hosts).unwrap_or(true)
    }

    /// What happens during an attempt, in the order of time.
    pub fn events_of<'s>(&'s self, attempt: &'s Attempt) -> impl Iterator<Item = &'s Event> {
        let meant = |event: &&Event| event.during.as_ref().is_none_or(|name| *name == attempt.name);
        self.events.iter().filter(meant)
    }
}

fn tables<'t>(file: &mut Table<'t>, what: &'static str) -> Result<Vec<Table<'t>>, Fault> {
    let Some(value) = file.take(what) else { return Ok(Vec::new()) };
    let items = value.list(what, MOST_EXPERIMENTS)?;
    items.into_iter().map(|item| item.table(what)).collect()
}

/// Reads a box of a reader's own: `preset`, and axes that are turned; `name`, if it is not to be
/// called as its file.
///
/// # Errors
///
/// [`FileError`] for the first thing that is wrong.
pub fn box_from_toml(file: &str, text: &str) -> Result<NamedBox, FileError> {
    let read = with_document(text, "a box", |mut table| {
        let name = table.take("name").map(|value| value.text("a name")).transpose()?;
        let name = name.map(str::to_owned);
        Ok(NamedBox {
            name: name.unwrap_or_else(|| stem(file).to_owned()),
            spec: boxes::read_spec(&mut table)?,
        })
    });
    read.map_err(|fault| fault.located(file, text))
}

/// A file's name without its folders and its ending.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}
