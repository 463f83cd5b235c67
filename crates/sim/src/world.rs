//! The loop: one virtual clock, the network, its hosts, and who uses them.
//!
//! Whatever happens at one moment happens in a fixed order: first what the network delivers, then
//! documents beside it, then timers, each in the order of the hosts; and after each everything that
//! follows from it at once.

mod exchange;
mod log;
mod still;
mod streams;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use simopen_fabric::{Fabric, FabricEvent, PortId};
use simopen_nat::Middlebox;
use simopen_packet::Timestamp;
use simopen_scenario::incident::{Incident, NetworkChange};
use simopen_scenario::network::{Layout, Place, PlacedBox};
use simopen_scenario::proxies::Proxies;
use simopen_scenario::seed::entropy_of;

pub(crate) use self::exchange::{Exchange, Exchanged};
pub(crate) use self::log::Log;
use self::still::{Came, Stepped};
use self::streams::{Document, Streams, Towards};
use crate::explore::walk::Walk;
use crate::host::{Host, SocketId};
use crate::lines::LineNumber;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::server::Server;

/// Events that an attempt usually leaves in the network's journal.
const USUAL_JOURNAL: usize = 128;

/// What a machine may use while it is turned: its host, the time, the log.
pub(crate) struct Context<'turn> {
    pub(crate) now: Timestamp,
    /// The host's name.
    pub(crate) name: &'turn str,
    pub(crate) host: &'turn mut Host,
    pub(crate) log: &'turn mut Log,
}

/// A network with its hosts, two peers and a broker, and their time.
pub(crate) struct World {
    now: Timestamp,
    pub(crate) fabric: Fabric,
    pub(crate) layout: Layout,
    stations: Vec<Station>,
    /// The places of originator, responder and broker among the stations.
    places: [usize; 3],
    pub(crate) peers: [Peer; 2],
    pub(crate) server: Server,
    /// The proxies of originator and responder, if they have any, with the places of their hosts
    /// among the stations.
    proxies: Vec<(usize, Proxy)>,
    streams: Streams,
    /// Room for one packet.
    packet: Vec<u8>,
    incidents: VecDeque<(Timestamp, Incident)>,
    /// What the world did itself.
    pub(crate) steps: Vec<(Timestamp, String)>,
    /// Everything that the network noted.
    pub(crate) journal: Vec<FabricEvent>,
    pub(crate) log: Log,
    /// Who says what arrives next, where it is not the time.
    walk: Option<Rc<RefCell<Walk>>>,
}

/// A host at its port.
pub(crate) struct Station {
    pub(crate) host: Host,
    name: String,
    port: PortId,
    /// Something was done at the host, or with it, since it was turned.
    is_stirred: bool,
    /// When the host has something to do, and who uses it.
    host_due: Option<Timestamp>,
    user_due: Option<Timestamp>,
    /// A hash of what came to it, where somebody says what arrives next.
    history: u64,
}

impl Station {
    pub(crate) fn new(host: Host, name: String, port: PortId) -> Self {
        Self { host, name, port, is_stirred: false, host_due: None, user_due: None, history: 0 }
    }
}

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) fabric: Fabric,
    pub(crate) layout: Layout,
    pub(crate) stations: Vec<Station>,
    pub(crate) places: [usize; 3],
    pub(crate) peers: [Peer; 2],
    pub(crate) server: Server,
    pub(crate) log: Log,
}

/// Borrows a station and what a machine needs to use it.
macro_rules! context {
    ($world:expr, $station:expr) => {{
        let station = &mut $world.stations[$station];
        station.is_stirred = true;
        Context {
            now: $world.now,
            name: &station.name,
            host: &mut station.host,
            log: &mut $world.log,
        }
    }};
}

impl World {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { fabric, layout, stations, places, peers, server, log } = parts;
        Self {
            now: Timestamp::ZERO,
            fabric,
            layout,
            stations,
            places,
            peers,
            server,
            proxies: Vec::new(),
            streams: Streams::default(),
            packet: Vec::new(),
            incidents: VecDeque::new(),
            steps: Vec::new(),
            journal: Vec::with_capacity(USUAL_JOURNAL),
            log,
            walk: None,
        }
    }

    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The host of originator (0), responder (1) or broker (2).
    pub(crate) fn host(&mut self, place: usize) -> &mut Host {
        &mut self.stations[self.places[place]].host
    }

    /// Reads and writes what goes of an exchange at originator (0) or responder (1).
    pub(crate) fn exchange(&mut self, place: usize, socket: SocketId, exchange: &mut Exchange) {
        let station = &mut self.stations[self.places[place]];
        if exchange.turn(socket, &mut station.host, self.now) {
            station.is_stirred = true;
            self.remember(self.places[place], Came::Bytes);
        }
    }

    /// Lets originator or responder do something.
    pub(crate) fn with_peer<T>(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Peer, &mut Context<'_>) -> T,
    ) -> T {
        act(&mut self.peers[place], &mut context!(self, self.places[place]))
    }

    /// Lets the broker's service do something.
    pub(crate) fn with_server<T>(
        &mut self,
        act: impl FnOnce(&mut Server, &mut Context<'_>) -> T,
    ) -> T {
        act(&mut self.server, &mut context!(self, self.places[2]))
    }

    /// Lets a proxy listen on the host at that place among all hosts.
    pub(crate) fn add_proxy(&mut self, station: usize, address: IpAddr, kind: Proxies) {
        let proxy = Proxy::listen(address, kind, &mut context!(self, station));
        self.proxies.push((station, proxy));
    }

    /// Writes down what the world does itself.
    pub(crate) fn step(&mut self, words: String) {
        self.log.tell(self.now, "world", || words.clone());
        self.steps.push((self.now, words));
    }

    /// Lets these happen when they are due.
    pub(crate) fn expect(&mut self, incidents: impl Iterator<Item = (Timestamp, Incident)>) {
        self.incidents.extend(incidents);
    }

    /// Cuts the broker off from the network.
    pub(crate) fn cut_off_broker(&mut self) {
        let port = self.stations[self.places[2]].port;
        self.fabric.set_port_enabled(port, false);
        self.streams.cut();
        self.step("cuts the broker off from the network".to_owned());
    }

    /// Lets time go on until that is so, but not beyond `until`. Returns whether it is so.
    pub(crate) fn run(
        &mut self,
        until: Timestamp,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        loop {
            self.settle();
            if is_so(self) {
                return true;
            }
            // What was done to find that out may have stirred a host.
            if self.is_stirred() {
                continue;
            }
            match self.step_still() {
                Stepped::On => continue,
                Stepped::Quiet => {}
                Stepped::Over => return false,
            }
            match self.next_deadline() {
                Some(next) if next <= until => self.advance(next),
                Some(_) | None => {
                    self.now = self.now.max(until);
                    return false;
                }
            }
        }
    }

    fn is_stirred(&self) -> bool {
        self.stations.iter().any(|station| station.is_stirred)
    }

    /// When something happens next. Time always moves on.
    fn next_deadline(&self) -> Option<Timestamp> {
        let hosts = self.stations.iter().filter_map(|station| station.host_due);
        let users = self.stations.iter().filter_map(|station| station.user_due);
        let network = self.fabric.poll_timeout().map(|(at, _)| at);
        let incident = self.incidents.front().map(|(at, _)| *at);
        let alone = [network, incident, self.streams.poll_timeout(self.now)];
        let next = hosts.chain(users).chain(alone.into_iter().flatten()).min()?;
        Some(next.max(self.now + Duration::from_nanos(1)))
    }

    /// Does what is due at `at`.
    fn advance(&mut self, at: Timestamp) {
        self.now = at;
        self.fabric.handle_timeout(at);
        self.settle();
        while self.incidents.front().is_some_and(|(due, _)| *due <= at)
            && let Some((_, incident)) = self.incidents.pop_front()
        {
            self.happen(incident);
        }
        for station in 0..self.stations.len() {
            self.time_out(station);
        }
    }

    fn time_out(&mut self, number: usize) {
        let now = self.now;
        let station = &mut self.stations[number];
        let [host, user] =
            [station.host_due, station.user_due].map(|due| due.is_some_and(|due| due <= now));
        if !host && !user {
            return;
        }
        if host {
            station.host.handle_timeout(now);
            station.is_stirred = true;
            self.remember(number, Came::Timeout);
        }
        if user {
            self.remember(number, Came::Timeout);
            match self.user(number) {
                Some(User::Peer(place)) => self.with_peer(place, Peer::handle_timeout),
                Some(User::Broker) => self.with_server(Server::handle_timeout),
                Some(User::Proxy(_)) | None => {}
            }
        }
        self.settle();
    }

    /// Lets everything happen that happens at this moment.
    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            self.read_journal();
            while let Some(delivery) = self.fabric.poll_transmit() {
                let port = delivery.port;
                let found = self.stations.iter().position(|station| station.port == port);
                if let Some(number) = found {
                    let station = &mut self.stations[number];
                    station.host.handle_packet(delivery.packet.as_slice(), self.now);
                    self.remember(number, Came::Packet(delivery.packet.as_slice()));
                    self.turn(number);
                }
                self.fabric.recycle(delivery.packet);
                is_quiet = false;
            }
            while self.deliver_document() {
                is_quiet = false;
            }
            for number in 0..self.stations.len() {
                if self.stations[number].is_stirred {
                    self.turn(number);
                    is_quiet = false;
                }
            }
            if is_quiet {
                break;
            }
        }
    }

    /// Tells the user of a host what happened there, and sends what the host wants to send.
    fn turn(&mut self, number: usize) {
        let user = self.user(number);
        loop {
            let station = &mut self.stations[number];
            let Some(event) = station.host.poll_event() else { break };
            let mut context = Context {
                now: self.now,
                name: &station.name,
                host: &mut station.host,
                log: &mut self.log,
            };
            match user {
                Some(User::Peer(place)) => {
                    self.peers[place].handle_event(event, &mut context);
                }
                Some(User::Broker) => self.server.handle_event(&event, &mut context),
                Some(User::Proxy(proxy)) => {
                    self.proxies[proxy].1.handle_event(&event, &mut context);
                }
                None => {}
            }
        }
        self.pump(number, user);
        self.send_packets(number);
        self.read_journal();
        self.send_documents(user);
        let station = &mut self.stations[number];
        station.is_stirred = false;
        station.host_due = station.host.poll_timeout();
        station.user_due = match user {
            Some(User::Peer(place)) => self.peers[place].poll_timeout(),
            Some(User::Broker) => self.server.poll_timeout(),
            Some(User::Proxy(_)) | None => None,
        };
    }

    /// Moves bytes at hosts that stand between others: for what they may write now nothing is told.
    fn pump(&mut self, number: usize, user: Option<User>) {
        let station = &mut self.stations[number];
        let mut context = Context {
            now: self.now,
            name: &station.name,
            host: &mut station.host,
            log: &mut self.log,
        };
        match user {
            Some(User::Broker) => self.server.pump(&mut context),
            Some(User::Proxy(proxy)) => self.proxies[proxy].1.pump(&mut context),
            Some(User::Peer(_)) | None => {}
        }
    }

    fn send_packets(&mut self, number: usize) {
        let station = &mut self.stations[number];
        while station.host.poll_transmit(&mut self.packet) {
            let mut buffer = self.fabric.buffer();
            match buffer.fill(&self.packet) {
                Ok(()) => self.fabric.handle_packet(station.port, buffer, self.now),
                Err(_) => self.fabric.recycle(buffer),
            }
        }
    }

    /// Takes up the documents that a peer or the broker sends beside the network. A way takes half
    /// of the round trip that the line's own connection measured.
    fn send_documents(&mut self, user: Option<User>) {
        let Some(user) = user else { return };
        while let Some((line, message)) = match user {
            User::Peer(place) => self.peers[place].lines().poll_departing(),
            User::Broker => self.server.lines().poll_departing(),
            User::Proxy(_) => None,
        } {
            let place = peer_of(line);
            let client = self.peers[place].lines().by_number(line);
            let host = &self.stations[self.places[place]].host;
            let round_trip = client.and_then(|socket| host.round_trip(socket)).unwrap_or_default();
            let towards = match user {
                User::Peer(_) => Towards::Broker,
                User::Broker | User::Proxy(_) => Towards::Peer,
            };
            let document = Document { line, towards, message };
            self.streams.send(document, round_trip / 2, self.now);
        }
    }

    /// Hands over the next document that is due beside the network, if there is one.
    fn deliver_document(&mut self) -> bool {
        let Self { peers, server, streams, now, .. } = self;
        let mut end = |document: &Document| match document.towards {
            Towards::Peer => peers[peer_of(document.line)].lines().by_number(document.line),
            Towards::Broker => server.lines().by_number(document.line),
        };
        let document = streams.poll(*now, |document| end(document).is_some());
        document.is_some_and(|document| self.hand_over(document))
    }

    /// Where the line of a document ends, if it is known there.
    fn end_of(&mut self, line: LineNumber, towards: Towards) -> Option<SocketId> {
        match towards {
            Towards::Peer => self.peers[peer_of(line)].lines().by_number(line),
            Towards::Broker => self.server.lines().by_number(line),
        }
    }

    /// Hands a document to whom it is for, if that one knows its line.
    fn hand_over(&mut self, document: Document) -> bool {
        let Document { line, towards, message } = document;
        let Some(socket) = self.end_of(line, towards) else { return false };
        if towards == Towards::Peer {
            self.remember(self.places[peer_of(line)], Came::Document(line, &message));
        }
        match towards {
            Towards::Peer => self.with_peer(peer_of(line), |peer, context| {
                peer.handle_message(socket, message, context);
            }),
            Towards::Broker => self.with_server(|server, context| {
                server.handle_message(socket, message, context);
            }),
        }
        true
    }

    fn read_journal(&mut self) {
        while let Some(event) = self.fabric.poll_event() {
            let fabric = &self.fabric;
            self.log.tell(event.at, fabric.name(event.place), || match &event.packet {
                Some(packet) => format!("{}: {packet}", event.what),
                None => event.what.to_string(),
            });
            self.journal.push(event);
        }
    }

    fn happen(&mut self, incident: Incident) {
        match incident.change {
            NetworkChange::Box { name, external, seed } => {
                let placed = self.layout.boxes.iter().find(|placed| placed.name == name);
                if let Some(PlacedBox { spec, place: Place::Machine(node), .. }) = placed {
                    let machine = Middlebox::new(*spec, external, entropy_of(seed), self.now);
                    self.fabric.replace_middlebox(*node, machine, self.now);
                }
            }
            NetworkChange::HostAddresses { name, addresses } => {
                let station = self.stations.iter_mut().find(|station| station.name == name);
                if let Some(station) = station {
                    let addresses: Vec<_> = addresses.iter().map(|(address, _)| *address).collect();
                    station.host.set_addresses(&addresses);
                    station.is_stirred = true;
                }
            }
            NetworkChange::Link { link, is_up } => self.fabric.set_link_up(link, is_up),
        }
        self.step(incident.words);
    }

    fn user(&self, station: usize) -> Option<User> {
        match self.places.iter().position(|place| *place == station) {
            Some(2) => Some(User::Broker),
            Some(place) => Some(User::Peer(place)),
            None => {
                let found = self.proxies.iter().position(|(at, _)| *at == station);
                found.map(User::Proxy)
            }
        }
    }
}

/// Who uses a host.
#[derive(Debug, Clone, Copy)]
enum User {
    /// Originator (0) or responder (1).
    Peer(usize),
    Broker,
    /// The one at that place among all proxies.
    Proxy(usize),
}

/// Whose line it is: each peer counts its own by twos, from its place.
const fn peer_of(line: LineNumber) -> usize {
    (line % 2) as usize
}
