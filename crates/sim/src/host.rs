//! One TCP/IP stack at one port of the network: smoltcp, and what Linux does otherwise.
//!
//! A [`Host`] is a machine as all others: packets, calls and moments go in, packets, events and
//! the next deadline come out. Each call is one that a program makes of its kernel. With
//! [`Stack::Linux`] a shim stands between the packets and smoltcp; it keeps packets back, writes
//! them anew or adds some, and leaves the connection itself to smoltcp.

mod connection;
mod dialect;
mod engine;
mod handshake;
mod icmp;
mod install;
mod outbox;
mod pairs;
mod round_trip;
mod synchronized;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use simopen_packet::{
    Entropy, IcmpMessage, Packet, Syn, SynAck, TcpFlags, Timestamp, Transport, Ttl,
};
use simopen_traversal::DialOutcome;

pub use self::connection::Synchronized;
use self::connection::{Connection, Origin, Turn};
use self::engine::Engine;
pub(crate) use self::handshake::WINDOW_SCALE;
use self::handshake::reset;
use self::outbox::Outbox;
use self::pairs::Pairs;
use crate::stack::Stack;

/// Ports that Linux gives to sockets that ask for none (`ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
/// Connections that a host has at once; SYNs beyond are dropped, as with a full backlog.
const CONNECTIONS: usize = 4096;

/// Events that may wait before what is swallowed is no longer told.
const EVENTS: usize = 4096;

/// The number of a socket at its host; none is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u32);

/// What became true at a host. Complete: it will not grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// A dial has succeeded.
    Established(SocketId),
    /// A dial has ended otherwise; the socket is gone.
    Failed(SocketId, DialOutcome),
    /// A connection came to a listener.
    Accepted {
        /// The listener.
        listener: SocketId,
        /// The connection.
        socket: SocketId,
        /// Where it came from.
        remote: SocketAddr,
        /// Its SYN as it arrived, as `TCP_SAVED_SYN` tells it.
        syn: Option<Syn>,
    },
    /// There are bytes to read; not said again before they are read.
    Readable(SocketId),
    /// The other side has closed its half, and all bytes before that have been read.
    Closed(SocketId),
    /// An established connection was reset; the socket is gone.
    Reset(SocketId),
    /// A SYN of a watched dial leaves, for the first time or again.
    SynSent {
        /// The dial.
        socket: SocketId,
        /// The whole packet.
        packet: Vec<u8>,
    },
    /// A packet came to a swallowing port.
    Swallowed(Vec<u8>),
}

/// How to dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// The TTL or hop limit of all packets, or with a shield of all bare SYNs; the system's
    /// without.
    pub ttl: Option<Ttl>,
    /// Whether ICMP errors are kept away from the socket.
    pub icmp_shield: bool,
    /// Whether each SYN is told as it leaves.
    pub watch: bool,
}

/// One TCP/IP stack, without IO and without a clock.
pub struct Host {
    stack: Stack,
    addresses: Vec<IpAddr>,
    chance: ChaCha20Rng,
    engine: Engine,
    /// By their numbers, ascending.
    connections: Vec<Connection>,
    ports: Vec<Port>,
    pairs: Pairs,
    next: u32,
    outbox: Outbox,
    events: VecDeque<HostEvent>,
    /// The latest moment that it was told.
    now: Timestamp,
}

/// A port that connections may come to.
struct Port {
    id: SocketId,
    local: SocketAddr,
    swallows: bool,
}

impl Host {
    /// A host with these addresses and no sockets.
    #[must_use]
    pub fn new(addresses: &[IpAddr], stack: Stack, entropy: Entropy, now: Timestamp) -> Self {
        let mut chance = ChaCha20Rng::from_seed(entropy.into_bytes());
        let engine = Engine::new(chance.next_u64(), now);
        Self {
            stack,
            addresses: addresses.to_vec(),
            chance,
            engine,
            connections: Vec::new(),
            ports: Vec::new(),
            pairs: Pairs::default(),
            next: 0,
            outbox: Outbox::default(),
            events: VecDeque::new(),
            now,
        }
    }

    /// Gives the host other addresses. Connections of an address that is gone fall silent.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) {
        self.addresses = addresses.to_vec();
    }

    /// A port of the range that Linux gives out, with no socket on it.
    pub fn ephemeral_port(&mut self) -> u16 {
        let span = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        let begin = self.chance.next_u32() % span;
        let ports = (0..span).map(|step| EPHEMERAL.start() + ((begin + step) % span) as u16);
        let mut free = ports.filter(|port| !self.is_taken(*port));
        free.next().unwrap_or(*EPHEMERAL.start())
    }

    fn is_taken(&self, port: u16) -> bool {
        self.ports.iter().any(|bound| bound.local.port() == port)
            || self.connections.iter().any(|connection| connection.local.port() == port)
    }

    /// Takes connections at a port, on one address or on the unspecified one, however many
    /// sockets have that port already (`SO_REUSEPORT`).
    pub fn listen(&mut self, local: SocketAddr) -> SocketId {
        self.bind(local, false)
    }

    /// Takes what comes to a port and to no connection, and answers nothing.
    pub fn swallow(&mut self, local: SocketAddr) -> SocketId {
        self.bind(local, true)
    }

    fn bind(&mut self, local: SocketAddr, swallows: bool) -> SocketId {
        let id = self.number();
        self.ports.push(Port { id, local, swallows });
        id
    }

    fn number(&mut self) -> SocketId {
        let id = SocketId(self.next);
        self.next += 1;
        id
    }

    /// Begins to dial. A four-tuple that is in use fails, as `EADDRNOTAVAIL`.
    pub fn dial(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        options: DialOptions,
        now: Timestamp,
    ) -> SocketId {
        let id = self.number();
        let origin = Origin::Dialled { watched: options.watch, shielded: options.icmp_shield };
        let taken = self.find(local, remote).is_some() || self.connections.len() >= CONNECTIONS;
        let mut connection = Connection::new(id, [local, remote], origin, self.stack);
        connection.ttl = options.ttl.unwrap_or(Ttl::DEFAULT);
        if taken || !connection.connect(&mut self.engine) {
            self.events.push_back(HostEvent::Failed(id, DialOutcome::LocalError));
            return id;
        }
        let chance = self.chance.next_u32();
        let stack = self.stack;
        let mut turn = self.turn(now);
        match stack {
            Stack::Linux => connection.dial_as_linux(chance, &mut turn),
            Stack::Smoltcp => connection.advance(&mut turn),
        }
        self.keep(connection);
        id
    }

    fn keep(&mut self, connection: Connection) {
        if !connection.is_over() {
            self.connections.push(connection);
        }
    }

    fn turn(&mut self, now: Timestamp) -> Turn<'_> {
        self.now = now;
        Turn { engine: &mut self.engine, outbox: &mut self.outbox, events: &mut self.events, now }
    }

    fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        self.connections.iter().position(|connection| {
            connection.local.port() == local.port()
                && connection.remote == remote
                && connection.local == local
        })
    }

    fn of(&self, socket: SocketId) -> Option<usize> {
        self.connections.binary_search_by_key(&socket, |connection| connection.id).ok()
    }

    /// Sets the TTL of a connection's packets, from the next one on.
    pub fn set_ttl(&mut self, socket: SocketId, ttl: Option<Ttl>) {
        if let Some(at) = self.of(socket) {
            self.connections[at].ttl = ttl.unwrap_or(Ttl::DEFAULT);
        }
    }

    /// Sends a packet as it is, as a raw socket does.
    pub fn emit(&mut self, packet: &[u8]) {
        self.outbox.copy(packet);
    }

    /// Puts a connection together that was opened outside, as `TCP_REPAIR` does: `own` is the SYN
    /// that left from here, `answer` the SYN-ACK that came. It is established at once and says
    /// nothing before it is written to. A four-tuple that is in use gives a socket that is gone.
    pub fn install(&mut self, own: &Syn, answer: &SynAck, now: Timestamp) -> SocketId {
        let id = self.number();
        let (local, remote) = (own.source, answer.source);
        if self.find(local, remote).is_some() || self.connections.len() >= CONNECTIONS {
            return id;
        }
        let mut connection = Connection::new(id, [local, remote], Origin::Installed, self.stack);
        if !connection.connect(&mut self.engine) {
            return id;
        }
        connection.install(own, answer, &mut self.turn(now));
        self.keep(connection);
        id
    }

    /// Takes bytes to send; how many there was room for.
    pub fn write(&mut self, socket: SocketId, bytes: &[u8], now: Timestamp) -> usize {
        let socket = self.pairs.writer(socket);
        self.with(socket, now, |connection, turn| connection.write(bytes, turn)).unwrap_or(0)
    }

    /// Adds all bytes that have come to `into`.
    pub fn read(&mut self, socket: SocketId, into: &mut Vec<u8>) {
        let now = self.now;
        self.pairs.read(socket, into);
        self.with(socket, now, |connection, turn| connection.read(into, turn));
    }

    /// Makes one stream of two connections, which from now on has the name of the one that is read:
    /// what is written leaves by the other, which carries nothing back. `rest` is read first.
    pub fn pair(&mut self, read: SocketId, written: SocketId, rest: Vec<u8>) {
        if !rest.is_empty() {
            self.events.push_back(HostEvent::Readable(read));
        }
        self.pairs.add(read, written, rest);
    }

    /// Closes the own half of a connection, behind all that was written.
    pub fn close(&mut self, socket: SocketId, now: Timestamp) {
        let socket = self.pairs.writer(socket);
        self.with(socket, now, Connection::close);
    }

    /// Lets go of a socket, as closing its descriptor does: listeners and dials end without a
    /// word, connections behind all that was written, or by an RST where bytes were never read.
    /// No event of it comes any more.
    pub fn drop_socket(&mut self, socket: SocketId) {
        let now = self.now;
        self.ports.retain(|port| port.id != socket);
        if let Some(written) = self.pairs.remove(socket) {
            self.with(written, now, Connection::drop_socket);
        }
        self.with(socket, now, Connection::drop_socket);
    }

    fn with<T>(
        &mut self,
        socket: SocketId,
        now: Timestamp,
        call: impl FnOnce(&mut Connection, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let at = self.of(socket)?;
        self.at(at, now, call)
    }

    /// Turns one connection, and forgets it when it is over.
    fn at<T>(
        &mut self,
        at: usize,
        now: Timestamp,
        call: impl FnOnce(&mut Connection, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        self.now = now;
        let connection = self.connections.get_mut(at)?;
        let mut turn = Turn {
            engine: &mut self.engine,
            outbox: &mut self.outbox,
            events: &mut self.events,
            now,
        };
        let result = call(connection, &mut turn);
        if connection.is_over() {
            self.connections.remove(at);
        }
        Some(result)
    }

    /// The shortest round trip that was measured, as `TCP_INFO` tells it.
    #[must_use]
    pub fn round_trip(&self, socket: SocketId) -> Option<Duration> {
        self.connections[self.of(socket)?].trip.shortest
    }

    /// What both sides said when the connection was opened.
    #[must_use]
    pub fn sequence_numbers(&self, socket: SocketId) -> Option<Synchronized> {
        self.connections[self.of(socket)?].synchronized()
    }

    /// A packet came. What is not whole, not for this host, or has a wrong checksum, is dropped.
    pub fn handle_packet(&mut self, packet: &[u8], now: Timestamp) {
        let Ok(view) = Packet::parse(packet) else {
            return;
        };
        if !self.addresses.contains(&view.ip.destination)
            || Packet::verify_checksums(packet).is_err()
        {
            return;
        }
        match view.transport {
            Transport::Tcp(_) => self.handle_segment(packet, &view, now),
            Transport::Icmp(message) => self.handle_icmp(&message, now),
            Transport::Other | Transport::Fragment => {}
        }
    }

    fn handle_icmp(&mut self, message: &IcmpMessage<'_>, now: Timestamp) {
        if let Some(quoted) = &message.quoted
            && let Some(at) = self.find(quoted.source, quoted.destination)
        {
            let kind = message.kind;
            self.at(at, now, |connection, turn| connection.handle_icmp(kind, quoted, turn));
        }
    }

    fn handle_segment(&mut self, bytes: &[u8], packet: &Packet<'_>, now: Timestamp) {
        let (Some(remote), Some(local)) = (packet.source_endpoint(), packet.destination_endpoint())
        else {
            return;
        };
        if let Some(at) = self.find(local, remote) {
            self.at(at, now, |connection, turn| connection.handle(bytes, packet, turn));
            return;
        }
        let flags = packet.tcp().map_or_else(TcpFlags::default, |segment| segment.flags);
        match self.port_for(local) {
            Some(Port { swallows: true, .. }) => {
                if self.events.len() < EVENTS {
                    self.events.push_back(HostEvent::Swallowed(bytes.to_vec()));
                }
            }
            Some(port) if flags.is_bare_syn() => {
                let listener = port.id;
                self.accept(listener, bytes, packet, now);
            }
            Some(_) | None => reset(packet, &mut self.turn(now)),
        }
    }

    /// Who takes what comes for an endpoint: one that names the address before one that does not.
    fn port_for(&self, local: SocketAddr) -> Option<&Port> {
        let on_port = self.ports.iter().filter(|port| port.local.port() == local.port());
        let on_address = on_port.clone().find(|port| port.local.ip() == local.ip());
        on_address.or_else(|| {
            let of_family = |port: &&Port| port.local.is_ipv4() == local.is_ipv4();
            on_port.filter(of_family).find(|port| port.local.ip().is_unspecified())
        })
    }

    fn accept(&mut self, listener: SocketId, bytes: &[u8], packet: &Packet<'_>, now: Timestamp) {
        let Ok(syn) = Syn::from_packet(packet) else {
            return;
        };
        if self.connections.len() >= CONNECTIONS {
            return;
        }
        let id = self.number();
        let origin = Origin::Accepted { listener, syn: Some(syn) };
        let mut connection = Connection::new(id, [syn.destination, syn.source], origin, self.stack);
        let chance = self.chance.next_u32();
        let stack = self.stack;
        let mut turn = self.turn(now);
        match stack {
            Stack::Linux => connection.answer_as_linux(&syn, bytes, chance, &mut turn),
            Stack::Smoltcp => {
                connection.expect_syn();
                connection.handle(bytes, packet, &mut turn);
            }
        }
        self.keep(connection);
    }

    /// A moment has come; it may be early or late.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        for connection in &mut self.connections {
            let mut turn = Turn {
                engine: &mut self.engine,
                outbox: &mut self.outbox,
                events: &mut self.events,
                now,
            };
            connection.handle_timeout(&mut turn);
        }
        self.connections.retain(|connection| !connection.is_over());
    }

    /// The next packet to send, in place of what is in `into`; `false` if there is none.
    pub fn poll_transmit(&mut self, into: &mut Vec<u8>) -> bool {
        self.outbox.take(into)
    }

    /// What became true, in its order.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        while let Some(event) = self.events.pop_front() {
            if let Some(event) = self.pairs.told(event) {
                return Some(event);
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.connections.iter().filter_map(Connection::due).min()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Host")
            .field("stack", &self.stack)
            .field("addresses", &self.addresses)
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
