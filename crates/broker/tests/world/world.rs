//! The loop that turns broker, attempts, hosts and network on one virtual clock.

use std::collections::BTreeMap;
use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::{Directory, User};
use simopen_broker::{
    Broker, BrokerConfig, Forging, LinkId, LinkOrigin, PathEstimate, Transmit, What as BrokerWhat,
};
use simopen_fabric::{DropReason, FabricEvent, Happening, Place};
use simopen_packet::{Entropy, SeqNumber, Syn, SynOptions, Timestamp, Ttl};
use simopen_protocol::control::{
    Action, ConnectionRequest, Login, Message, Notification, Probe, Reply, Request, TransactionId,
};
use simopen_protocol::greeting::{GREETING_LEN, encode, presents};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use simopen_traversal::{
    Attempt, AttemptConfig, AttemptOutcome, Command, DialOutcome, FromBroker, Role, SynTemplate,
    What,
};

use crate::host::{Host, Port, Told, emitted};
use crate::network::{BROKER, Distances, Nat, Network, local, public};

/// When `a` asks for the connection; before that both have logged in and proven their ports.
pub(crate) const START: Timestamp = Timestamp::from_nanos(2_000_000_000);

/// No attempt takes longer.
const LIMIT: Timestamp = Timestamp::from_nanos(40_000_000_000);

/// What an experiment is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) technique: Technique,
    pub(crate) distances: Distances,
    pub(crate) boxes: [Nat; 2],
    pub(crate) forging: Forging,
    pub(crate) arrival: ArrivalConfig,
    /// Added to what the broker says to each host.
    pub(crate) late_words: [Duration; 2],
    /// How long a busy host takes to send a SYN that it has reported as sent.
    pub(crate) late_syns: [Duration; 2],
    /// How much later than agreed each host begins.
    pub(crate) start_skew: [Duration; 2],
    /// Whether the core answers a packet whose TTL is used up.
    pub(crate) time_exceeded: bool,
    /// Whether dials with a low TTL are shielded from ICMP errors.
    pub(crate) shielded: bool,
    /// Whether the broker has measured how far its peers are.
    pub(crate) paths_are_known: bool,
}

/// What became of it.
pub(crate) struct Report {
    pub(crate) outcomes: [Option<AttemptOutcome>; 2],
    /// When each side was established, since the request.
    pub(crate) established: [Option<Duration>; 2],
    /// When the first byte of the other side arrived, since the request.
    pub(crate) first_byte: [Option<Duration>; 2],
    pub(crate) syns: [usize; 2],
    pub(crate) forged: usize,
    /// When the last attempt had ended, since the request.
    pub(crate) ended: Duration,
    /// Everything that happened, in order.
    pub(crate) trace: Vec<String>,
    pub(crate) journal: Vec<FabricEvent>,
    places: [Place; 2],
}

impl Report {
    pub(crate) fn is_connected(&self) -> bool {
        self.outcomes == [Some(AttemptOutcome::Confirmed); 2]
    }

    /// Why the box of a host dropped packets.
    pub(crate) fn dropped_by_box(&self, host: usize) -> Vec<simopen_nat::DropReason> {
        let at_box = self.journal.iter().filter(|event| event.place == self.places[host]);
        let reason = |event: &FabricEvent| {
            let Happening::Dropped(DropReason::Middlebox(reason)) = event.what else {
                return None;
            };
            Some(reason)
        };
        at_box.filter_map(reason).collect()
    }
}

enum Word {
    ToBroker(usize, Request),
    ToHost(usize, Message),
}

/// One of the two who want to be connected.
struct Party {
    host: Host,
    attempt: Option<Attempt>,
    established: Option<Timestamp>,
    first_byte: Option<Timestamp>,
    syns: usize,
    received: Vec<u8>,
}

struct World {
    experiment: Experiment,
    now: Timestamp,
    network: Network,
    broker: Broker,
    parties: [Party; 2],
    words: BTreeMap<(Timestamp, u64), Word>,
    counter: u64,
    forged: usize,
    trace: Vec<String>,
    journal: Vec<FabricEvent>,
}

/// Runs an experiment.
pub(crate) fn run(experiment: Experiment) -> Report {
    let mut world = World::new(experiment);
    world.prepare();
    world.originate();
    while !world.has_ended() && world.turn() {}
    let since = |at: Option<Timestamp>| at.map(|at| at - START);
    let World { parties, forged, trace, journal, network, now, .. } = world;
    Report {
        outcomes: parties.each_ref().map(|one| one.attempt.as_ref().and_then(Attempt::outcome)),
        established: parties.each_ref().map(|one| since(one.established)),
        first_byte: parties.each_ref().map(|one| since(one.first_byte)),
        syns: parties.each_ref().map(|one| one.syns),
        forged,
        ended: now - START,
        trace,
        journal,
        places: network.boxes.map(Place::Node),
    }
}

impl World {
    fn new(experiment: Experiment) -> Self {
        let mut directory = Directory::default();
        for host in [0, 1] {
            let user = User { secret: secret(host), communities: ["friends".to_owned()].into() };
            directory.insert(name(host), user);
        }
        let own = vec![BROKER.parse::<std::net::SocketAddr>().unwrap().ip()];
        let consent = ConsentPolicy { forging: experiment.forging, own, networks: Vec::new() };
        let config = BrokerConfig { consent, arrival: experiment.arrival };
        let party = || Party {
            host: Host { is_shielded: experiment.shielded, ..Host::default() },
            attempt: None,
            established: None,
            first_byte: None,
            syns: 0,
            received: Vec::new(),
        };
        Self {
            experiment,
            now: Timestamp::ZERO,
            network: Network::new(experiment.distances, experiment.boxes, experiment.time_exceeded),
            broker: Broker::new(config, directory, Entropy::new([5; 32])),
            parties: [party(), party()],
            words: BTreeMap::new(),
            counter: 0,
            forged: 0,
            trace: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// Both log in and prove their port: the SYN of the probe goes through the network, and what
    /// arrives at the broker's port is what the broker sees of it.
    fn prepare(&mut self) {
        let mut secrets = Vec::new();
        for host in [0, 1] {
            let remote = std::net::SocketAddr::new(public(host).ip(), 30_000);
            let link = control_link(host);
            self.broker.handle_link(link, LinkOrigin { remote, syn: None }, self.now);
            let login = Login { user: name(host), secret: secret(host) };
            let request = Request::new(TransactionId(0), Action::Login(login));
            self.broker.handle_request(link, request, self.now);
            let logged_in = std::iter::from_fn(|| self.broker.poll_transmit()).find_map(|one| {
                let Transmit::Message(_, Message::Response(response)) = one else { return None };
                let Ok(Reply::LoggedIn(logged_in)) = response.result else { return None };
                Some(logged_in)
            });
            secrets.push(logged_in.unwrap());
            let round_trip = 2 * self.experiment.distances.to_broker(host);
            if self.experiment.paths_are_known {
                self.broker.handle_path(link, PathEstimate { round_trip });
            }
            self.send(host, &emitted(&probe_syn(host)));
        }
        while self.turn_network() {}
        for (host, logged_in) in secrets.into_iter().enumerate() {
            let probe = Probe {
                peer: logged_in.peer,
                secret: logged_in.probe_secret,
                port: local(host).port(),
                sequence: Some(probe_syn(host).sequence),
            };
            let request = Request::new(TransactionId(0), Action::Probe(probe));
            self.broker.handle_request(probe_link(public(host)), request, self.now);
        }
        while self.broker.poll_transmit().is_some() {}
        self.note_broker();
    }

    fn originate(&mut self) {
        self.now = START;
        let config = self.attempt_config(0);
        let attempt = Attempt::originate(config, name(1), Entropy::new([21; 32]), self.now);
        self.parties[0].attempt = Some(attempt);
        self.drain();
    }

    fn attempt_config(&self, host: usize) -> AttemptConfig {
        AttemptConfig {
            technique: self.experiment.technique,
            local: local(host),
            observed: public(host),
            broker: BROKER.parse::<std::net::SocketAddr>().unwrap().ip(),
            gateway: None,
            round_trip: 2 * self.experiment.distances.to_broker(host),
            kernel_ttl: None,
            low_ttl: Ttl(2),
            syn: SynTemplate::default(),
            start_skew: self.experiment.start_skew[host],
        }
    }

    fn has_ended(&self) -> bool {
        let ended =
            |party: &Party| party.attempt.as_ref().is_some_and(|one| one.outcome().is_some());
        self.parties.iter().all(ended) || self.now > LIMIT
    }

    /// Goes to the next moment at which anything is due. `false` where nothing is.
    fn turn(&mut self) -> bool {
        let attempts = self
            .parties
            .iter()
            .filter_map(|party| party.attempt.as_ref()?.poll_timeout().map(|(at, _)| at));
        let hosts = self.parties.iter().filter_map(|party| party.host.poll_timeout());
        let next = attempts
            .chain(hosts)
            .chain(self.words.keys().next().map(|(at, _)| *at))
            .chain(self.network.fabric.poll_timeout().map(|(at, _)| at))
            .chain(self.broker.poll_timeout().map(|(at, _)| at))
            .min();
        let Some(next) = next else {
            return false;
        };
        self.now = self.now.max(next);
        self.network.fabric.handle_timeout(self.now);
        self.deliver();
        while let Some((&key, _)) = self.words.first_key_value()
            && key.0 <= self.now
        {
            let word = self.words.remove(&key).unwrap();
            self.say(word);
        }
        self.broker.handle_timeout(self.now);
        for host in [0, 1] {
            if let Some(attempt) = &mut self.parties[host].attempt {
                attempt.handle_timeout(self.now);
            }
            self.turn_host(host);
        }
        self.drain();
        true
    }

    /// Before the attempt only the network is turned, and only until its packets have arrived.
    fn turn_network(&mut self) -> bool {
        let next = self.network.fabric.poll_timeout().map(|(at, _)| at);
        let Some(next) = next.filter(|at| *at < START) else {
            return false;
        };
        self.now = next;
        self.network.fabric.handle_timeout(next);
        self.deliver();
        true
    }

    fn turn_host(&mut self, host: usize) {
        let party = &mut self.parties[host];
        if let Some(syn) = party.host.handle_timeout(self.now) {
            party.syns += 1;
            if let Some(attempt) = &mut party.attempt {
                attempt.handle_syn(&syn, self.now);
            }
        }
    }

    fn say(&mut self, word: Word) {
        match word {
            Word::ToBroker(host, request) => {
                self.broker.handle_request(control_link(host), request, self.now);
            }
            Word::ToHost(host, message) => self.hear(host, message),
        }
    }

    fn hear(&mut self, host: usize, message: Message) {
        let heard = match message {
            Message::Response(response) => match response.result {
                Ok(Reply::Accepted(accepted)) => FromBroker::Accepted(accepted),
                Ok(Reply::LoggedIn(_) | Reply::Observed(_) | Reply::Done) => return,
                Err(name) if name.0 == "unknown-session" => return,
                Err(name) => FromBroker::Refused(name.cause()),
            },
            Message::Notification(Notification::ConnectionRequest(request)) => {
                return self.asked(host, &request);
            }
            Message::Notification(Notification::PeerOutcome(outcome)) => {
                FromBroker::PeerOutcome(outcome.state)
            }
            Message::Notification(_) | Message::Request(_) => return,
        };
        if let Some(attempt) = &mut self.parties[host].attempt {
            attempt.handle_message(&heard, self.now);
        }
    }

    fn asked(&mut self, host: usize, request: &ConnectionRequest) {
        let config = self.attempt_config(host);
        let attempt = Attempt::respond(config, request, Entropy::new([22; 32]), self.now);
        self.parties[host].attempt = Some(attempt);
    }

    fn deliver(&mut self) {
        while let Some(delivery) = self.network.fabric.poll_transmit() {
            let packet = delivery.packet.as_slice().to_vec();
            self.network.fabric.recycle(delivery.packet);
            match self.network.ports.iter().position(|port| *port == delivery.port).unwrap() {
                2 => self.probed(&packet),
                host => self.received(host, &packet),
            }
        }
        while let Some(event) = self.network.fabric.poll_event() {
            self.trace.push(event.to_string());
            self.journal.push(event);
        }
    }

    /// A SYN came to the broker's listener.
    fn probed(&mut self, packet: &[u8]) {
        if let Ok(syn) = Syn::parse(packet) {
            let origin = LinkOrigin { remote: syn.source, syn: Some(syn) };
            self.broker.handle_link(probe_link(syn.source), origin, self.now);
        }
    }

    fn received(&mut self, host: usize, packet: &[u8]) {
        let now = self.now;
        let party = &mut self.parties[host];
        let told = party.host.handle_packet(packet);
        let (Some(attempt), Some(told)) = (&mut party.attempt, told) else {
            return;
        };
        match told {
            Told::Swallowed => attempt.handle_packet(packet, now),
            Told::Established => self.established(host),
            Told::Refused => attempt.handle_outcome(DialOutcome::Refused, now),
            Told::Unreachable => attempt.handle_outcome(DialOutcome::Unreachable, now),
            Told::Accepted => party.established = Some(now),
            Told::Reset => attempt.handle_reset(now),
            Told::Data(bytes) => self.data(host, &bytes),
        }
    }

    /// The originator speaks first.
    fn established(&mut self, host: usize) {
        let now = self.now;
        let party = &mut self.parties[host];
        party.established = Some(now);
        let attempt = party.attempt.as_mut().unwrap();
        attempt.handle_outcome(DialOutcome::Established, now);
        if attempt.role() == Role::Originator {
            let own = attempt.greetings().unwrap().own;
            party.host.write(&encode(&own), now);
        }
    }

    fn data(&mut self, host: usize, bytes: &[u8]) {
        let now = self.now;
        let party = &mut self.parties[host];
        party.first_byte.get_or_insert(now);
        party.received.extend_from_slice(bytes);
        let Ok(greeting) = <[u8; GREETING_LEN]>::try_from(party.received.as_slice()) else {
            return;
        };
        let attempt = party.attempt.as_mut().unwrap();
        let greetings = attempt.greetings().unwrap();
        assert!(presents(&greeting, &greetings.peer), "nobody else can speak on this connection");
        match party.established {
            Some(since) if attempt.established_at().is_none() => {
                attempt.handle_accepted(since, now);
            }
            Some(_) | None => attempt.handle_greeting(now),
        }
        if attempt.role() == Role::Responder {
            party.host.write(&encode(&greetings.own), now);
        }
    }

    /// Carries out everything that anybody wants done.
    fn drain(&mut self) {
        for host in [0, 1] {
            self.drain_attempt(host);
            for packet in std::mem::take(&mut self.parties[host].host.outgoing) {
                let late = if Syn::parse(&packet).is_ok() {
                    self.experiment.late_syns[host]
                } else {
                    Duration::ZERO
                };
                self.send_at(self.now + late, host, &packet);
            }
        }
        while let Some(forged) = self.broker.poll_forge() {
            self.forged += 1;
            self.send(2, forged.packet());
        }
        while let Some(transmit) = self.broker.poll_transmit() {
            let Transmit::Message(link, message) = transmit else { continue };
            let host = usize::try_from(link.0).unwrap();
            let late = self.experiment.late_words[host];
            self.speak(host, late, Word::ToHost(host, message));
        }
        self.note_broker();
    }

    fn drain_attempt(&mut self, host: usize) {
        while let Some(command) =
            self.parties[host].attempt.as_mut().and_then(Attempt::poll_command)
        {
            self.trace.push(format!("{} {host} {command:?}", self.now));
            self.carry_out(host, &command);
        }
        while let Some(event) = self.parties[host].attempt.as_mut().and_then(Attempt::poll_event) {
            if let What::SynSent { .. } = event.what {
                self.trace.push(format!("{} {host} SYN", event.at));
            } else {
                self.trace.push(format!("{} {host} {:?}", event.at, event.what));
            }
        }
        while let Some(action) = self.parties[host].attempt.as_mut().and_then(Attempt::poll_message)
        {
            self.counter += 1;
            let id = TransactionId(u32::try_from(self.counter).unwrap());
            self.speak(host, Duration::ZERO, Word::ToBroker(host, Request::new(id, action)));
        }
    }

    fn carry_out(&mut self, host: usize, command: &Command) {
        let now = self.now;
        let party = &mut self.parties[host];
        match *command {
            Command::Dial { local, remote, ttl, .. } => {
                party.host.dial([local, remote], ttl.unwrap_or(Ttl::DEFAULT), now);
                self.turn_host(host);
            }
            Command::Punch { local, remote, ttl } => {
                party.host.dial([local, remote], ttl, now);
                self.turn_host(host);
            }
            Command::RaiseTtl => party.host.raise_ttl(),
            Command::Listen { local } => party.host.port = Port::Listening(local),
            Command::Swallow { .. } => party.host.port = Port::Swallowing,
            Command::Emit(syn) => {
                party.syns += 1;
                party.host.outgoing.push(emitted(&syn));
            }
            Command::Install { own, answer } => {
                party.host.install(&own, &answer);
                self.established(host);
            }
            Command::Abandon => party.host.port = Port::Closed,
            // A command of a newer machine.
            _ => panic!("{command:?}"),
        }
    }

    /// Words take the way to the broker, one after the other.
    fn speak(&mut self, host: usize, late: Duration, word: Word) {
        self.counter += 1;
        let arrives = self.now + self.experiment.distances.to_broker(host) + late;
        self.words.insert((arrives, self.counter), word);
    }

    fn send(&mut self, port: usize, packet: &[u8]) {
        self.send_at(self.now, port, packet);
    }

    fn send_at(&mut self, at: Timestamp, port: usize, packet: &[u8]) {
        let mut buffer = self.network.fabric.buffer();
        buffer.fill(packet).unwrap();
        self.network.fabric.handle_packet(self.network.ports[port], buffer, at);
    }

    fn note_broker(&mut self) {
        while let Some(event) = self.broker.poll_event() {
            if let BrokerWhat::Refused { violation, .. } = event.what {
                panic!("nothing here breaks a rule: {violation:?}");
            }
            self.trace.push(format!("{} broker {:?}", event.at, event.what));
        }
    }
}

fn name(host: usize) -> UserId {
    UserId::new(["alice", "bob"][host]).unwrap()
}

fn secret(host: usize) -> Token {
    Token::from_random([host as u8 + 1; 32])
}

fn control_link(host: usize) -> LinkId {
    LinkId(host as u64)
}

fn probe_link(from: std::net::SocketAddr) -> LinkId {
    LinkId(u64::from(from.port()))
}

fn probe_syn(host: usize) -> Syn {
    Syn {
        source: local(host),
        destination: BROKER.parse().unwrap(),
        sequence: SeqNumber(4_000_000_000 + host as u32),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::default(),
    }
}
