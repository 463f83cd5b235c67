//! One attempt of a peer, and the sockets with which its commands are carried out.

use std::collections::VecDeque;
use std::time::Duration;

use simopen_packet::{MAX_SYN_LEN, Timestamp};
use simopen_protocol::address::HostPort;
use simopen_protocol::control::{Action, Meeting};
use simopen_traversal::{Attempt, AttemptOutcome, Command, DialOutcome, Event, FromBroker};

use super::PeerConfig;
use super::greeting::{Greeted, Greeting};
use super::listening::Listening;
use super::ports::Port;
use super::reach::{Reach, Reached};
use crate::host::{DialOptions, HostEvent, SocketId};
use crate::world::Context;

/// An attempt that is being turned.
#[derive(Debug)]
pub(crate) struct Driving {
    pub(crate) attempt: Attempt,
    /// The connection that keeps the mapping of the attempt's port.
    /// None where both meet at a relay.
    pub(crate) port: Option<Port>,
    config: PeerConfig,
    icmp_shield: bool,
    /// How long a SYN of its own making waits until it leaves, and those that wait.
    slow_to_send: Duration,
    unsent: VecDeque<(Timestamp, Vec<u8>)>,
    dialling: Option<SocketId>,
    punching: Option<SocketId>,
    meeting: Option<Reach>,
    swallower: Option<SocketId>,
    listening: Option<Listening>,
    established: Option<SocketId>,
    greeting: Option<Greeting>,
    confirmed: Option<Connection>,
}

/// A connection that the other side has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) socket: SocketId,
    /// What came in behind the greeting.
    pub(crate) rest: Vec<u8>,
}

impl Driving {
    pub(crate) fn new(attempt: Attempt, port: Option<Port>, config: &PeerConfig) -> Self {
        Self {
            attempt,
            port,
            config: config.clone(),
            icmp_shield: config.icmp_shield,
            slow_to_send: config.slowness.to_send,
            unsent: VecDeque::new(),
            dialling: None,
            punching: None,
            meeting: None,
            swallower: None,
            listening: None,
            established: None,
            greeting: None,
            confirmed: None,
        }
    }

    /// Carries out what the attempt wants done, and gives its next message to the broker. Commands
    /// come first: a SYN that is reported shall have left.
    pub(crate) fn drain(
        &mut self,
        events: &mut impl FnMut(&Attempt, Event),
        context: &mut Context<'_>,
    ) -> Option<Action> {
        while let Some(command) = self.attempt.poll_command() {
            context.log.tell(context.now, context.name, || format!("does {command:?}"));
            self.carry_out(&command, context);
        }
        self.begin_greeting(context);
        while let Some(event) = self.attempt.poll_event() {
            context.log.tell(event.at, context.name, || format!("{:?}", event.what));
            events(&self.attempt, event);
        }
        self.attempt.poll_message()
    }

    /// How it ended, once it has. What it still held is closed.
    pub(crate) fn end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<(AttemptOutcome, Option<Connection>)> {
        let outcome = self.attempt.outcome()?;
        let connection = self.confirmed.take();
        self.close(context);
        Some((outcome, connection))
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        while self.unsent.front().is_some_and(|(at, _)| *at <= context.now)
            && let Some((_, packet)) = self.unsent.pop_front()
        {
            context.host.emit(&packet);
        }
        self.attempt.handle_timeout(context.now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let attempt = self.attempt.poll_timeout().map(|(at, _)| at);
        self.unsent.front().map(|(at, _)| *at).into_iter().chain(attempt).min()
    }

    pub(crate) fn handle_message(&mut self, message: &FromBroker, context: &Context<'_>) {
        self.attempt.handle_message(message, context.now);
    }

    /// Takes what happened at the host. What does not concern the attempt changes nothing.
    pub(crate) fn handle_event(&mut self, event: HostEvent, context: &mut Context<'_>) {
        if let Some(mut meeting) = self.meeting.take() {
            match meeting.handle_event(&event, context) {
                Reached::Waiting => self.meeting = Some(meeting),
                Reached::There(socket) => return self.present(socket, &meeting, context),
                Reached::Failed(outcome) => {
                    meeting.close(context);
                    return self.attempt.handle_outcome(outcome, context.now);
                }
            }
        }
        match event {
            HostEvent::Established(socket) if self.dialling == Some(socket) => {
                // What TTL the SYNs had does not suit the connection.
                context.host.set_ttl(socket, None);
                self.established = self.dialling.take();
            }
            HostEvent::Failed(socket, outcome) if self.dialling == Some(socket) => {
                self.dialling = None;
                self.attempt.handle_outcome(outcome, context.now);
            }
            HostEvent::Failed(socket, _) if self.punching == Some(socket) => self.punching = None,
            HostEvent::SynSent { socket, packet }
                if [self.dialling, self.punching].contains(&Some(socket)) =>
            {
                self.attempt.handle_syn(&packet, context.now);
            }
            HostEvent::Swallowed(packet) => self.attempt.handle_packet(&packet, context.now),
            HostEvent::Accepted { listener, socket, .. } => self.called(listener, socket, context),
            HostEvent::Readable(socket) => self.read(socket, context),
            HostEvent::Closed(socket) => self.lost(socket, Attempt::handle_closed, context),
            HostEvent::Reset(socket) => self.lost(socket, Attempt::handle_reset, context),
            HostEvent::Established(_) | HostEvent::Failed(..) | HostEvent::SynSent { .. } => {}
        }
    }

    fn carry_out(&mut self, command: &Command, context: &mut Context<'_>) {
        match *command {
            Command::Dial { local, remote, ttl, .. } => {
                self.close(context);
                let icmp_shield = self.icmp_shield && ttl.is_some();
                let options = DialOptions { ttl, icmp_shield, watch: true };
                self.dialling = Some(context.host.dial(local, remote, options, context.now));
            }
            Command::RaiseTtl => {
                if let Some(socket) = self.dialling {
                    context.host.set_ttl(socket, None);
                }
            }
            Command::Punch { local, remote, ttl } => {
                let options = DialOptions { ttl: Some(ttl), icmp_shield: false, watch: true };
                self.punching = Some(context.host.dial(local, remote, options, context.now));
            }
            Command::Listen { local } => {
                self.close(context);
                // There is nobody to expect before the broker has said how they greet.
                if let Some(greetings) = self.attempt.greetings() {
                    self.listening = Some(Listening::bind(local, greetings, context));
                }
            }
            Command::Swallow { local } => self.swallower = Some(context.host.swallow(local)),
            Command::Emit(syn) => {
                let mut buffer = [0; MAX_SYN_LEN];
                let length = syn.emit(&mut buffer).expect("the buffer takes the longest SYN");
                let packet = buffer.get(..length).unwrap_or_default();
                match self.slow_to_send {
                    Duration::ZERO => context.host.emit(packet),
                    late => self.unsent.push_back((context.now + late, packet.to_vec())),
                }
            }
            Command::Install { own, answer } => {
                self.established = Some(context.host.install(&own, &answer, context.now));
                // After the installed socket is there, so that the port was never without a holder.
                drop_socket(&mut self.swallower, context);
            }
            Command::Meet(_) => self.meet(context),
            Command::Abandon => self.close(context),
            // One of a newer machine.
            _ => self.attempt.handle_outcome(DialOutcome::LocalError, context.now),
        }
    }

    /// Dials the relay: the first of its addresses, which are numbers here.
    fn meet(&mut self, context: &mut Context<'_>) {
        let meeting = self.attempt.meeting();
        let relay = |meeting: &Meeting| {
            let relay = meeting.relay.iter().find_map(HostPort::endpoint)?;
            Some((relay, meeting.value))
        };
        match meeting.and_then(relay) {
            Some((relay, value)) => {
                self.meeting = Some(Reach::begin(relay, Some(value), &self.config, context));
            }
            None => self.attempt.handle_outcome(DialOutcome::RelayUnreachable, context.now),
        }
    }

    /// The relay is there.
    fn present(&mut self, socket: SocketId, reach: &Reach, context: &mut Context<'_>) {
        if let Some(meeting) = self.attempt.meeting().filter(|_| !reach.has_presented()) {
            context.host.write(socket, meeting.value.as_bytes(), context.now);
        }
        self.established = Some(socket);
    }

    /// Gives up whatever is open.
    fn close(&mut self, context: &mut Context<'_>) {
        for socket in
            [&mut self.dialling, &mut self.punching, &mut self.swallower, &mut self.established]
        {
            drop_socket(socket, context);
        }
        if let Some(meeting) = self.meeting.take() {
            meeting.close(context);
        }
        if let Some(listening) = self.listening.take() {
            listening.close(context);
        }
        if let Some(greeting) = self.greeting.take() {
            context.host.drop_socket(greeting.socket);
        }
    }

    /// Once the connection stands, the two sides show who they are.
    fn begin_greeting(&mut self, context: &mut Context<'_>) {
        if self.established.is_some() && self.attempt.established_at().is_none() {
            self.attempt.handle_outcome(DialOutcome::Established, context.now);
        }
        if let Some(socket) = self.established.take_if(|_| self.attempt.established_at().is_some())
            && let Some(greetings) = self.attempt.greetings()
        {
            let role = self.attempt.role();
            self.greeting = Some(Greeting::begin(socket, greetings, role, context));
            self.read(socket, context);
        }
    }

    fn called(&mut self, listener: SocketId, socket: SocketId, context: &mut Context<'_>) {
        match &mut self.listening {
            Some(listening) if listening.listener == listener => listening.hear(socket, context),
            Some(_) | None => {}
        }
    }

    fn read(&mut self, socket: SocketId, context: &mut Context<'_>) {
        if let Some(greeting) = self.greeting.take_if(|greeting| greeting.socket == socket) {
            return self.greeted(greeting, context);
        }
        let Some(listening) = &mut self.listening else { return };
        if let Some(caller) = listening.read(socket, context) {
            self.confirmed = Some(Connection { socket, rest: caller.rest });
            self.attempt.handle_accepted(caller.since, context.now);
            if let Some(listening) = self.listening.take() {
                listening.close(context);
            }
        }
    }

    fn greeted(&mut self, mut greeting: Greeting, context: &mut Context<'_>) {
        let socket = greeting.socket;
        match greeting.read(context) {
            Greeted::Waiting => self.greeting = Some(greeting),
            Greeted::Right(rest) => {
                self.confirmed = Some(Connection { socket, rest });
                self.attempt.handle_greeting(context.now);
            }
            Greeted::Wrong => {
                context.host.drop_socket(socket);
                self.attempt.handle_wrong_greeting(context.now);
            }
        }
    }

    /// A connection has ended before the other side has shown who it is.
    fn lost(
        &mut self,
        socket: SocketId,
        tell: impl FnOnce(&mut Attempt, Timestamp),
        context: &mut Context<'_>,
    ) {
        if self.greeting.take_if(|greeting| greeting.socket == socket).is_some() {
            context.host.drop_socket(socket);
            tell(&mut self.attempt, context.now);
        } else if let Some(listening) = &mut self.listening {
            listening.lost(socket, context);
        }
    }
}

fn drop_socket(socket: &mut Option<SocketId>, context: &mut Context<'_>) {
    if let Some(socket) = socket.take() {
        context.host.drop_socket(socket);
    }
}
