//! Proven ports: probes under way, and the connections that keep what they proved.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use simopen_packet::{SeqNumber, Syn, Timestamp};
use simopen_protocol::control::{Action, LoggedIn, Message, Probe, Reply, Request, Response};
use simopen_protocol::identity::PeerId;
use simopen_protocol::token::Token;
use simopen_traversal::probe::{ProbeCommand, ProbeStock, ProvenPort};
use simopen_traversal::signalling::FIRST;

use crate::host::{DialOptions, SocketId};
use crate::lines::{LineNumber, Lines};
use crate::world::Context;

/// The stock of ports of one peer that is logged in.
#[derive(Debug)]
pub(crate) struct Ports {
    stock: ProbeStock,
    peer: PeerId,
    secret: Token,
    address: IpAddr,
    broker: SocketAddr,
    /// Probes that the broker has not answered yet.
    proving: BTreeMap<SocketId, Proving>,
    /// What keeps the mapping of each port in the boxes.
    held: BTreeMap<SocketAddr, SocketId>,
}

#[derive(Debug)]
struct Proving {
    local: SocketAddr,
    /// As its SYN left.
    sequence: Option<SeqNumber>,
}

/// A proven port and the connection that proved it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port {
    pub(crate) proven: ProvenPort,
    pub(crate) probe: SocketId,
}

impl Ports {
    /// A stock that keeps one port ready.
    pub(crate) fn new(
        logged_in: &LoggedIn,
        address: IpAddr,
        broker: SocketAddr,
        now: Timestamp,
    ) -> Self {
        Self {
            stock: ProbeStock::new(1, now),
            peer: logged_in.peer,
            secret: logged_in.probe_secret,
            address,
            broker,
            proving: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stock.ready() > 0
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.stock.poll_timeout()
    }

    /// A port, where one is ready. The next probe begins at the next [`Self::work`].
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Port> {
        let proven = self.stock.take(now)?;
        let probe = self.held.remove(&proven.local)?;
        Some(Port { proven, probe })
    }

    /// Does what the stock wants done.
    pub(crate) fn work(&mut self, lines: &mut Lines, context: &mut Context<'_>) {
        self.stock.handle_timeout(context.now);
        while let Some(command) = self.stock.poll_command() {
            match command {
                ProbeCommand::Probe => self.probe(context),
                ProbeCommand::Close(local) => {
                    if let Some(socket) = self.held.remove(&local) {
                        lines.close(socket, context);
                    }
                }
            }
        }
    }

    /// Opens a connection to the broker from a fresh port.
    fn probe(&mut self, context: &mut Context<'_>) {
        let local = SocketAddr::new(self.address, context.host.ephemeral_port());
        let options = DialOptions { watch: true, ..DialOptions::default() };
        let socket = context.host.dial(local, self.broker, options, context.now);
        self.proving.insert(socket, Proving { local, sequence: None });
    }

    /// Its SYN has left.
    pub(crate) fn syn_sent(&mut self, socket: SocketId, packet: &[u8]) {
        if let Some(proving) = self.proving.get_mut(&socket)
            && proving.sequence.is_none()
        {
            proving.sequence = Syn::parse(packet).ok().map(|syn| syn.sequence);
        }
    }

    pub(crate) fn is_proving(&self, socket: SocketId) -> bool {
        self.proving.contains_key(&socket)
    }

    /// It stands: names the sequence number of its SYN.
    pub(crate) fn dialled(
        &self,
        socket: SocketId,
        number: LineNumber,
        lines: &mut Lines,
        context: &mut Context<'_>,
    ) {
        let Some(proving) = self.proving.get(&socket) else { return };
        lines.dialled(socket, number, context);
        let probe = Probe {
            peer: self.peer,
            secret: self.secret,
            port: proving.local.port(),
            sequence: proving.sequence,
        };
        let request = Request::new(FIRST, Action::Probe(probe));
        lines.send(socket, Message::Request(request), context);
    }

    /// The broker has answered.
    pub(crate) fn answered(
        &mut self,
        socket: SocketId,
        response: &Response,
        lines: &mut Lines,
        context: &mut Context<'_>,
    ) {
        if response.head.id() != Some(FIRST) {
            return;
        }
        let Some(proving) = self.proving.remove(&socket) else { return };
        if let Ok(Reply::Observed(observed)) = &response.result {
            let proven = ProvenPort {
                local: proving.local,
                observed: observed.endpoint,
                ttl: observed.ttl,
                at: context.now,
            };
            self.held.insert(proving.local, socket);
            self.stock.handle_proven(proven, context.now);
        } else {
            lines.close(socket, context);
            self.stock.handle_failed(context.now);
        }
    }

    /// A probe could not be made, or broke before it was answered.
    pub(crate) fn lost(&mut self, socket: SocketId, now: Timestamp) {
        if self.proving.remove(&socket).is_some() {
            self.stock.handle_failed(now);
        }
    }
}
