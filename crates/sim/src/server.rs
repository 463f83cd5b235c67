//! The broker's service, without IO.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use simopen_broker::{Broker, Event, Forged, LinkId, LinkOrigin, PathEstimate, Transmit};
use simopen_packet::{Syn, Timestamp};
use simopen_protocol::control::{ControlError, Message};
use simopen_scenario::proxies::Path;

use crate::carriers::Carriers;
use crate::host::{HostEvent, SocketId};
use crate::lines::{Lines, text};
use crate::relay::{Paired, RelayService};
use crate::trial::Trial;
use crate::world::Context;

/// The one who owns the broker machine and turns it.
#[derive(Debug)]
pub(crate) struct Server {
    machine: Broker,
    measures_paths: bool,
    /// On the same host, at a port of its own.
    relay: Option<RelayService>,
    carriers: Carriers,
    lines: Lines,
    links: BTreeMap<LinkId, SocketId>,
    ids: BTreeMap<SocketId, LinkId>,
    next_link: u64,
    /// What it told.
    pub(crate) events: Vec<Event>,
    /// What it sent in other names.
    pub(crate) forged: Vec<Forged>,
}

impl Server {
    pub(crate) fn new(machine: Broker, trial: &Trial) -> Self {
        Self {
            machine,
            measures_paths: trial.measures_paths,
            relay: None,
            carriers: Carriers::new(Vec::new()),
            lines: Lines::new(trial.carriage),
            links: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_link: 0,
            events: Vec::new(),
            forged: Vec::new(),
        }
    }

    /// Hashes its state, that of its host left out.
    pub(crate) fn hash_state(&self, state: &mut impl Hasher) {
        (&self.machine, &self.links).hash(state);
    }

    /// Begins to listen, and lets its relay listen at that endpoint, if it has one. By which paths
    /// everybody comes to the two has to be known.
    pub(crate) fn listen(
        &mut self,
        local: SocketAddr,
        relay: Option<SocketAddr>,
        paths: [Path; 2],
        context: &mut Context<'_>,
    ) {
        let own = context.host.listen(local);
        self.relay = relay.map(|local| RelayService::listen(local, context));
        let listeners = [Some(own), self.relay.as_ref().map(RelayService::listener)];
        let by_requests = listeners.into_iter().zip(paths).filter(|(_, path)| *path == Path::Http);
        self.carriers = Carriers::new(by_requests.filter_map(|(listener, _)| listener).collect());
    }

    /// Moves what goes through the relay.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>) {
        if let Some(relay) = &mut self.relay {
            relay.turn(context);
        }
    }

    /// The documents that it sends beside the network.
    pub(crate) const fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Takes what happened at the host.
    pub(crate) fn handle_event(&mut self, event: &HostEvent, context: &mut Context<'_>) {
        let (is_exchange, whole) = self.carriers.handle_event(event, context);
        if let Some(carried) = whole {
            let relay = self.relay.as_mut();
            if !relay.is_some_and(|relay| relay.handle_carried(&carried, context)) {
                self.accepted(carried.socket, carried.remote, None, context);
            }
        }
        if is_exchange {
            return self.turn(context);
        }
        if self.relay.as_mut().is_some_and(|relay| relay.handle_event(event, context)) {
            return;
        }
        match event {
            HostEvent::Accepted { socket, remote, syn, .. } => {
                self.accepted(*socket, *remote, *syn, context);
            }
            HostEvent::Readable(socket) => self.read(*socket, context),
            HostEvent::Closed(socket) | HostEvent::Reset(socket) => {
                if let Some(id) = self.ids.get(socket) {
                    self.close(*id, context);
                }
            }
            HostEvent::Established(_)
            | HostEvent::Failed(..)
            | HostEvent::SynSent { .. }
            | HostEvent::Swallowed(_) => return,
        }
        self.turn(context);
    }

    /// Somebody has come.
    fn accepted(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        syn: Option<Syn>,
        context: &Context<'_>,
    ) {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.lines.accepted(socket);
        self.links.insert(id, socket);
        self.ids.insert(socket, id);
        let origin = LinkOrigin { remote, syn, key: None };
        self.machine.handle_link(id, origin, context.now);
    }

    /// Takes a document that came beside the network.
    pub(crate) fn handle_message(
        &mut self,
        socket: SocketId,
        message: Message,
        context: &mut Context<'_>,
    ) {
        self.hear(socket, Ok(message), context);
        self.turn(context);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if let Some(relay) = &mut self.relay {
            relay.handle_timeout(context);
        }
        self.turn(context);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let own = self.machine.poll_timeout().map(|(at, _)| at);
        let relay = self.relay.as_ref().and_then(RelayService::poll_timeout);
        own.into_iter().chain(relay).min()
    }

    /// Closes all links, and says whether the broker then holds nothing any more.
    pub(crate) fn stop(&mut self, now: Timestamp) -> bool {
        for id in std::mem::take(&mut self.links).into_keys() {
            self.machine.handle_link_closed(id, now);
        }
        self.machine.is_idle()
    }

    fn read(&mut self, socket: SocketId, context: &mut Context<'_>) {
        self.lines.read(socket, context);
        while let Some(message) = self.lines.poll(socket) {
            self.hear(socket, message, context);
            self.turn(context);
        }
    }

    fn hear(
        &mut self,
        socket: SocketId,
        message: Result<Message, ControlError>,
        context: &mut Context<'_>,
    ) {
        let Some(&id) = self.ids.get(&socket) else { return };
        if self.measures_paths {
            let round_trip = context.host.round_trip(socket).unwrap_or_default();
            self.machine.handle_path(id, PathEstimate { round_trip });
        }
        if let Ok(message) = &message {
            context.log.tell(context.now, context.name, || format!("hears {}", text(message)));
        }
        match message {
            Ok(Message::Request(request)) => {
                self.machine.handle_request(id, request, context.now);
            }
            Ok(Message::Response(_) | Message::Notification(_)) => {
                self.machine.handle_malformed(id, ControlError::UnknownRoot);
            }
            Err(error) => self.machine.handle_malformed(id, error),
        }
    }

    /// Turns the machine, and does what it wants done.
    fn turn(&mut self, context: &mut Context<'_>) {
        self.machine.handle_timeout(context.now);
        while let Some(order) = self.machine.poll_pairing() {
            let paired = self.relay.as_mut().and_then(|relay| relay.handle_order(order, context));
            match paired {
                Some(Paired::Opened(session)) => {
                    self.machine.handle_pairing_opened(session, context.now);
                }
                Some(Paired::Failed(session)) => {
                    self.machine.handle_pairing_failed(session, context.now);
                }
                None => {}
            }
        }
        // It gives packets out only where forging is switched on.
        while let Some(forged) = self.machine.poll_forge() {
            context.host.emit(forged.packet());
            self.forged.push(forged);
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            match transmit {
                Transmit::Message(id, message) => self.write(id, message, context),
                Transmit::Page(id, message) => {
                    self.write(id, message, context);
                    self.machine.handle_page_sent(id, context.now);
                }
                Transmit::Close(id) => self.close(id, context),
            }
        }
        // There is no store: what is in memory is kept as long as the simulation runs.
        while let Some(persist) = self.machine.poll_persist() {
            self.machine.handle_persisted(persist.id, context.now);
        }
        while let Some(event) = self.machine.poll_event() {
            context.log.tell(event.at, context.name, || format!("{:?}", event.what));
            self.events.push(event);
        }
        self.lines.flush(context);
    }

    fn write(&mut self, id: LinkId, message: Message, context: &mut Context<'_>) {
        let Some(&socket) = self.links.get(&id) else { return };
        if self.machine.is_logged_in(id) {
            self.lines.allow_large_frames(socket);
        }
        self.lines.send(socket, message, context);
    }

    fn close(&mut self, id: LinkId, context: &mut Context<'_>) {
        if let Some(socket) = self.links.remove(&id) {
            self.ids.remove(&socket);
            self.lines.close(socket, context);
        }
        self.machine.handle_link_closed(id, context.now);
    }
}
