//! One device: what the client library does with sockets and tasks, without either.

mod driving;
mod greeting;
mod listening;
mod ports;
mod reach;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use simopen_packet::{Entropy, Timestamp, Ttl};
use simopen_protocol::control::{Action, ConnectionRequest, Login, Message, Reachable, Request};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use simopen_scenario::proxies::Path;
use simopen_traversal::probe::ProvenPort;
use simopen_traversal::signalling::{FIRST, Heard, Signalling, login_answer};
use simopen_traversal::{Attempt, AttemptConfig, AttemptOutcome, Event, Failure, SynTemplate};

pub(crate) use self::driving::Connection;
use self::driving::Driving;
use self::ports::{Port, Ports};
use self::reach::{Reach, Reached};
use crate::host::{HostEvent, SocketId, WINDOW_SCALE};
use crate::lines::{LineNumber, Lines, text};
use crate::trial::{Carriage, Slowness};
use crate::world::Context;

/// TTL of SYNs that shall pass the own box and die before the other side's, as the client library
/// has it.
const LOW_TTL: Ttl = Ttl(2);

/// What a peer is told before it logs in.
#[derive(Debug, Clone)]
pub(crate) struct PeerConfig {
    /// Which of the two it is: 0 originates, 1 responds.
    pub(crate) place: u8,
    pub(crate) address: IpAddr,
    pub(crate) broker: SocketAddr,
    pub(crate) user: UserId,
    pub(crate) secret: Token,
    pub(crate) start_skew: Duration,
    pub(crate) slowness: Slowness,
    pub(crate) icmp_shield: bool,
    pub(crate) carriage: Carriage,
    /// How it comes to the broker and to the relay, and its proxy, if it has one.
    pub(crate) paths: [Path; 2],
    pub(crate) proxy: Option<SocketAddr>,
    /// Whether it keeps a port that is proven to the broker.
    pub(crate) proves: bool,
}

/// One device.
#[derive(Debug)]
pub(crate) struct Peer {
    config: PeerConfig,
    /// What the attempt's chance follows from.
    entropy: [u8; 32],
    lines: Lines,
    next_line: LineNumber,
    link: ControlLink,
    /// The control link while it is dialled.
    reach: Option<Reach>,
    ports: Option<Ports>,
    signalling: Signalling<()>,
    /// What the broker has said and is not read yet, and when it will be.
    unread: VecDeque<(Timestamp, Message)>,
    /// Attempts that wait for a port.
    wanted: VecDeque<Wanted>,
    driving: Option<Driving>,
    /// What its attempts told.
    pub(crate) events: Vec<Event>,
    end: Option<End>,
    /// How long it took, once logged in, to prove the first port.
    gathered: Option<Duration>,
    /// The port that its attempt took.
    port: Option<ProvenPort>,
    /// Connections that have ended since they were confirmed.
    ended: Vec<SocketId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ControlLink {
    None,
    Dialling(SocketId),
    LoggingIn(SocketId),
    LoggedIn { socket: SocketId, since: Timestamp },
    Lost,
}

#[derive(Debug)]
enum Wanted {
    Connection(UserId, Technique),
    Answer(Box<ConnectionRequest>),
}

impl Wanted {
    const fn technique(&self) -> Technique {
        match self {
            Self::Connection(_, technique) => *technique,
            Self::Answer(request) => request.technique,
        }
    }
}

/// How a peer's attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With a connection, established at that time.
    Connected(Connection, Timestamp),
    /// Without.
    Failed(Failure),
}

impl Peer {
    pub(crate) fn new(config: PeerConfig, entropy: Entropy) -> Self {
        Self {
            lines: Lines::new(config.carriage),
            next_line: LineNumber::from(config.place),
            entropy: entropy.into_bytes(),
            link: ControlLink::None,
            reach: None,
            ports: None,
            signalling: Signalling::default(),
            unread: VecDeque::new(),
            wanted: VecDeque::new(),
            driving: None,
            events: Vec::new(),
            end: None,
            gathered: None,
            port: None,
            ended: Vec::new(),
            config,
        }
    }

    /// Begins to log in.
    pub(crate) fn log_in(&mut self, context: &mut Context<'_>) {
        let reach = Reach::begin(self.config.broker, None, &self.config, context);
        self.link = ControlLink::Dialling(reach.socket);
        self.reach = Some(reach);
    }

    /// Since when it is logged in.
    pub(crate) const fn logged_in(&self) -> Option<Timestamp> {
        match self.link {
            ControlLink::LoggedIn { since, .. } => Some(since),
            ControlLink::None
            | ControlLink::Dialling(_)
            | ControlLink::LoggingIn(_)
            | ControlLink::Lost => None,
        }
    }

    /// Whether it has what an attempt needs: a port that is proven to the broker, if any.
    pub(crate) fn is_ready(&self) -> bool {
        !self.config.proves || self.ports.as_ref().is_some_and(Ports::is_ready)
    }

    /// How long it took, once logged in, to prove a port.
    pub(crate) const fn gathered(&self) -> Option<Duration> {
        self.gathered
    }

    /// The port that its attempt took.
    pub(crate) const fn port(&self) -> Option<ProvenPort> {
        self.port
    }

    /// Whether a connection that was confirmed has ended.
    pub(crate) fn has_lost(&self, connection: SocketId) -> bool {
        self.ended.contains(&connection)
    }

    /// The measured round trip to the broker.
    pub(crate) fn round_trip(&self, context: &Context<'_>) -> Duration {
        let socket = match self.link {
            ControlLink::LoggedIn { socket, .. } | ControlLink::LoggingIn(socket) => Some(socket),
            ControlLink::None | ControlLink::Dialling(_) | ControlLink::Lost => None,
        };
        socket.and_then(|socket| context.host.round_trip(socket)).unwrap_or_default()
    }

    /// Opens a connection to another user.
    pub(crate) fn connect(&mut self, to: UserId, technique: Technique, context: &mut Context<'_>) {
        self.wanted.push_back(Wanted::Connection(to, technique));
        self.work(context);
    }

    /// How its attempt ended, once it has.
    pub(crate) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The documents that it sends beside the network.
    pub(crate) const fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Takes what happened at the host.
    pub(crate) fn handle_event(&mut self, event: HostEvent, context: &mut Context<'_>) {
        if let Some(mut reach) = self.reach.take() {
            match reach.handle_event(&event, context) {
                Reached::Waiting => self.reach = Some(reach),
                Reached::There(socket) => self.log_in_on(socket, context),
                Reached::Failed(_) => {
                    reach.close(context);
                    self.lost(reach.socket, context);
                }
            }
        }
        match &event {
            HostEvent::Established(socket) => self.dialled(*socket, context),
            HostEvent::SynSent { socket, packet } => {
                if let Some(ports) = &mut self.ports {
                    ports.syn_sent(*socket, packet);
                }
            }
            HostEvent::Readable(socket) if self.lines.contains(*socket) => {
                return self.read(*socket, context);
            }
            HostEvent::Failed(socket, _) | HostEvent::Closed(socket) | HostEvent::Reset(socket) => {
                self.lost(*socket, context);
            }
            HostEvent::Readable(_) | HostEvent::Accepted { .. } | HostEvent::Swallowed(_) => {}
        }
        if let Some(driving) = &mut self.driving {
            driving.handle_event(event, context);
        }
        self.work(context);
    }

    /// Takes a document that came beside the network.
    pub(crate) fn handle_message(
        &mut self,
        socket: SocketId,
        message: Message,
        context: &mut Context<'_>,
    ) {
        self.hear(socket, message, context);
        self.work(context);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        while self.unread.front().is_some_and(|(at, _)| *at <= context.now)
            && let Some((_, message)) = self.unread.pop_front()
        {
            self.told(message, context);
        }
        if let Some(driving) = &mut self.driving {
            driving.handle_timeout(context);
        }
        self.work(context);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let ports = self.ports.as_ref().and_then(Ports::poll_timeout);
        let attempt = self.driving.as_ref().and_then(Driving::poll_timeout);
        let unread = self.unread.front().map(|(at, _)| *at);
        ports.into_iter().chain(attempt).chain(unread).min()
    }

    /// The connection to the broker that is to be the control link stands.
    fn log_in_on(&mut self, socket: SocketId, context: &mut Context<'_>) {
        let number = self.next_line;
        self.next_line += 2;
        self.lines.dialled(socket, number, context);
        let login = Login {
            user: self.config.user.clone(),
            secret: Some(self.config.secret),
            reachable: Reachable::Yes,
        };
        let request = Request::new(FIRST, Action::Login(login));
        self.lines.send(socket, Message::Request(request), context);
        self.link = ControlLink::LoggingIn(socket);
    }

    /// A connection to the broker stands that is to prove its port.
    fn dialled(&mut self, socket: SocketId, context: &mut Context<'_>) {
        let number = self.next_line;
        if let Some(ports) = self.ports.as_mut().filter(|ports| ports.is_proving(socket)) {
            self.next_line += 2;
            ports.dialled(socket, number, &mut self.lines, context);
        }
    }

    /// A connection is gone.
    fn lost(&mut self, socket: SocketId, context: &mut Context<'_>) {
        match self.link {
            ControlLink::Dialling(control)
            | ControlLink::LoggingIn(control)
            | ControlLink::LoggedIn { socket: control, .. }
                if control == socket =>
            {
                self.link = ControlLink::Lost;
                self.lines.close(socket, context);
                if let Some(driving) = &mut self.driving {
                    driving.attempt.handle_link_lost(context.now);
                }
            }
            ControlLink::None
            | ControlLink::Dialling(_)
            | ControlLink::LoggingIn(_)
            | ControlLink::LoggedIn { .. }
            | ControlLink::Lost => {
                if let Some(ports) = self.ports.as_mut().filter(|ports| ports.is_proving(socket)) {
                    self.lines.close(socket, context);
                    ports.lost(socket, context.now);
                } else if self.end.is_some() {
                    self.ended.push(socket);
                }
            }
        }
    }

    fn read(&mut self, socket: SocketId, context: &mut Context<'_>) {
        self.lines.read(socket, context);
        while let Some(message) = self.lines.poll(socket) {
            // What a newer broker says is passed over.
            if let Ok(message) = message {
                self.hear(socket, message, context);
            }
        }
        self.work(context);
    }

    fn hear(&mut self, socket: SocketId, message: Message, context: &mut Context<'_>) {
        context.log.tell(context.now, context.name, || format!("hears {}", text(&message)));
        match (self.link, message) {
            (ControlLink::LoggedIn { socket: control, .. }, message) if control == socket => {
                match self.config.slowness.to_hear {
                    Duration::ZERO => self.told(message, context),
                    late => self.unread.push_back((context.now + late, message)),
                }
            }
            (ControlLink::LoggingIn(control), Message::Response(response))
                if control == socket && response.head.id() == Some(FIRST) =>
            {
                let Ok(logged_in) = login_answer(response) else {
                    return self.lost(socket, context);
                };
                self.link = ControlLink::LoggedIn { socket, since: context.now };
                let PeerConfig { address, broker, .. } = self.config;
                self.ports = self
                    .config
                    .proves
                    .then(|| Ports::new(&logged_in, address, broker, context.now));
            }
            (link, Message::Response(response)) => {
                if let Some(ports) = &mut self.ports {
                    ports.answered(socket, &response, &mut self.lines, context);
                    if let (ControlLink::LoggedIn { since, .. }, true) = (link, ports.is_ready()) {
                        self.gathered.get_or_insert(context.now - since);
                    }
                }
            }
            (_, Message::Request(_) | Message::Notification(_)) => {}
        }
    }

    /// The broker has said something on the control link.
    fn told(&mut self, message: Message, context: &mut Context<'_>) {
        match self.signalling.handle_message(message) {
            Heard::ForAttempt((), message) => {
                if let Some(driving) = &mut self.driving {
                    driving.handle_message(&message, context);
                    self.drain(context);
                }
            }
            Heard::Asked(request) => self.wanted.push_back(Wanted::Answer(Box::new(request))),
            Heard::Presence(_) | Heard::Nothing => {}
        }
    }

    /// Begins what can begin, and carries out what is wanted of the world.
    fn work(&mut self, context: &mut Context<'_>) {
        if self.driving.is_none()
            && let Some(wanted) = self.wanted.front()
        {
            let needs_port = !wanted.technique().meets_at_relay();
            let port = self.ports.as_mut().filter(|_| needs_port);
            let port = port.and_then(|ports| ports.take(context.now));
            if port.is_some() == needs_port
                && let Some(wanted) = self.wanted.pop_front()
            {
                self.begin(&wanted, port, context);
            }
        }
        self.drain(context);
        if let Some(ports) = &mut self.ports {
            ports.work(&mut self.lines, context);
        }
        self.lines.flush(context);
    }

    fn begin(&mut self, wanted: &Wanted, port: Option<Port>, context: &mut Context<'_>) {
        let (now, entropy) = (context.now, Entropy::new(self.entropy));
        let attempt = match wanted {
            Wanted::Connection(to, technique) => {
                let config = self.attempt_config(*technique, port.as_ref(), context);
                Attempt::originate(config, to.clone(), entropy, now)
            }
            Wanted::Answer(request) => {
                self.signalling.subscribe(request.session, ());
                let config = self.attempt_config(request.technique, port.as_ref(), context);
                Attempt::respond(config, request, entropy, now)
            }
        };
        self.port = port.map(|port| port.proven);
        self.driving = Some(Driving::new(attempt, port, &self.config));
    }

    fn attempt_config(
        &self,
        technique: Technique,
        port: Option<&Port>,
        context: &Context<'_>,
    ) -> AttemptConfig {
        let any = SocketAddr::new(self.config.address, 0);
        let (local, observed) =
            port.map_or((any, any), |port| (port.proven.local, port.proven.observed));
        AttemptConfig {
            technique,
            local,
            observed,
            broker: self.config.broker.ip(),
            gateway: None,
            round_trip: self.round_trip(context),
            kernel_ttl: None,
            low_ttl: LOW_TTL,
            syn: SynTemplate {
                mss: if local.is_ipv4() { 1460 } else { 1440 },
                window_scale: Some(WINDOW_SCALE),
                ..SynTemplate::default()
            },
            start_skew: self.config.start_skew,
        }
    }

    /// Carries out everything that the attempt wants done.
    fn drain(&mut self, context: &mut Context<'_>) {
        let Some(driving) = &mut self.driving else { return };
        let told = &mut self.events;
        let mut keep = |_: &Attempt, event: Event| told.push(event);
        while let Some(action) = driving.drain(&mut keep, context) {
            let ControlLink::LoggedIn { socket, .. } = self.link else {
                driving.attempt.handle_link_lost(context.now);
                continue;
            };
            let request = self.signalling.request(action, ());
            self.lines.send(socket, Message::Request(request), context);
        }
        let Some((outcome, connection)) = driving.end(context) else { return };
        let established_at = driving.attempt.established_at();
        // The port goes with the attempt.
        if let Some(port) = driving.port {
            self.lines.close(port.probe, context);
        }
        self.end = Some(match (outcome, connection, established_at) {
            (AttemptOutcome::Confirmed, Some(connection), Some(at)) => {
                End::Connected(connection, at)
            }
            (AttemptOutcome::Failed(failure), ..) => End::Failed(failure),
            (AttemptOutcome::Confirmed, ..) => unreachable!("a confirmed attempt has a connection"),
        });
        self.driving = None;
    }
}
