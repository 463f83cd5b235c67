//! The world that turns one attempt: real sockets, real captures, real time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use simopen_device::DeviceError;
use simopen_device::capture::{CaptureStream, Direction, TunRouteCapture, TunRouteConfig};
use simopen_device::clock::Clock;
use simopen_device::filter::{Scope, Selection};
use simopen_device::handover::{Installation, install};
use simopen_device::raw::RawSender;
use simopen_device::socket::{DialOptions, Dialer, bind_dialer, reset_ttl};
use simopen_device::swallow::SwallowingPort;
use simopen_packet::{MAX_SYN_LEN, Syn, SynAck, Timestamp, Ttl};
use simopen_protocol::control::Action;
use simopen_protocol::identity::DeviceName;
use simopen_traversal::{
    Attempt, AttemptOutcome, Command, DialOutcome, Failure, FromBroker, Handshake, Side,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::carriage::{Carried, ProxyWords};
use crate::config::{IcmpShield, PeerConfig, SynCaptureWay};
use crate::error::ConnectError;
use crate::greet::greet;
use crate::link::Link;
use crate::listen::Listening;
use crate::meet::{Unmet, meet};
use crate::peer::{Connection, Introduction, Observation, Route};
use crate::ports::{Port, sleep_until};

/// Where a flow that is captured by a route stands in for the real address: addresses that are
/// set aside for benchmarks of devices (RFC 2544, RFC 5180) and so in use by nobody.
const STAND_IN_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const STAND_IN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);

/// What an attempt is driven with.
pub(crate) struct Context {
    pub(crate) config: Arc<PeerConfig>,
    pub(crate) link: Link,
    /// None where both meet at a relay.
    #[expect(dead_code, reason = "held: its connection keeps the box's mapping alive")]
    pub(crate) port: Option<Port>,
    pub(crate) from_broker: mpsc::UnboundedReceiver<FromBroker>,
    /// The other end, given to the link with each request.
    pub(crate) to_attempt: mpsc::UnboundedSender<FromBroker>,
    /// Which of the user's devices is asked: no matter of the attempt.
    pub(crate) device: Option<DeviceName>,
    /// Whom the broker has announced. An originator learns it with the acceptance.
    pub(crate) introduction: Option<Introduction>,
}

/// Turns the attempt until it ends.
pub(crate) async fn drive(
    mut attempt: Attempt,
    context: Context,
) -> Result<Connection, ConnectError> {
    let mut world = World::new(context);
    loop {
        world.drain(&mut attempt).await;
        match attempt.outcome() {
            Some(AttemptOutcome::Confirmed) => return world.connection(&attempt),
            Some(AttemptOutcome::Failed(failure)) => return Err(world.error(failure)),
            None => {}
        }
        let happened = world.wait(&attempt).await;
        world.apply(happened, &mut attempt);
    }
}

/// Something for the attempt.
enum Happened {
    Message(FromBroker),
    LinkLost,
    Packet(Direction, Vec<u8>),
    Dialled(DialOutcome),
    Met(Result<Carried, Unmet>),
    Greeted(Greeting),
    Accepted(Timestamp, Carried),
    TimeOut,
}

struct World {
    context: Context,
    clock: Clock,
    link_is_up: bool,
    capture: Option<CaptureStream>,
    dialling: Option<TcpStream>,
    punching: Option<TcpStream>,
    listening: Option<Listening>,
    meeting: Option<JoinHandle<Result<Carried, Unmet>>>,
    /// What the proxy on the way to the relay said.
    refused: Option<ProxyWords>,
    swallower: Option<SwallowingPort>,
    established: Option<Carried>,
    greeting: Option<JoinHandle<io::Result<Option<Carried>>>>,
    confirmed: Option<Carried>,
}

impl World {
    fn new(context: Context) -> Self {
        Self {
            clock: context.config.clock,
            context,
            link_is_up: true,
            capture: None,
            dialling: None,
            punching: None,
            listening: None,
            meeting: None,
            refused: None,
            swallower: None,
            established: None,
            greeting: None,
            confirmed: None,
        }
    }

    /// Carries out everything that the attempt wants done.
    async fn drain(&mut self, attempt: &mut Attempt) {
        loop {
            // Commands first: a SYN that is reported shall have left.
            while let Some(command) = attempt.poll_command() {
                if let Err(error) = self.carry_out(&command, attempt) {
                    warn!(%error, "the attempt ends on this side");
                    attempt.handle_outcome(DialOutcome::LocalError, self.clock.now());
                }
            }
            while let Some(event) = attempt.poll_event() {
                debug!(?event, "attempt");
                if let Some(observer) = &self.context.config.observer {
                    let observation =
                        Observation { role: attempt.role(), session: attempt.session(), event };
                    // Whoever looked on may have gone away.
                    let _ = observer.send(observation);
                }
            }
            self.begin_greeting(attempt);
            let Some(mut message) = attempt.poll_message() else {
                break;
            };
            if let Action::Connect(connect) = &mut message {
                connect.device = self.context.device.take();
            }
            if !self.context.link.request(message, &self.context.to_attempt).await {
                attempt.handle_link_lost(self.clock.now());
            }
        }
    }

    fn carry_out(&mut self, command: &Command, attempt: &Attempt) -> Result<(), DeviceError> {
        match *command {
            Command::Dial { local, remote, ttl, handshake } => {
                self.close();
                self.dial(local, remote, ttl, handshake)
            }
            Command::RaiseTtl => self.raise_ttl(),
            Command::Punch { local, remote, ttl } => {
                let dialer = bind(local, Some(ttl), Handshake::EndToEnd)?;
                self.capture = watch(local, remote, Handshake::EndToEnd)?;
                self.punching = Some(into_tokio(dialer.connect(remote)?)?);
                Ok(())
            }
            Command::Listen { local } => {
                self.close();
                // There is nobody to expect before the broker has said how they greet.
                if let Some(greetings) = attempt.greetings() {
                    self.listening = Some(Listening::bind(local, greetings, self.clock)?);
                }
                Ok(())
            }
            Command::Swallow { local } => {
                self.swallower = Some(SwallowingPort::bind(local)?);
                let selection = Selection {
                    local_port: local.port(),
                    remote: None,
                    scope: Scope::OwnSynsAndIncoming,
                };
                self.capture = Some(CaptureStream::packet_socket(&selection)?);
                Ok(())
            }
            Command::Emit(syn) => emit(&syn),
            Command::Install { own, answer } => self.install(&own, &answer),
            Command::Meet(way) => {
                // The machine names the meeting before it gives the command.
                if let Some(meeting) = attempt.meeting() {
                    let carriage = self.context.config.carriage.clone();
                    let consent = attempt.consent().clone();
                    self.meeting =
                        Some(tokio::spawn(meet(meeting.clone(), carriage, way, consent)));
                }
                Ok(())
            }
            Command::Abandon => {
                self.close();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives up whatever is open.
    fn close(&mut self) {
        close_aside(self.capture.take());
        self.dialling = None;
        self.punching = None;
        self.listening = None;
        self.swallower = None;
        self.established = None;
        if let Some(meeting) = self.meeting.take() {
            meeting.abort();
        }
        if let Some(greeting) = self.greeting.take() {
            greeting.abort();
        }
    }

    fn dial(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        ttl: Option<Ttl>,
        handshake: Handshake,
    ) -> Result<(), DeviceError> {
        let PeerConfig { capture, icmp_shield, .. } = &*self.context.config;
        let by_route = match (capture, icmp_shield, ttl) {
            (SynCaptureWay::TunRoute { interface, syn_ttl }, _, _) => Some((interface, *syn_ttl)),
            (_, IcmpShield::TunRoute { interface }, Some(ttl)) => Some((interface, ttl)),
            (SynCaptureWay::PacketSocket, IcmpShield::Off | IcmpShield::TunRoute { .. }, _) => None,
        };
        let (capture, dialer) = match by_route {
            None => (watch(local, remote, handshake)?, bind(local, ttl, handshake)?),
            Some((interface, syn_ttl)) => {
                let route = TunRouteCapture::open(route(local, remote, interface, syn_ttl))?;
                // The owner sets the TTL; the socket's own would hold for the SYN-ACK as well.
                let dialer = bind(route.dialling_endpoint(), None, handshake)?;
                (Some(CaptureStream::tun_route(route)?), dialer)
            }
        };
        // Open and filtered before the dial, so that no SYN is missed.
        self.capture = capture;
        self.dialling = Some(into_tokio(dialer.connect(remote)?)?);
        Ok(())
    }

    fn raise_ttl(&mut self) -> Result<(), DeviceError> {
        if let Some(capture) = &mut self.capture {
            capture.set_syn_ttl(None);
        }
        self.dialling.as_ref().map_or(Ok(()), reset_ttl)
    }

    fn install(&mut self, own: &Syn, answer: &SynAck) -> Result<(), DeviceError> {
        let installation = Installation::from_handshake(own, answer).map_err(device_error)?;
        self.established = Some(into_tokio(install(&installation).map_err(device_error)?)?.into());
        // After the connect of the installed socket, so that the port was never without a holder.
        self.swallower = None;
        close_aside(self.capture.take());
        Ok(())
    }

    /// Once the connection stands, the two sides show who they are.
    fn begin_greeting(&mut self, attempt: &mut Attempt) {
        if self.established.is_some() && attempt.established_at().is_none() {
            attempt.handle_outcome(DialOutcome::Established, self.clock.now());
        }
        if let Some(stream) = self.established.take_if(|_| attempt.established_at().is_some())
            && let Some(greetings) = attempt.greetings()
        {
            self.greeting = Some(tokio::spawn(greet(stream, greetings, attempt.role())));
        }
    }

    async fn wait(&mut self, attempt: &Attempt) -> Happened {
        let deadline = attempt.poll_timeout().map(|(at, _)| self.clock.instant(at));
        tokio::select! {
            biased;
            Some(message) = self.context.from_broker.recv() => Happened::Message(message),
            () = self.context.link.lost(), if self.link_is_up => Happened::LinkLost,
            (direction, packet) = next_packet(&mut self.capture) => Happened::Packet(direction, packet),
            outcome = dial_end(self.dialling.as_ref()) => Happened::Dialled(outcome),
            met = met(&mut self.meeting) => Happened::Met(met),
            greeting = greeted(&mut self.greeting) => Happened::Greeted(greeting),
            (since, stream) = accepted(&mut self.listening) => Happened::Accepted(since, stream),
            () = sleep_until(deadline) => Happened::TimeOut,
        }
    }

    fn apply(&mut self, happened: Happened, attempt: &mut Attempt) {
        let now = self.clock.now();
        match happened {
            Happened::Message(message) => {
                if let FromBroker::Accepted(accepted) = &message {
                    self.context.introduction = Some(Introduction {
                        peer: accepted.peer,
                        device: accepted.device.clone(),
                        certificate: accepted.certificate.clone(),
                    });
                }
                attempt.handle_message(&message, now);
            }
            Happened::LinkLost => {
                self.link_is_up = false;
                attempt.handle_link_lost(now);
            }
            Happened::Packet(Direction::Outgoing, packet) => {
                // The own SYN that was emitted raw is seen too; it was counted when it left.
                if self.dialling.is_some() || self.punching.is_some() {
                    attempt.handle_syn(&packet, now);
                }
            }
            Happened::Packet(Direction::Incoming, packet) => attempt.handle_packet(&packet, now),
            Happened::Dialled(DialOutcome::Established) => {
                // What TTL the SYNs had does not suit the connection.
                if let Err(error) = self.raise_ttl() {
                    debug!(%error, "the connection keeps the TTL of its SYNs");
                }
                self.established = self.dialling.take().map(Carried::from);
            }
            Happened::Dialled(outcome) => {
                self.dialling = None;
                attempt.handle_outcome(outcome, now);
            }
            Happened::Met(met) => {
                self.meeting = None;
                match met {
                    Ok(stream) => self.established = Some(stream),
                    Err(unmet) => {
                        self.refused = unmet.words;
                        attempt.handle_outcome(unmet.outcome, now);
                    }
                }
            }
            Happened::Accepted(since, stream) => {
                self.confirmed = Some(stream);
                attempt.handle_accepted(since, now);
                self.listening = None;
            }
            Happened::Greeted(greeting) => {
                self.greeting = None;
                match greeting {
                    Greeting::Right(stream) => {
                        self.confirmed = Some(stream);
                        attempt.handle_greeting(now);
                    }
                    Greeting::Wrong => attempt.handle_wrong_greeting(now),
                    Greeting::Closed => attempt.handle_closed(now),
                    Greeting::Reset => attempt.handle_reset(now),
                }
            }
            Happened::TimeOut => attempt.handle_timeout(now),
        }
    }

    /// A failure, with the proxy's own words where it is of its making.
    fn error(self, failure: Failure) -> ConnectError {
        match self.refused.filter(|_| failure.seen_by == Side::Own) {
            Some(words) => ConnectError::ProxyRefused { failure, words },
            None => ConnectError::Failed(failure),
        }
    }

    fn connection(self, attempt: &Attempt) -> Result<Connection, ConnectError> {
        let (Some(stream), Some(session), Some(established_at)) =
            (self.confirmed, attempt.session(), attempt.established_at())
        else {
            return Err(ConnectError::LinkLost);
        };
        // A flow that goes by a TUN route needs its owner for as long as it lives.
        let route = match self.capture {
            Some(capture) if capture.stands_in_the_way() => Some(Route(keep_going(capture))),
            capture => {
                close_aside(capture);
                None
            }
        };
        let introduction = self.context.introduction;
        let role = attempt.role();
        Ok(Connection { stream, session, role, established_at, introduction, route })
    }
}

/// Binds the dialling socket. Where the broker answers the SYN, BBR would keep the short way to the
/// broker for the path's, so it gets another congestion control: cubic, or reno where the system
/// lets only privileged programs choose that.
fn bind(from: SocketAddr, ttl: Option<Ttl>, handshake: Handshake) -> Result<Dialer, DeviceError> {
    let options = |congestion_control: Option<&str>| DialOptions {
        ttl,
        congestion_control: congestion_control.map(str::to_owned),
        ..DialOptions::default()
    };
    match handshake {
        Handshake::EndToEnd => bind_dialer(from, &options(None)),
        Handshake::ThroughBroker => bind_dialer(from, &options(Some("cubic")))
            .or_else(|_| bind_dialer(from, &options(Some("reno")))),
    }
}

/// A packet socket that shows the SYNs of one dial. Where the two ends answer each other nobody
/// needs them but the timeline, so the dial goes on without the right to see them.
fn watch(
    local: SocketAddr,
    remote: SocketAddr,
    handshake: Handshake,
) -> Result<Option<CaptureStream>, DeviceError> {
    let selection =
        Selection { local_port: local.port(), remote: Some(remote), scope: Scope::OwnSyns };
    match (CaptureStream::packet_socket(&selection), handshake) {
        (Ok(capture), _) => Ok(Some(capture)),
        (Err(error), Handshake::EndToEnd) => {
            debug!(%error, "own SYNs cannot be seen here");
            Ok(None)
        }
        (Err(error), Handshake::ThroughBroker) => Err(error),
    }
}

fn route(local: SocketAddr, remote: SocketAddr, interface: &str, syn_ttl: Ttl) -> TunRouteConfig {
    TunRouteConfig {
        tun: format!("simopen{}", local.port()),
        interface: interface.to_owned(),
        local,
        remote,
        stand_in: match local.ip() {
            IpAddr::V4(_) => IpAddr::V4(STAND_IN_V4),
            IpAddr::V6(_) => IpAddr::V6(STAND_IN_V6),
        },
        table: u32::from(local.port()),
        mtu: 1500,
        syn_ttl: Some(syn_ttl),
        scope: Scope::OwnSyns,
    }
}

fn emit(syn: &Syn) -> Result<(), DeviceError> {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).expect("the buffer takes the longest SYN");
    let packet = buffer.get(..length).unwrap_or_default();
    // A raw IP socket, so that the own host's connection tracking sees the SYN too.
    let raw = RawSender::for_endpoint(syn.destination)?;
    raw.send(packet).map_err(|error| DeviceError::system("send", syn.destination, error))
}

fn into_tokio(stream: std::net::TcpStream) -> Result<TcpStream, DeviceError> {
    TcpStream::from_std(stream)
        .map_err(|error| DeviceError::system("register", "the socket", error))
}

fn device_error(error: simopen_device::handover::HandoverError) -> DeviceError {
    DeviceError::system("install", "the connection", io::Error::other(error))
}

async fn next_packet(capture: &mut Option<CaptureStream>) -> (Direction, Vec<u8>) {
    match capture {
        Some(capture) => match capture.next().await {
            Ok(captured) => captured,
            Err(error) => {
                // Without its capture the attempt ends by its timers.
                warn!(%error, "the capture failed");
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}

async fn accepted(listening: &mut Option<Listening>) -> (Timestamp, Carried) {
    match listening {
        Some(listening) => listening.next().await,
        None => std::future::pending().await,
    }
}

/// Closes a packet socket on another thread: the kernel waits for all processors before it is gone
/// (5 to 15 ms), and this thread has a connection to open.
pub(crate) fn close_aside<C: Send + 'static>(capture: Option<C>) {
    if let Some(capture) = capture {
        tokio::task::spawn_blocking(move || drop(capture));
    }
}

fn keep_going(mut capture: CaptureStream) -> JoinHandle<()> {
    tokio::spawn(async move { while capture.next().await.is_ok() {} })
}

async fn met(meeting: &mut Option<JoinHandle<Result<Carried, Unmet>>>) -> Result<Carried, Unmet> {
    match meeting {
        Some(task) => task.await.unwrap_or(Err(Unmet::by(DialOutcome::LocalError))),
        None => std::future::pending().await,
    }
}

/// How the kernel's errors on a dial read.
const DIAL_ENDS: [(io::ErrorKind, DialOutcome); 6] = [
    (io::ErrorKind::ConnectionRefused, DialOutcome::Refused),
    // An RST that came after the SYNs had crossed.
    (io::ErrorKind::ConnectionReset, DialOutcome::Refused),
    (io::ErrorKind::HostUnreachable, DialOutcome::Unreachable),
    (io::ErrorKind::NetworkUnreachable, DialOutcome::Unreachable),
    (io::ErrorKind::PermissionDenied, DialOutcome::Prohibited),
    (io::ErrorKind::TimedOut, DialOutcome::TimedOut),
];

async fn dial_end(dialling: Option<&TcpStream>) -> DialOutcome {
    let Some(stream) = dialling else {
        return std::future::pending().await;
    };
    match dialled(stream).await {
        Ok(()) => DialOutcome::Established,
        Err(error) => {
            debug!(%error, "the dial ended");
            let known = DIAL_ENDS.iter().find(|(kind, _)| *kind == error.kind());
            known.map_or(DialOutcome::LocalError, |(_, outcome)| *outcome)
        }
    }
}

/// Waits until a nonblocking dial has ended.
pub(crate) async fn dialled(stream: &TcpStream) -> io::Result<()> {
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// How the exchange of greetings ended.
enum Greeting {
    Right(Carried),
    Wrong,
    Closed,
    Reset,
}

async fn greeted(greeting: &mut Option<JoinHandle<io::Result<Option<Carried>>>>) -> Greeting {
    let Some(task) = greeting else {
        return std::future::pending().await;
    };
    match task.await {
        Ok(Ok(Some(stream))) => Greeting::Right(stream),
        Ok(Ok(None)) => Greeting::Wrong,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Greeting::Reset,
        Ok(Err(_)) | Err(_) => Greeting::Closed,
    }
}
