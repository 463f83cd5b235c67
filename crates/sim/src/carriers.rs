//! Streams that come to a service as HTTP exchanges, one up and one down.
//!
//! DEVIATION: bodies are not cut into chunks, and no exchange is ever bounded. What is said when,
//! and in which order, is that of `docs/protocol.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use simopen_protocol::carrier::{CarrierId, Direction, Errand, ExchangePath, HEAD_UP, SEEN};

use crate::host::{HostEvent, SocketId};
use crate::world::Context;

/// The answer to a request, before its endless body.
const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n";

/// Exchanges of which not all is known.
#[derive(Debug)]
pub(crate) struct Carriers {
    /// Where everybody comes by requests.
    listeners: Vec<SocketId>,
    /// Connections whose request is not whole, where they came to, and what has come of them.
    asking: BTreeMap<SocketId, (SocketId, SocketAddr, Vec<u8>)>,
    halves: BTreeMap<(CarrierId, Direction), Half>,
}

/// One exchange.
#[derive(Debug)]
struct Half {
    socket: SocketId,
    errand: Errand,
    /// Of the body.
    received: Vec<u8>,
}

/// A stream that is whole.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The connection that came up, by whose name it goes.
    pub(crate) socket: SocketId,
    /// Where it came to.
    pub(crate) listener: SocketId,
    /// Where its exchanges came from; the proxy's port is that of the one up.
    pub(crate) remote: SocketAddr,
    /// What each direction is for.
    pub(crate) errands: [(Direction, Errand); 2],
}

impl Carriers {
    pub(crate) const fn new(listeners: Vec<SocketId>) -> Self {
        Self { listeners, asking: BTreeMap::new(), halves: BTreeMap::new() }
    }

    /// Takes what happened at the host. Whether it was an exchange's; and the stream that is whole
    /// by it.
    pub(crate) fn handle_event(
        &mut self,
        event: &HostEvent,
        context: &mut Context<'_>,
    ) -> (bool, Option<Carried>) {
        match event {
            HostEvent::Accepted { socket, listener, remote, .. }
                if self.listeners.contains(listener) =>
            {
                self.asking.insert(*socket, (*listener, *remote, Vec::new()));
                (true, None)
            }
            HostEvent::Readable(socket) if self.asking.contains_key(socket) => {
                (true, self.read(*socket, context))
            }
            HostEvent::Closed(socket) | HostEvent::Reset(socket)
                if self.asking.remove(socket).is_some() =>
            {
                self.halves.retain(|_, half| half.socket != *socket);
                context.host.drop_socket(*socket);
                (true, None)
            }
            HostEvent::Readable(_)
            | HostEvent::Closed(_)
            | HostEvent::Reset(_)
            | HostEvent::Accepted { .. }
            | HostEvent::Established(_)
            | HostEvent::Failed(..)
            | HostEvent::SynSent { .. }
            | HostEvent::Swallowed(_) => (false, None),
        }
    }

    fn read(&mut self, socket: SocketId, context: &mut Context<'_>) -> Option<Carried> {
        if let Some((carrier, direction)) = self.known(socket) {
            let half = self.halves.get_mut(&(carrier, direction))?;
            context.host.read(socket, &mut half.received);
            return self.join(carrier, context);
        }
        let (_, _, received) = self.asking.get_mut(&socket)?;
        context.host.read(socket, received);
        let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let body = received.split_off(end);
        let head = String::from_utf8_lossy(received).into_owned();
        received.clear();
        let mut words = head.split(' ');
        let direction = match words.next() {
            Some("POST") => Some(Direction::Up),
            Some("GET") => Some(Direction::Down),
            Some(_) | None => None,
        };
        let path = words.next().and_then(|path| path.parse::<ExchangePath>().ok());
        let Some((direction, path)) = direction.zip(path) else {
            self.asking.remove(&socket);
            context.host.write(socket, b"HTTP/1.1 404 Not Found\r\n\r\n", context.now);
            context.host.drop_socket(socket);
            return None;
        };
        if direction == Direction::Down {
            context.host.write(socket, FOUND, context.now);
            context.host.write(socket, &[SEEN], context.now);
        }
        let half = Half { socket, errand: path.errand, received: body };
        self.halves.insert((path.carrier, direction), half);
        self.join(path.carrier, context)
    }

    /// The exchange that a connection is.
    fn known(&self, socket: SocketId) -> Option<(CarrierId, Direction)> {
        let found = self.halves.iter().find(|(_, half)| half.socket == socket);
        found.map(|(exchange, _)| *exchange)
    }

    /// Makes a stream of two exchanges, once both are there and the one up has begun.
    fn join(&mut self, carrier: CarrierId, context: &mut Context<'_>) -> Option<Carried> {
        let begun = usize::try_from(HEAD_UP).unwrap_or(usize::MAX);
        let is_begun = self.halves.get(&(carrier, Direction::Up))?.received.len() >= begun;
        if !is_begun || !self.halves.contains_key(&(carrier, Direction::Down)) {
            return None;
        }
        let up = self.halves.remove(&(carrier, Direction::Up))?;
        let down = self.halves.remove(&(carrier, Direction::Down))?;
        let (listener, remote, _) = self.asking.remove(&up.socket)?;
        self.asking.remove(&down.socket);
        context.host.write(down.socket, &[SEEN], context.now);
        let rest = up.received.get(begun..).unwrap_or_default().to_vec();
        context.host.pair(up.socket, down.socket, rest);
        let errands = [(Direction::Up, up.errand), (Direction::Down, down.errand)];
        Some(Carried { socket: up.socket, listener, remote, errands })
    }
}
