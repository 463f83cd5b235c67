//! The loop that turns the broker, two attempts, their hosts and a star on one virtual clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::{Directory, User};
use simopen_broker::{Broker, BrokerConfig, Forging, LinkId, LinkOrigin, PathEstimate, Transmit};
use simopen_fabric::{Fabric, HOST_LINK_DELAY, LinkSpec, PortId, SourceValidation};
use simopen_nat::MiddleboxSpec;
use simopen_packet::{
    Entropy, Packet, SeqNumber, Syn, SynOptions, TcpBuilder, TcpFlags, Timestamp, Ttl,
};
use simopen_protocol::control::{
    Action, ConnectionRequest, Login, Message, Notification, Probe, Reply, Request, TransactionId,
};
use simopen_protocol::greeting::{GREETING_LEN, encode, presents};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::oracle::BROKER_PORT;
use simopen_scenario::star::Star;
use simopen_traversal::{
    Attempt, AttemptConfig, AttemptOutcome, Command, DialOutcome, FromBroker, Role, SynTemplate,
};

use crate::host::{Host, Port, SCALE, Told, emitted};

/// When `a` asks for the connection; before that both have logged in and proven their ports.
const START: Timestamp = Timestamp::from_nanos(4_000_000_000);
/// No attempt takes longer.
const LIMIT: Timestamp = Timestamp::from_nanos(60_000_000_000);
/// The proven ports.
const PORTS: [u16; 2] = [41_234, 52_345];
/// The ports of connections to the broker: the control connection, the proof, the next proof.
const CONTROL: u16 = 40_001;
const SPARE: u16 = 40_003;

/// What an experiment is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) technique: Technique,
    pub(crate) boxes: [MiddleboxSpec; 2],
    pub(crate) forging: bool,
    pub(crate) conditions: Conditions,
    pub(crate) seed: u64,
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
    /// Connections to the broker, by local port.
    errands: BTreeMap<u16, Errand>,
}

/// A connection to the broker: when its SYN goes out again, from where one came to the broker, and
/// the same once it stands.
#[derive(Default)]
struct Errand {
    again: Option<Timestamp>,
    seen: Option<SocketAddr>,
    observed: Option<SocketAddr>,
}

struct World {
    experiment: Experiment,
    now: Timestamp,
    fabric: Fabric,
    ports: [PortId; 3],
    broker_address: SocketAddr,
    broker: Broker,
    parties: [Party; 2],
    words: BTreeMap<(Timestamp, u64), Word>,
    counter: u64,
    chance: u64,
    trace: Vec<String>,
}

/// Whether it connected, and everything that happened.
pub(crate) fn run(experiment: &Experiment) -> (bool, Vec<String>) {
    let mut world = World::new(experiment);
    let ready = world.prepare();
    if ready {
        world.originate();
        while !world.has_ended() && world.turn() {}
    }
    let confirmed = Some(AttemptOutcome::Confirmed);
    let attempts = world.parties.each_ref().map(|one| one.attempt.as_ref());
    world.trace.extend(attempts.iter().map(|one| format!("{:?}", one.and_then(Attempt::outcome))));
    let scales = world.parties.each_ref().map(|one| one.host.scales());
    let connected = attempts.iter().all(|one| one.and_then(Attempt::outcome) == confirmed);
    // Where one side scales windows and the other does not, a transfer stalls (K42).
    (connected && scales[0] == scales[1], world.trace)
}

impl World {
    fn new(experiment: &Experiment) -> Self {
        let Experiment { conditions, boxes, .. } = *experiment;
        let link = LinkSpec {
            jitter: conditions.jitter,
            loss: conditions.loss,
            ..LinkSpec::with_delay(conditions.leg / 2)
        };
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&experiment.seed.to_le_bytes());
        let entropy = Entropy::new(bytes);
        let validation = if conditions.source_validation {
            SourceValidation::Strict
        } else {
            SourceValidation::Off
        };
        let star = Star {
            boxes: boxes.map(Some),
            links: [link; 3],
            source_validation: validation,
            ..Star::with_leg(conditions.leg)
        };
        let network = star.network(&entropy, Timestamp::ZERO).unwrap();
        let [a, b, c] = [0, 1, 2].map(|place: usize| network.hosts[place].clone());
        let broker_address = SocketAddr::new(c.addresses[0].0, BROKER_PORT);
        let mut directory = Directory::default();
        for host in [0, 1] {
            let user = User { secret: secret(host), communities: ["friends".to_owned()].into() };
            directory.insert(name(host), user);
        }
        let forging = if experiment.forging { Forging::Dangerous } else { Forging::Withheld };
        let own = vec![broker_address.ip()];
        let consent = ConsentPolicy { forging, own, networks: Vec::new() };
        let config = BrokerConfig { consent, arrival: ArrivalConfig::default() };
        let party = |place: usize, address| Party {
            host: Host::new(
                SocketAddr::new(address, PORTS[place]),
                1_000_000_000 * (place as u32 + 1) + (experiment.seed as u32 & 0xffff),
            ),
            attempt: None,
            established: None,
            errands: BTreeMap::new(),
        };
        Self {
            experiment: *experiment,
            now: Timestamp::ZERO,
            fabric: Fabric::new(network.graph, entropy, Timestamp::ZERO),
            ports: [a.port, b.port, c.port],
            broker_address,
            broker: Broker::new(config, directory, Entropy::new([5; 32])),
            parties: [party(0, a.addresses[0].0), party(1, b.addresses[0].0)],
            words: BTreeMap::new(),
            counter: 0,
            chance: experiment.seed,
            trace: Vec::new(),
        }
    }

    /// Both connect to the broker, log in, and prove their port. False where one does not get
    /// that far.
    fn prepare(&mut self) -> bool {
        for (nth, which) in [CONTROL, 0].into_iter().enumerate() {
            for host in [0, 1] {
                let port = if which == 0 { PORTS[host] } else { which };
                self.errand(host, port);
            }
            let until = Timestamp::ZERO + Duration::from_secs(2 * (nth as u64 + 1));
            self.turn_network(until);
        }
        let observed = |party: &Party, port: u16| party.errands.get(&port)?.observed;
        for host in [0, 1] {
            let party = &self.parties[host];
            if observed(party, CONTROL).is_none() || observed(party, PORTS[host]).is_none() {
                return false;
            }
        }
        self.now = START;
        for host in [0, 1] {
            self.prove(host);
        }
        while self.broker.poll_transmit().is_some() {}
        true
    }

    fn prove(&mut self, host: usize) {
        let link = control_link(host);
        let control = self.parties[host].errands[&CONTROL].observed.unwrap();
        self.broker.handle_link(link, LinkOrigin { remote: control, syn: None }, self.now);
        let login = Login { user: name(host), secret: secret(host) };
        let request = Request::new(TransactionId(0), Action::Login(login));
        self.broker.handle_request(link, request, self.now);
        let logged_in = std::iter::from_fn(|| self.broker.poll_transmit()).find_map(|one| {
            let Transmit::Message(_, Message::Response(response)) = one else { return None };
            let Ok(Reply::LoggedIn(logged_in)) = response.result else { return None };
            Some(logged_in)
        });
        let logged_in = logged_in.unwrap();
        let round_trip = 2 * self.to_broker();
        self.broker.handle_path(link, PathEstimate { round_trip });
        let observed = self.parties[host].errands[&PORTS[host]].observed.unwrap();
        let needs_proof = self.experiment.technique.needs_forging();
        let probe = Probe {
            peer: logged_in.peer,
            secret: logged_in.probe_secret,
            port: PORTS[host],
            sequence: needs_proof.then(|| errand_syn(observed, self.broker_address).sequence),
        };
        let request = Request::new(TransactionId(0), Action::Probe(probe));
        self.broker.handle_request(probe_link(observed), request, self.now);
    }

    /// Opens a connection to the broker.
    fn errand(&mut self, host: usize, port: u16) {
        self.parties[host]
            .errands
            .insert(port, Errand { again: Some(self.now), ..Errand::default() });
        self.turn_errands(host);
    }

    fn turn_errands(&mut self, host: usize) {
        let local = self.parties[host].host.local().ip();
        let mut due = Vec::new();
        for (port, errand) in &mut self.parties[host].errands {
            if errand.again.is_some_and(|at| at <= self.now) {
                errand.again = Some(self.now + Duration::from_millis(300));
                due.push(errand_syn(SocketAddr::new(local, *port), self.broker_address));
            }
        }
        for syn in due {
            self.send(host, &emitted(&syn));
        }
    }

    fn originate(&mut self) {
        let config = self.attempt_config(0);
        let attempt = Attempt::originate(config, name(1), Entropy::new([21; 32]), self.now);
        self.parties[0].attempt = Some(attempt);
        self.errand(0, SPARE);
        self.drain();
    }

    fn attempt_config(&self, host: usize) -> AttemptConfig {
        let Conditions { skew_a, skew_b, .. } = self.experiment.conditions;
        AttemptConfig {
            technique: self.experiment.technique,
            local: self.parties[host].host.local(),
            observed: self.parties[host].errands[&PORTS[host]].observed.unwrap(),
            broker: self.broker_address.ip(),
            gateway: None,
            round_trip: 2 * self.to_broker(),
            kernel_ttl: None,
            low_ttl: Ttl(2),
            syn: SynTemplate { window_scale: Some(SCALE), ..SynTemplate::default() },
            start_skew: [skew_a, skew_b][host],
        }
    }

    fn to_broker(&self) -> Duration {
        self.experiment.conditions.leg + HOST_LINK_DELAY
    }

    fn has_ended(&self) -> bool {
        let ended =
            |party: &Party| party.attempt.as_ref().is_some_and(|one| one.outcome().is_some());
        self.parties.iter().all(ended) || self.now > LIMIT
    }

    /// Goes to the next moment at which anything is due. `false` where nothing is.
    fn turn(&mut self) -> bool {
        let parties = self.parties.iter();
        let of_parties = parties.flat_map(|party| {
            let attempt = party.attempt.as_ref().and_then(Attempt::poll_timeout);
            let errands = party.errands.values().filter_map(|errand| errand.again).min();
            [attempt.map(|(at, _)| at), party.host.poll_timeout(), errands]
        });
        let next = of_parties
            .flatten()
            .chain(self.words.keys().next().map(|(at, _)| *at))
            .chain(self.fabric.poll_timeout().map(|(at, _)| at))
            .chain(self.broker.poll_timeout().map(|(at, _)| at))
            .min();
        let Some(next) = next else {
            return false;
        };
        self.now = self.now.max(next);
        self.fabric.handle_timeout(self.now);
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
            self.turn_errands(host);
        }
        self.drain();
        true
    }

    /// Before the attempt only the network and the connections to the broker are turned.
    fn turn_network(&mut self, until: Timestamp) {
        loop {
            let errands = self.parties.iter().flat_map(|party| party.errands.values());
            let again = errands.filter_map(|errand| errand.again);
            let next = again.chain(self.fabric.poll_timeout().map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at < until) else {
                break;
            };
            self.now = self.now.max(next);
            self.fabric.handle_timeout(self.now);
            self.deliver();
            self.turn_errands(0);
            self.turn_errands(1);
        }
        self.now = until;
    }

    fn turn_host(&mut self, host: usize) {
        let party = &mut self.parties[host];
        if let Some(syn) = party.host.handle_timeout(self.now)
            && let Some(attempt) = &mut party.attempt
        {
            attempt.handle_syn(&syn, self.now);
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
        self.errand(host, SPARE);
    }

    fn deliver(&mut self) {
        while let Some(delivery) = self.fabric.poll_transmit() {
            let packet = delivery.packet.as_slice().to_vec();
            self.fabric.recycle(delivery.packet);
            match self.ports.iter().position(|port| *port == delivery.port).unwrap() {
                2 => self.greeted_by_kernel(&packet),
                host => self.received(host, &packet),
            }
        }
        while let Some(event) = self.fabric.poll_event() {
            self.trace.push(event.to_string());
        }
    }

    /// A packet came to the broker's listener: its kernel answers SYNs.
    fn greeted_by_kernel(&mut self, packet: &[u8]) {
        let Ok(syn) = Syn::parse(packet) else {
            return;
        };
        let answer = TcpBuilder {
            source: syn.destination,
            destination: syn.source,
            ttl: Ttl::DEFAULT,
            sequence: SeqNumber(u32::from(syn.source.port()) << 10),
            acknowledgment: syn.sequence + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK,
            window: 64_240,
        };
        let mut buffer = [0; 60];
        let length = answer.emit(&[], &[], &mut buffer).unwrap();
        let origin = LinkOrigin { remote: syn.source, syn: Some(syn) };
        self.broker.handle_link(probe_link(syn.source), origin, self.now);
        // No box changes windows: this one tells whose SYN it is.
        let owner = syn.window;
        for party in &mut self.parties {
            let local = party.host.local();
            if let Some((_, errand)) =
                party.errands.iter_mut().find(|(port, _)| mark(local, **port) == owner)
            {
                errand.seen = Some(syn.source);
            }
        }
        self.send(2, &buffer[..length]);
    }

    /// What came from the broker's port belongs to an errand, the rest to the attempt.
    fn received(&mut self, host: usize, bytes: &[u8]) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        if packet.source_endpoint() == Some(self.broker_address) {
            return self.errand_stands(host, &packet);
        }
        let now = self.now;
        let party = &mut self.parties[host];
        let told = party.host.handle_packet(bytes, now);
        let (Some(attempt), Some(told)) = (&mut party.attempt, told) else {
            return;
        };
        match told {
            Told::Swallowed => attempt.handle_packet(bytes, now),
            Told::Established => self.established(host),
            Told::Refused => attempt.handle_outcome(DialOutcome::Refused, now),
            Told::Unreachable => attempt.handle_outcome(DialOutcome::Unreachable, now),
            Told::Accepted => party.established = Some(now),
            Told::Reset => attempt.handle_reset(now),
            Told::Data => {}
        }
        self.data(host);
    }

    fn errand_stands(&mut self, host: usize, packet: &Packet<'_>) {
        let (Some(segment), Some(local)) = (packet.tcp(), packet.destination_endpoint()) else {
            return;
        };
        let Some(errand) = self.parties[host].errands.get_mut(&local.port()) else { return };
        if !segment.flags.is_syn_ack() || errand.again.take().is_none() {
            return;
        }
        errand.observed = errand.seen;
        let ack = TcpBuilder {
            source: local,
            destination: self.broker_address,
            ttl: Ttl::DEFAULT,
            sequence: segment.acknowledgment,
            acknowledgment: segment.sequence + 1,
            flags: TcpFlags::ACK,
            window: 64_240,
        };
        let mut buffer = [0; 60];
        let length = ack.emit(&[], &[], &mut buffer).unwrap();
        self.send(host, &buffer[..length]);
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

    fn data(&mut self, host: usize) {
        let now = self.now;
        let party = &mut self.parties[host];
        let Ok(greeting) = <[u8; GREETING_LEN]>::try_from(party.host.received.as_slice()) else {
            return;
        };
        party.host.received.clear();
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
                self.send(host, &packet);
            }
        }
        while let Some(forged) = self.broker.poll_forge() {
            self.send(2, forged.packet());
        }
        while let Some(transmit) = self.broker.poll_transmit() {
            let Transmit::Message(link, message) = transmit else { continue };
            let host = usize::try_from(link.0).unwrap();
            self.speak(Word::ToHost(host, message));
        }
        while self.broker.poll_event().is_some() {}
    }

    fn drain_attempt(&mut self, host: usize) {
        while let Some(command) =
            self.parties[host].attempt.as_mut().and_then(Attempt::poll_command)
        {
            self.trace.push(format!("{} {host} {command:?}", self.now));
            self.carry_out(host, &command);
        }
        while let Some(event) = self.parties[host].attempt.as_mut().and_then(Attempt::poll_event) {
            self.trace.push(format!("{} {host} {:?}", event.at, event.what));
        }
        while let Some(action) = self.parties[host].attempt.as_mut().and_then(Attempt::poll_message)
        {
            self.counter += 1;
            let id = TransactionId(u32::try_from(self.counter).unwrap());
            self.speak(Word::ToBroker(host, Request::new(id, action)));
        }
    }

    fn carry_out(&mut self, host: usize, command: &Command) {
        let now = self.now;
        let party = &mut self.parties[host];
        match *command {
            Command::Dial { remote, ttl, .. } => {
                party.host.dial(remote, ttl.unwrap_or(Ttl::DEFAULT), now);
                self.turn_host(host);
            }
            Command::Punch { remote, ttl, .. } => {
                party.host.dial(remote, ttl, now);
                self.turn_host(host);
            }
            Command::RaiseTtl => party.host.raise_ttl(),
            Command::Listen { .. } => party.host.port = Port::Listening,
            Command::Swallow { .. } => party.host.port = Port::Swallowing,
            Command::Emit(syn) => party.host.outgoing.push(emitted(&syn)),
            Command::Install { own, answer } => {
                party.host.install(&own, &answer);
                self.established(host);
            }
            Command::Abandon => party.host.port = Port::Closed,
            // A command of a newer machine.
            _ => panic!("{command:?}"),
        }
    }

    /// Words take the way to the broker; what is lost of them is sent again.
    fn speak(&mut self, word: Word) {
        let Conditions { loss, jitter, .. } = self.experiment.conditions;
        let mut delay = self.to_broker() + (jitter * 2).mul_f64(self.part());
        let mut timeout = Duration::from_millis(200) + 2 * self.to_broker();
        while loss > 0.0 && self.part() > (1.0 - loss).powi(2) {
            delay += timeout;
            timeout *= 2;
        }
        self.counter += 1;
        self.words.insert((self.now + delay, self.counter), word);
    }

    fn part(&mut self) -> f64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        f64::from((self.chance >> 32) as u32) / 2_f64.powi(32)
    }

    fn send(&mut self, port: usize, packet: &[u8]) {
        let mut buffer = self.fabric.buffer();
        buffer.fill(packet).unwrap();
        self.fabric.handle_packet(self.ports[port], buffer, self.now);
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

fn probe_link(from: SocketAddr) -> LinkId {
    let address = match from.ip() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(_) => 0,
    };
    LinkId((u64::from(address) << 16) | u64::from(from.port()))
}

/// The SYN of a connection to the broker.
fn errand_syn(source: SocketAddr, destination: SocketAddr) -> Syn {
    Syn {
        source,
        destination,
        sequence: SeqNumber(4_000_000_000),
        window: mark(source, source.port()),
        ttl: Ttl::DEFAULT,
        ecn_setup: false,
        options: SynOptions::default(),
    }
}

/// A number that tells apart whose connection to the broker it is.
fn mark(host: SocketAddr, port: u16) -> u16 {
    let address = match host.ip() {
        IpAddr::V4(address) => address.octets()[2],
        IpAddr::V6(address) => address.octets()[5],
    };
    port ^ (u16::from(address) << 5)
}
