//! A scenario as the text of a file that is read as the same scenario.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use simopen_fabric::{Forwarding, SourceValidation};

use super::boxes::written;
use super::plan::{BoxPlan, HostPlan, LinkPlan, Plan, RouterPlan, Segment};
use super::{Attached, Attempt, Change, Direction, Event, Expected, Scenario, Survival, Tunnel};

impl Scenario {
    /// Writes it down as [`Self::from_toml`] reads it. What a file cannot say is lost: a link
    /// without a rate in a network whose links have one gets that rate.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut file = File(String::new());
        file.entry("name", quoted(&self.name));
        if let Some(description) = &self.description {
            file.entry("description", quoted(description));
        }
        if let Some(seed) = self.seed {
            file.entry("seed", seed);
        }
        file.plan(&self.plan);
        for attempt in &self.attempts {
            file.attempt(attempt, &self.plan);
        }
        for tunnel in &self.tunnels {
            file.tunnel(tunnel, &self.plan);
        }
        for event in &self.events {
            file.event(event, &self.plan);
        }
        file.0
    }
}

/// The text so far.
struct File(String);

impl File {
    fn entry(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn heading(&mut self, heading: impl std::fmt::Display) {
        let _ = writeln!(self.0, "\n{heading}");
    }

    fn plan(&mut self, plan: &Plan) {
        for segment in &plan.networks {
            self.segment(segment);
        }
        for host in &plan.hosts {
            self.host(host, plan);
        }
        for placed in &plan.boxes {
            self.placed(placed, plan);
        }
        for router in &plan.routers {
            self.router(router, plan);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        self.heading(format_args!("[networks.{}]", segment.name));
        let prefixes =
            segment.prefixes.iter().map(|(first, length)| quoted(&format!("{first}/{length}")));
        self.entry("prefixes", list(prefixes));
        if segment.forwarding == Forwarding::Router {
            self.entry("forwards-as", quoted("router"));
        }
        self.addresses(segment.addresses.iter().copied());
        self.source_validation(segment.source_validation);
        self.link(segment.link, LinkPlan::default());
    }

    fn host(&mut self, host: &HostPlan, plan: &Plan) {
        self.heading(format_args!("[hosts.{}]", host.name));
        let network = &plan.networks[host.network];
        self.entry("network", quoted(&network.name));
        self.addresses(host.addresses.iter().map(|(address, _)| *address));
        self.link(host.link, network.link);
        if let Some(proxy) = host.proxy {
            self.entry("proxy", quoted(proxy.program()));
        }
        if let Some(exec) = &host.exec {
            let command = list(exec.command.iter().map(|word| quoted(word)));
            let (name, deadline) = (quoted(&exec.name), quoted_time(exec.deadline));
            let program =
                format!("{{ name = {name}, command = {command}, deadline = {deadline} }}");
            self.entry("exec", program);
        }
    }

    fn placed(&mut self, placed: &BoxPlan, plan: &Plan) {
        self.heading(format_args!("[boxes.{}]", placed.name));
        let outside = &plan.networks[placed.outside];
        self.entry("inside", quoted(&plan.networks[placed.inside].name));
        self.entry("outside", quoted(&outside.name));
        self.addresses([placed.address].into_iter());
        self.link(placed.link, outside.link);
        for (axis, value) in written(&placed.spec) {
            self.entry(&axis, value);
        }
    }

    fn router(&mut self, router: &RouterPlan, plan: &Plan) {
        self.heading(format_args!("[routers.{}]", router.name));
        let names = router.networks.iter().map(|number| quoted(&plan.networks[*number].name));
        self.entry("networks", list(names));
        self.addresses(router.addresses.iter().copied());
        self.source_validation(router.source_validation);
        self.link(router.link, LinkPlan::default());
    }

    fn addresses(&mut self, addresses: impl ExactSizeIterator<Item = IpAddr>) {
        let is_one = addresses.len() == 1;
        let mut texts = addresses.map(|address| quoted(&address.to_string()));
        match texts.next() {
            None => {}
            Some(only) if is_one => self.entry("address", only),
            Some(first) => self.entry("addresses", list(std::iter::once(first).chain(texts))),
        }
    }

    fn source_validation(&mut self, validation: SourceValidation) {
        match validation {
            SourceValidation::Off => {}
            SourceValidation::Loose => self.entry("source-validation", quoted("loose")),
            SourceValidation::Strict => self.entry("source-validation", quoted("strict")),
        }
    }

    fn link(&mut self, link: LinkPlan, otherwise: LinkPlan) {
        if link == otherwise {
            return;
        }
        let mut parts = vec![format!("delay = {}", quoted_time(link.delay))];
        if link.jitter != otherwise.jitter {
            parts.push(format!("jitter = {}", quoted_time(link.jitter)));
        }
        if link.loss.to_bits() != otherwise.loss.to_bits() {
            parts.push(format!("loss = {:?}", link.loss));
        }
        if let Some(bits) = link.rate {
            parts.push(format!("rate = {}", rate(bits)));
        }
        self.entry("link", format_args!("{{ {} }}", parts.join(", ")));
    }

    fn attempt(&mut self, attempt: &Attempt, plan: &Plan) {
        self.heading("[[attempts]]");
        let host = |number: usize| quoted(&plan.hosts[number].name);
        self.entry("name", quoted(&attempt.name));
        self.entry("from", host(attempt.from));
        self.entry("to", host(attempt.to));
        self.entry("broker", host(attempt.broker));
        self.entry("ways", list(attempt.ways.iter().map(|way| quoted(&way.to_string()))));
        if attempt.runs != 1 {
            self.entry("runs", attempt.runs);
        }
        if !attempt.forging {
            self.entry("forging", false);
        }
        for (key, skew) in ["skew-from", "skew-to"].into_iter().zip(attempt.skew) {
            if !skew.is_zero() {
                self.entry(key, quoted_time(skew));
            }
        }
        self.expected(attempt.expect);
        if let Some(hold) = attempt.hold {
            let expect = match hold.expect {
                None => "",
                Some(Survival::Survives) => ", expect = \"survives\"",
                Some(Survival::Breaks) => ", expect = \"breaks\"",
            };
            self.entry("hold", format_args!("{{ until = {}{expect} }}", quoted_time(hold.until)));
        }
    }

    fn tunnel(&mut self, tunnel: &Tunnel, plan: &Plan) {
        self.heading("[[tunnels]]");
        let host = |number: usize| quoted(&plan.hosts[number].name);
        self.entry("name", quoted(&tunnel.name));
        self.entry("from", host(tunnel.from));
        self.entry("through", host(tunnel.through));
        self.entry("to", host(tunnel.to));
        self.entry("port", tunnel.port);
        self.expected(tunnel.expect);
    }

    fn expected(&mut self, expected: Option<Expected>) {
        match expected {
            None => {}
            Some(Expected::Connects) => self.entry("expect", quoted("connects")),
            Some(Expected::Fails) => self.entry("expect", quoted("fails")),
        }
    }

    fn event(&mut self, event: &Event, plan: &Plan) {
        self.heading("[[events]]");
        self.entry("at", quoted_time(event.at));
        if let Some(attempt) = &event.during {
            self.entry("during", quoted(attempt));
        }
        let (host, placed) = (
            |number: usize| quoted(&plan.hosts[number].name),
            |number: usize| quoted(&plan.boxes[number].name),
        );
        match event.what {
            Change::Reboot(number) => self.entry("reboot", placed(number)),
            Change::BoxAddress(number, address) => {
                self.entry("readdress", placed(number));
                self.entry("address", quoted(&address.to_string()));
            }
            Change::HostAddress(number, address) => {
                self.entry("readdress", host(number));
                self.entry("address", quoted(&address.to_string()));
            }
            Change::Link(attached, direction) => {
                let key = match direction {
                    Direction::Down => "link-down",
                    Direction::Up => "link-up",
                };
                let name = match attached {
                    Attached::Host(number) => host(number),
                    Attached::Box(number) => placed(number),
                };
                self.entry(key, name);
            }
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn quoted_time(span: Duration) -> String {
    quoted(&time(span))
}

/// A time in the largest unit of which it is a whole number, to the nanosecond.
pub(super) fn time(span: Duration) -> String {
    let nanos = span.as_nanos();
    let whole = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    match whole.into_iter().find(|(unit, _)| nanos.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => format!("{}.{:03}us", nanos / 1000, nanos % 1000),
    }
}

fn rate(bits: u64) -> String {
    let whole = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    match whole.into_iter().find(|(unit, _)| bits.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("\"{}{name}\"", bits / unit),
        None => format!("\"{bits}bit\""),
    }
}
