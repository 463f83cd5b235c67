//! The network of a file: segments, what is attached to them, and what is wrong with it.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use simopen_fabric::{Forwarding, HOST_LINK_DELAY, LinkSpec, Prefix, SourceValidation};
use simopen_nat::MiddleboxSpec;

use super::boxes::read_spec;
use super::fault::Fault;
use super::reader::{Key, Table, Value};

/// How many networks, hosts, boxes and routers there may be, of each.
pub const MOST_OF_EACH: usize = 32;

/// How many addresses a host, and how many prefixes a network may have.
const MOST_ADDRESSES: usize = 8;

/// How many words a command may have.
const MOST_WORDS: usize = 32;

/// The longest delay of a link: beyond it no attempt is honest.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// All that is attached to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The segments.
    pub networks: Vec<Segment>,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The boxes.
    pub boxes: Vec<BoxPlan>,
    /// The routers between networks.
    pub routers: Vec<RouterPlan>,
}

/// A network: one segment, to which hosts, boxes and routers are attached by a link each.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// The addresses that belong to it.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Whether it counts hops, as a router in its middle does.
    pub forwarding: Forwarding,
    /// The addresses of that router.
    pub addresses: Vec<IpAddr>,
    /// How that router checks sources.
    pub source_validation: SourceValidation,
    /// The link of all that says nothing else.
    pub link: LinkPlan,
}

/// A host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// The number of its network.
    pub network: usize,
    /// Its addresses with the length of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its link.
    pub link: LinkPlan,
    /// Which proxy runs on it, if any.
    pub proxy: Option<Proxy>,
    /// The program that attempts of its own kind start here.
    pub exec: Option<Exec>,
}

impl HostPlan {
    /// Its first address of that family.
    #[must_use]
    pub fn address(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|own| own.is_ipv4() == is_ipv4)
    }
}

/// An HTTP proxy that a host runs, at its port 3128. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Squid.
    Squid,
    /// Tinyproxy.
    Tinyproxy,
}

impl Proxy {
    /// The program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
        }
    }
}

/// A program of somebody else that opens connections by the contract of `docs/exec-contract.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The name of its row in a report.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take for one connection.
    pub deadline: Duration,
}

/// A box between two networks.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxPlan {
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: MiddleboxSpec,
    /// The number of the network before which it stands.
    pub inside: usize,
    /// The number of the network beyond it.
    pub outside: usize,
    /// Its address outside.
    pub address: IpAddr,
    /// Its link to the network outside.
    pub link: LinkPlan,
}

/// A router between networks.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterPlan {
    /// Its name.
    pub name: String,
    /// The numbers of the networks that it joins.
    pub networks: Vec<usize>,
    /// Its addresses, one a family.
    pub addresses: Vec<IpAddr>,
    /// How it checks sources.
    pub source_validation: SourceValidation,
    /// Its links to all of them.
    pub link: LinkPlan,
}

/// One link, the same both ways. Without a rate it has that of the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkPlan {
    /// What each packet takes.
    pub delay: Duration,
    /// Added to it, uniform between zero and this.
    pub jitter: Duration,
    /// Probability between 0 and 1 that a packet is lost.
    pub loss: f64,
    /// Bits per second.
    pub rate: Option<u64>,
}

impl Default for LinkPlan {
    fn default() -> Self {
        Self { delay: HOST_LINK_DELAY, jitter: Duration::ZERO, loss: 0.0, rate: None }
    }
}

impl LinkPlan {
    /// As the fabric takes it; rate and queue are those of `world` where there is none.
    #[must_use]
    pub fn spec(&self, world: LinkSpec) -> LinkSpec {
        let Self { delay, jitter, loss, rate } = *self;
        LinkSpec { delay, jitter, loss, rate: rate.or(world.rate), ..world }
    }

    fn read(value: Option<Value<'_>>, otherwise: Self) -> Result<Self, Fault> {
        let Some(value) = value else { return Ok(otherwise) };
        let mut table = value.table("a link")?;
        let mut link = otherwise;
        if let Some(delay) = table.take("delay") {
            link.delay = delay.time()?;
            if link.delay > LONGEST_DELAY {
                return Err(delay.fault("a delay of at most 2s"));
            }
        }
        if let Some(jitter) = table.take("jitter") {
            link.jitter = jitter.time()?;
            if link.jitter > LONGEST_DELAY {
                return Err(jitter.fault("a jitter of at most 2s"));
            }
        }
        if let Some(loss) = table.take("loss") {
            link.loss = loss.probability()?;
        }
        link.rate = table.take("rate").map(Value::rate).transpose()?.or(link.rate);
        table.finish()?;
        Ok(link)
    }
}

/// The names that are taken: each stands for one thing in timelines and events.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn claim(&mut self, key: &Key<'_>) -> Result<String, Fault> {
        if self.0.iter().any(|taken| taken == key.name) {
            let found = format!("`{}` a second time", key.name);
            let expected = "a name that no other network, host, box or router has";
            return Err(Fault::at(&key.span, found, expected));
        }
        self.0.push(key.name.to_owned());
        Ok(key.name.to_owned())
    }
}

impl Plan {
    /// Takes all that belongs to the network from the uppermost table.
    pub(super) fn read(file: &mut Table<'_>) -> Result<Self, Fault> {
        let mut names = Names::default();
        let mut plan = Self { networks: vec![], hosts: vec![], boxes: vec![], routers: vec![] };
        let networks = file.need("networks", "a table of the networks that there are")?;
        for (key, value) in networks.named("networks", MOST_OF_EACH)? {
            let name = names.claim(&key)?;
            plan.networks.push(Segment::read(name, value.table("a network")?)?);
        }
        let hosts = file.need("hosts", "a table of the hosts that there are")?;
        for (key, value) in hosts.named("hosts", MOST_OF_EACH)? {
            let name = names.claim(&key)?;
            let host = HostPlan::read(name, value.table("a host")?, &plan)?;
            plan.hosts.push(host);
        }
        for (key, value) in optional(file.take("boxes"), "boxes")? {
            let name = names.claim(&key)?;
            let placed = BoxPlan::read(name, value.table("a box")?, &plan)?;
            plan.boxes.push(placed);
        }
        for (key, value) in optional(file.take("routers"), "routers")? {
            let name = names.claim(&key)?;
            let router = RouterPlan::read(name, value.table("a router")?, &plan)?;
            plan.routers.push(router);
        }
        Ok(plan)
    }

    pub(super) fn host_named(&self, value: Value<'_>) -> Result<usize, Fault> {
        let names = self.hosts.iter().map(|host| host.name.as_str());
        find(value, "host", &names.collect::<Vec<_>>())
    }

    pub(super) fn box_named(&self, value: Value<'_>) -> Result<usize, Fault> {
        let names = self.boxes.iter().map(|placed| placed.name.as_str());
        find(value, "box", &names.collect::<Vec<_>>())
    }

    fn network_named(&self, value: Value<'_>) -> Result<usize, Fault> {
        let names = self.networks.iter().map(|network| network.name.as_str());
        find(value, "network", &names.collect::<Vec<_>>())
    }

    /// The prefix of a network that holds an address, which nobody else of that network may have.
    pub(super) fn place(
        &self,
        network: usize,
        address: IpAddr,
        value: Value<'_>,
    ) -> Result<(IpAddr, u8), Fault> {
        let segment = &self.networks[network];
        let length = segment.prefix_of(address).ok_or_else(|| {
            let prefixes: Vec<String> =
                segment.prefixes.iter().map(|(at, length)| format!("{at}/{length}")).collect();
            let (name, prefixes) = (&segment.name, prefixes.join(", "));
            value.fault(format_args!("an address of network `{name}`: {prefixes}"))
        })?;
        let of_hosts = self.hosts.iter().filter(|host| host.network == network);
        let of_boxes = self.boxes.iter().filter(|placed| placed.outside == network);
        let taken = of_hosts
            .flat_map(|host| host.addresses.iter().map(|(own, _)| (*own, &host.name)))
            .chain(of_boxes.flat_map(|placed| placed.addresses().map(|own| (own, &placed.name))))
            .chain(segment.addresses.iter().map(|own| (*own, &segment.name)))
            .find(|(own, _)| *own == address);
        match taken {
            Some((_, owner)) => {
                Err(value.fault(format_args!("an address that `{owner}` does not have")))
            }
            None => Ok((address, length)),
        }
    }
}

fn optional<'t>(
    value: Option<Value<'t>>,
    what: &'static str,
) -> Result<Vec<(Key<'t>, Value<'t>)>, Fault> {
    value.map_or_else(|| Ok(Vec::new()), |value| value.named(what, MOST_OF_EACH))
}

/// The number of the thing that a value names.
pub(super) fn find(value: Value<'_>, what: &str, names: &[&str]) -> Result<usize, Fault> {
    let name = value.text(format_args!("the name of a {what}"))?;
    let found = names.iter().position(|known| *known == name);
    found.ok_or_else(|| Fault::unknown(&value.span(), what, name, names.iter().copied()))
}

/// One or several addresses.
fn addresses(table: &mut Table<'_>) -> Result<Vec<(IpAddr, Range<usize>)>, Fault> {
    let mut values: Vec<Value<'_>> = table.take("address").into_iter().collect();
    if let Some(more) = table.take("addresses") {
        values.extend(more.list("addresses", MOST_ADDRESSES)?);
    }
    values.into_iter().map(|value| Ok((value.address()?, value.span()))).collect()
}

fn source_validation(table: &mut Table<'_>) -> Result<SourceValidation, Fault> {
    let words = [
        ("off", SourceValidation::Off),
        ("loose", SourceValidation::Loose),
        ("strict", SourceValidation::Strict),
    ];
    let value = table.take("source-validation");
    value.map_or(Ok(SourceValidation::Off), |value| value.word("check of sources", &words))
}

impl Segment {
    fn read(name: String, mut table: Table<'_>) -> Result<Self, Fault> {
        let mut prefixes: Vec<Value<'_>> = table.take("prefix").into_iter().collect();
        if let Some(more) = table.take("prefixes") {
            prefixes.extend(more.list("prefixes", MOST_ADDRESSES)?);
        }
        if prefixes.is_empty() {
            let expected = "`prefix` or `prefixes`: the addresses that belong to it";
            return Err(Fault::at(table.span(), "a network without addresses", expected));
        }
        let prefixes = prefixes.into_iter().map(Value::prefix).collect::<Result<_, _>>()?;
        let words = [("switch", Forwarding::Switch), ("router", Forwarding::Router)];
        let forwarding = table.take("forwards-as");
        let forwarding =
            forwarding.map_or(Ok(Forwarding::Switch), |value| value.word("way", &words))?;
        let segment = Self {
            name,
            prefixes,
            forwarding,
            addresses: addresses(&mut table)?.into_iter().map(|(address, _)| address).collect(),
            source_validation: source_validation(&mut table)?,
            link: LinkPlan::read(table.take("link"), LinkPlan::default())?,
        };
        table.finish()?;
        Ok(segment)
    }

    /// The length of its prefix that holds an address.
    #[must_use]
    pub fn prefix_of(&self, address: IpAddr) -> Option<u8> {
        let holds = |&&(first, length): &&(IpAddr, u8)| {
            first.is_ipv4() == address.is_ipv4()
                && Prefix::new(address, length).is_some_and(|of| of.address() == first)
        };
        self.prefixes.iter().filter(holds).map(|(_, length)| *length).max()
    }
}

impl HostPlan {
    fn read(name: String, mut table: Table<'_>, plan: &Plan) -> Result<Self, Fault> {
        let network = table.need("network", "the name of its network")?;
        let network = plan.network_named(network)?;
        let mut host = Self {
            name,
            network,
            addresses: Vec::new(),
            link: LinkPlan::read(table.take("link"), plan.networks[network].link)?,
            proxy: None,
            exec: None,
        };
        let mut values: Vec<Value<'_>> = table.take("address").into_iter().collect();
        if let Some(more) = table.take("addresses") {
            values.extend(more.list("addresses", MOST_ADDRESSES)?);
        }
        if values.is_empty() {
            let expected = "`address` or `addresses`";
            return Err(Fault::at(table.span(), "a host without an address", expected));
        }
        for value in values {
            let placed = plan.place(network, value.address()?, value)?;
            if host.addresses.contains(&placed) {
                return Err(value.fault("an address only once"));
            }
            host.addresses.push(placed);
        }
        let programs = [("squid", Proxy::Squid), ("tinyproxy", Proxy::Tinyproxy)];
        let proxy = table.take("proxy");
        host.proxy = proxy.map(|value| value.word("proxy", &programs)).transpose()?;
        host.exec = table.take("exec").map(Exec::read).transpose()?;
        table.finish()?;
        Ok(host)
    }
}

impl Exec {
    fn read(value: Value<'_>) -> Result<Self, Fault> {
        let mut table = value.table("a program")?;
        let expected = "the program and its arguments: [\"python3\", \"puncher.py\"]";
        let command = table.need("command", expected)?;
        let words = command.list("words of a command", MOST_WORDS)?;
        let words: Vec<String> = words
            .into_iter()
            .map(|word| Ok(word.text("a word of the command")?.to_owned()))
            .collect::<Result<_, Fault>>()?;
        if words.first().is_none_or(String::is_empty)
            || words.iter().any(|word| word.contains('\0'))
        {
            return Err(command.fault(expected));
        }
        let name = table.take("name").map(|name| name.text("a name")).transpose()?;
        let exec = Self {
            name: name.unwrap_or("program").to_owned(),
            command: words,
            deadline: table.take("deadline").map_or(Ok(Duration::from_secs(10)), Value::time)?,
        };
        table.finish()?;
        Ok(exec)
    }
}

impl BoxPlan {
    fn read(name: String, mut table: Table<'_>, plan: &Plan) -> Result<Self, Fault> {
        let inside =
            plan.network_named(table.need("inside", "the network before which it stands")?)?;
        let outside = table.need("outside", "the network beyond it")?;
        let beyond = plan.network_named(outside)?;
        if beyond == inside {
            return Err(outside.fault("another network than `inside`"));
        }
        let address = table.need("address", "its address in the network outside")?;
        let link = LinkPlan::read(table.take("link"), plan.networks[beyond].link)?;
        let own = plan.place(beyond, address.address()?, address)?.0;
        let spec = read_spec(&mut table)?;
        let placed = Self { name, spec, inside, outside: beyond, address: own, link };
        for own in placed.addresses().skip(1) {
            plan.place(beyond, own, address)?;
        }
        Ok(placed)
    }

    /// Its addresses outside: the first, and those of its pool that follow.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        addresses_of(self.address, &self.spec)
    }
}

/// The addresses of a box whose first one this is.
pub(super) fn addresses_of(
    first: IpAddr,
    spec: &MiddleboxSpec,
) -> impl Iterator<Item = IpAddr> + use<> {
    (0..u32::from(spec.pool.addresses.max(1))).map(move |next| match first {
        IpAddr::V4(first) => IpAddr::V4(first.to_bits().wrapping_add(next).into()),
        IpAddr::V6(first) => IpAddr::V6(first.to_bits().wrapping_add(next.into()).into()),
    })
}

impl RouterPlan {
    fn read(name: String, mut table: Table<'_>, plan: &Plan) -> Result<Self, Fault> {
        let joins = table.need("networks", "the names of the networks that it joins")?;
        let mut networks = Vec::new();
        for value in joins.list("networks", MOST_OF_EACH)? {
            let network = plan.network_named(value)?;
            if networks.contains(&network) {
                return Err(value.fault("each network once"));
            }
            networks.push(network);
        }
        if networks.len() < 2 {
            return Err(joins.fault("two networks at least"));
        }
        let own = addresses(&mut table)?;
        for (place, (address, span)) in own.iter().enumerate() {
            if own[..place].iter().any(|(other, _)| other.is_ipv4() == address.is_ipv4()) {
                return Err(Fault::at(span, address, "one address of each family"));
            }
        }
        let router = Self {
            name,
            networks,
            addresses: own.into_iter().map(|(address, _)| address).collect(),
            source_validation: source_validation(&mut table)?,
            link: LinkPlan::read(table.take("link"), LinkPlan::default())?,
        };
        table.finish()?;
        Ok(router)
    }
}
