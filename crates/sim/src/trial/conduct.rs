//! What the hosts do in an attempt, and what they tell of it.

#[cfg(test)]
mod broken;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use simopen_broker::{Broker, BrokerConfig};
use simopen_fabric::Fabric;
use simopen_packet::{Entropy, Timestamp};
use simopen_protocol::address::HostPort;
use simopen_scenario::evidence::Evidence;
use simopen_scenario::judgement::{Account, Story};
use simopen_scenario::network::{Host as Placed, Layout, Network};
use simopen_scenario::oracle::{BROKER_PORT, RELAY_PORT};
use simopen_scenario::participants::{PROOF, consent, directory, secret, user};
use simopen_scenario::pattern::{HELD_BYTES, PATIENCE, STREAMS};
use simopen_scenario::proxies::{PROXY_NAMES, PROXY_PORT, Proxies};
use simopen_scenario::seed::entropy_of;

use super::invariants;
use super::{Detail, Run, Trial, Violation};
use crate::explore::walk::Walk;
use crate::host::Host;
use crate::peer::{Connection, End, Peer, PeerConfig};
use crate::server::Server;
use crate::world::{Exchange, Exchanged, Log, Parts, Station, World};

/// How long an attempt may take, beside ten round trips of each side to the broker: every wait of
/// an attempt is a few seconds and at most as many of those.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a responder is waited for that may never have been asked.
const UNASKED: Duration = Duration::from_secs(1);

/// How long the bytes that prove a connection may take.
const BYTES_LIMIT: Duration = Duration::from_secs(60);

/// Events that the network's journal keeps until they are read, which is at every moment.
const JOURNAL: usize = 16 * 1024;

/// Makes the attempt.
pub(super) fn conduct(
    trial: &Trial,
    network: Network,
    seed: u64,
    walk: Option<&Rc<RefCell<Walk>>>,
) -> Run {
    let mut conductor = Conductor::new(trial, network, seed);
    if conductor.log_in() {
        if let Some(walk) = walk {
            conductor.world.stand_still(Rc::clone(walk));
        }
        conductor.attempt();
    } else {
        conductor.account.ended = conductor.world.now();
    }
    conductor.finish(seed)
}

struct Conductor<'trial> {
    trial: &'trial Trial,
    world: World,
    /// How long the attempt may take beside its round trips.
    limit: Duration,
    account: Account,
    held: Option<bool>,
    violations: Vec<Violation>,
}

impl<'trial> Conductor<'trial> {
    fn new(trial: &'trial Trial, network: Network, seed: u64) -> Self {
        let world = build(trial, network, seed);
        let mut account = Account::beginning(Timestamp::ZERO, "sim");
        account.relayed = trial.technique.meets_at_relay();
        Self { trial, world, limit: LIMIT, account, held: None, violations: Vec::new() }
    }

    /// Both log in and prove a port. Whether both did.
    fn log_in(&mut self) -> bool {
        for place in 0..2 {
            self.world.with_peer(place, Peer::log_in);
        }
        let until = Timestamp::ZERO + self.trial.login_timeout;
        let both = |world: &mut World| world.peers.iter().all(|peer| peer.logged_in().is_some());
        self.world.run(until, both);
        // Who logged in waits for its proof, and nobody for a login that did not come in time.
        let since = self.world.peers.each_ref().map(Peer::logged_in);
        let until = since.iter().flatten().max().copied().unwrap_or_default() + PROOF;
        self.world.run(until, |world| {
            let mut peers = world.peers.iter().zip(since);
            peers.all(|(peer, since)| since.is_none() || peer.is_ready())
        });
        let mut words = Vec::new();
        for (place, since) in since.into_iter().enumerate() {
            let gathered = self.world.peers[place].gathered();
            let why = match since {
                Some(_) if self.account.relayed => continue,
                Some(_) if gathered.is_some_and(|taken| taken <= PROOF) => continue,
                Some(_) => "no port could be proven to the broker",
                None => "the broker did not answer",
            };
            let name = &self.world.layout.hosts[self.trial.hosts[place]].name;
            words.push(format!("{name} did not log in: {why}"));
        }
        self.account.requested = self.world.now();
        self.account.not_begun = (!words.is_empty()).then(|| words.join("; "));
        words.is_empty()
    }

    /// Dials and answers; where there is a connection, proves that it is direct.
    fn attempt(&mut self) {
        let requested = self.account.requested;
        let incidents = self.trial.meanwhile.iter();
        let due = incidents.map(|incident| (requested + incident.at, incident.clone()));
        self.world.expect(due);
        let technique = self.trial.technique;
        let round_trips = [0, 1]
            .map(|place| self.world.with_peer(place, |peer, context| peer.round_trip(context)));
        self.world.with_peer(0, |peer, context| peer.connect(user(1), technique, context));
        let skews = self.trial.start_skew[0] + self.trial.start_skew[1];
        let limit = requested + self.limit + 10 * (round_trips[0] + round_trips[1]) + skews;
        let dialled = self.world.run(limit, |world| world.peers[0].end().is_some());
        // A responder that was never asked has nothing to say.
        let until = match self.world.peers[0].end() {
            Some(End::Failed(failure)) if failure.syns == 0 => self.world.now() + UNASKED,
            Some(End::Failed(_) | End::Connected(..)) | None => limit,
        };
        let answered = self.world.run(until, |world| world.peers[1].end().is_some());
        if self.world.is_known() {
            return;
        }
        if !dialled || (!answered && until == limit) {
            self.violations.push(Violation {
                rule: "an attempt ends in bounded time",
                words: format!("it went on at {}", self.world.now()),
            });
        }
        let ends = self.world.peers.each_ref().map(Peer::end);
        self.account.ends = ends.map(|end| match end {
            Some(End::Connected(_, at)) => Ok(*at),
            Some(End::Failed(failure)) => Err(Some(*failure)),
            None => Err(None),
        });
        if let [Some(End::Connected(a, _)), Some(End::Connected(b, _))] = ends {
            let connections = [a.clone(), b.clone()];
            if self.account.relayed {
                self.account.direct = self.prove_relayed(&connections);
            } else {
                invariants::agreed(self.trial, &mut self.world, &connections, &mut self.violations);
                self.account.direct = Some(self.prove_direct(&connections));
            }
        } else {
            invariants::one_sided(ends, &mut self.violations);
            if self.world.is_faultless() {
                invariants::one_sided_without_loss(ends, &mut self.violations);
            }
        }
        self.account.ended = self.world.now();
    }

    /// Bytes both ways; then without the broker, bytes both ways again; and once more where the
    /// connection is held.
    fn prove_direct(&mut self, connections: &[Connection; 2]) -> bool {
        let limit = self.world.now() + BYTES_LIMIT;
        if !self.both_ways(connections, self.trial.bytes, true, limit) {
            return false;
        }
        self.world.cut_off_broker();
        if !self.both_ways(connections, self.trial.bytes_after_cut, false, limit) {
            return false;
        }
        if let Some(until) = self.trial.hold {
            self.world.run(self.account.requested + until, |_| false);
            let limit = self.world.now() + PATIENCE;
            self.held = Some(self.both_ways(connections, HELD_BYTES, false, limit));
        }
        true
    }

    /// Bytes both ways, and once more where the connection is held; then without broker and relay,
    /// where none may come. `None` where none came before.
    fn prove_relayed(&mut self, connections: &[Connection; 2]) -> Option<bool> {
        let limit = self.world.now() + BYTES_LIMIT;
        if !self.both_ways(connections, self.trial.bytes, true, limit) {
            return None;
        }
        if let Some(until) = self.trial.hold {
            self.world.run(self.account.requested + until, |_| false);
            let limit = self.world.now() + PATIENCE;
            self.held = Some(self.both_ways(connections, HELD_BYTES, false, limit));
        }
        self.world.cut_off_broker();
        let limit = self.world.now() + PATIENCE;
        Some(self.both_ways(connections, self.trial.bytes_after_cut, false, limit))
    }

    /// Sends so many bytes each way and says whether each came as it was sent.
    fn both_ways(
        &mut self,
        connections: &[Connection; 2],
        bytes: usize,
        is_first: bool,
        limit: Timestamp,
    ) -> bool {
        let mut exchanges = [0, 1].map(|place: usize| {
            let rest: &[u8] = if is_first { &connections[place].rest } else { &[] };
            Exchange::new(bytes, STREAMS[place], STREAMS[1 - place], rest)
        });
        let sockets = connections.each_ref().map(|connection| connection.socket);
        self.world.run(limit, |world| {
            for (place, exchange) in exchanges.iter_mut().enumerate() {
                if world.peers[place].has_lost(sockets[place]) {
                    exchange.broken();
                }
                world.exchange(place, sockets[place], exchange);
            }
            exchanges.iter().all(|exchange| exchange.state() != Exchanged::Waiting)
        });
        let states = exchanges.map(|exchange| exchange.state());
        if states.contains(&Exchanged::Differs) {
            let words = "a byte differs from what was sent".to_owned();
            self.violations.push(Violation { rule: "bytes come as they were sent", words });
        }
        let is_done = states == [Exchanged::Whole; 2];
        let kib = bytes / 1024;
        self.world.step(if is_done {
            format!("{kib} KiB went each way, every byte as sent")
        } else {
            format!("the bytes did not come through: {states:?}")
        });
        is_done
    }

    fn finish(mut self, seed: u64) -> Run {
        let (trial, ended) = (self.trial, self.world.now());
        let (world, mut account) = (self.world, self.account);
        account.gather = world.peers[0].gathered();
        let events =
            [0, 1].map(|place| world.peers[place].events.iter().map(move |event| (place, *event)));
        let [a, b] = events;
        account.events = a.chain(b).collect();
        account.steps = world.steps;
        let mut server = world.server;
        account.broker = std::mem::take(&mut server.events);
        let names = trial.hosts.map(|host| &*world.layout.hosts[host].name);
        let evidence = Evidence::read(&world.fabric, &world.journal, &world.layout, names)
            .expect("the broker has an address");
        let story = if trial.detail >= Detail::Timeline { Story::Told } else { Story::Left };
        let record = account.record(seed, trial.leg, &evidence, story);
        invariants::consented(trial, &server.forged, &account.broker, &mut self.violations);
        invariants::bounded(&evidence, &mut self.violations);
        if !server.stop(ended) {
            let words = "links, peers, sessions or departures are left".to_owned();
            self.violations.push(Violation { rule: "a broker without links holds nothing", words });
        }
        Run { record, held: self.held, violations: self.violations, trace: world.log.into_lines() }
    }
}

/// The world of a trial, in which nothing has happened yet but that the broker listens.
fn build(trial: &Trial, mut network: Network, seed: u64) -> World {
    network.graph.set_journal_capacity(match trial.detail {
        Detail::Outcome => 0,
        Detail::Record | Detail::Timeline | Detail::Trace => JOURNAL,
    });
    let broker = SocketAddr::new(first_address(&network.hosts[trial.hosts[2]]), BROKER_PORT);
    let relay = trial.technique.meets_at_relay();
    let relay = relay.then(|| SocketAddr::new(broker.ip(), RELAY_PORT));
    let proxies = proxies(trial, &network.hosts);
    let peers = [0, 1].map(|place: usize| {
        let host = &network.hosts[trial.hosts[place]];
        let config = PeerConfig {
            place: if place == 0 { 0 } else { 1 },
            address: address_like(host, broker.ip()),
            broker,
            user: user(place),
            secret: secret(place),
            start_skew: trial.start_skew[place],
            slowness: trial.slowness[place],
            icmp_shield: trial.icmp_shield,
            carriage: trial.carriage,
            paths: [trial.proxies.link_path(), trial.proxies.path(trial.technique)],
            proxy: proxies[place].map(|(_, address)| SocketAddr::new(address, PROXY_PORT)),
            proves: relay.is_none(),
        };
        Peer::new(config, chance(seed, Whose::Peer, place))
    });
    let stations = network.hosts.iter().enumerate().map(|(number, placed)| {
        let addresses: Vec<IpAddr> = placed.addresses.iter().map(|(address, _)| *address).collect();
        let chance = chance(seed, Whose::Host, number);
        let host = Host::new(&addresses, trial.stack, chance, Timestamp::ZERO);
        Station::new(host, placed.name.clone(), placed.port)
    });
    let mut world = World::new(Parts {
        stations: stations.collect(),
        fabric: Fabric::new(network.graph, entropy_of(seed), Timestamp::ZERO),
        layout: Layout { hosts: network.hosts, boxes: network.boxes },
        places: trial.hosts,
        peers,
        server: Server::new(machine(trial, broker.ip(), relay, seed), trial),
        log: Log::new(trial.detail == Detail::Trace),
    });
    if trial.carriage == super::Carriage::Streams {
        world.step("carries documents beside the network, not by TCP".to_owned());
    }
    let paths = [trial.proxies.link_path(), trial.proxies.path(trial.technique)];
    world.with_server(|server, context| server.listen(broker, relay, paths, context));
    for (station, address) in proxies.into_iter().flatten() {
        world.add_proxy(station, address, trial.proxies);
    }
    world
}

/// The places and addresses of the proxies' hosts.
fn proxies(trial: &Trial, hosts: &[Placed]) -> [Option<(usize, IpAddr)>; 2] {
    if trial.proxies == Proxies::None {
        return [None; 2];
    }
    PROXY_NAMES.map(|name| {
        let station = hosts.iter().position(|host| host.name == name)?;
        Some((station, first_address(&hosts[station])))
    })
}

fn machine(trial: &Trial, own: IpAddr, relay: Option<SocketAddr>, seed: u64) -> Broker {
    let config = BrokerConfig {
        consent: consent(trial.forging, own),
        arrival: trial.arrival,
        relay: relay.into_iter().map(HostPort::from).collect(),
        ..BrokerConfig::default()
    };
    Broker::new(config, directory(), chance(seed, Whose::Broker, 0))
}

fn first_address(host: &Placed) -> IpAddr {
    host.addresses.first().expect("a host that takes part has an address").0
}

/// An address of the family in which the broker is reached, if there is one.
fn address_like(host: &Placed, broker: IpAddr) -> IpAddr {
    let mut addresses = host.addresses.iter().map(|(address, _)| *address);
    let alike = addresses.find(|address| address.is_ipv4() == broker.is_ipv4());
    alike.unwrap_or_else(|| first_address(host))
}

/// Whose chance it is.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Peer = 1,
    Broker = 2,
    Host = 3,
}

/// Each machine has a stream of chance of its own, apart from those of network and boxes.
fn chance(seed: u64, whose: Whose, number: usize) -> Entropy {
    let mut bytes = entropy_of(seed).into_bytes();
    bytes[31] ^= whose as u8;
    bytes[30] ^= u8::try_from(number).unwrap_or(u8::MAX);
    Entropy::new(bytes)
}
