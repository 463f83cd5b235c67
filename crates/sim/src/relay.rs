//! The relay's service, without IO: it turns the machine and moves the bytes of those who are
//! joined.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use simopen_broker::PairingOrder;
use simopen_packet::Timestamp;
use simopen_protocol::carrier::Errand;
use simopen_protocol::identity::SessionId;
use simopen_protocol::token::TOKEN_LEN;
use simopen_relay::{Command, ConnectionId, Limits, Presented, Relay};

use crate::carriers::Carried;
use crate::host::{HostEvent, SocketId};
use crate::splice::{Splice, Spliced};
use crate::world::Context;

/// The one who owns the relay machine and turns it.
pub(crate) struct RelayService {
    machine: Relay,
    listener: SocketId,
    next: u64,
    /// Connections that are not joined, and what has come of each.
    unjoined: BTreeMap<SocketId, Unjoined>,
    joined: BTreeMap<SessionId, Splice>,
}

/// A connection that is not joined.
struct Unjoined {
    id: ConnectionId,
    received: Vec<u8>,
    has_presented: bool,
}

/// What became of a pairing, for the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paired {
    Opened(SessionId),
    Failed(SessionId),
}

impl RelayService {
    /// Begins to listen.
    pub(crate) fn listen(local: SocketAddr, context: &mut Context<'_>) -> Self {
        Self {
            machine: Relay::new(Limits::default()),
            listener: context.host.listen(local),
            next: 0,
            unjoined: BTreeMap::new(),
            joined: BTreeMap::new(),
        }
    }

    pub(crate) const fn listener(&self) -> SocketId {
        self.listener
    }

    /// Does what the broker asks for.
    pub(crate) fn handle_order(
        &mut self,
        order: PairingOrder,
        context: &mut Context<'_>,
    ) -> Option<Paired> {
        let paired = match order {
            PairingOrder::Open(proxy) => {
                Some(match self.machine.handle_open(&proxy, context.now) {
                    Ok(()) => Paired::Opened(proxy.session),
                    Err(_) => Paired::Failed(proxy.session),
                })
            }
            PairingOrder::End(session) => {
                self.machine.handle_end(session);
                None
            }
            // Its relay is one that nobody revokes; the other is one of a newer broker.
            PairingOrder::Leave { .. } | _ => None,
        };
        self.turn(context);
        paired
    }

    /// Takes what happened at the host. Whether it was the relay's.
    pub(crate) fn handle_event(&mut self, event: &HostEvent, context: &mut Context<'_>) -> bool {
        match event {
            HostEvent::Accepted { listener, socket, .. } if *listener == self.listener => {
                let id = ConnectionId(self.next);
                self.next += 1;
                let unjoined = Unjoined { id, received: Vec::new(), has_presented: false };
                self.unjoined.insert(*socket, unjoined);
                self.machine.handle_connection(id, context.now);
            }
            HostEvent::Readable(socket) if self.unjoined.contains_key(socket) => {
                self.present(*socket, context);
            }
            HostEvent::Closed(socket) | HostEvent::Reset(socket)
                if self.unjoined.contains_key(socket) =>
            {
                if let Some(unjoined) = self.unjoined.remove(socket) {
                    self.machine.handle_gone(unjoined.id);
                    context.host.drop_socket(*socket);
                }
            }
            HostEvent::Readable(socket) | HostEvent::Closed(socket) | HostEvent::Reset(socket) => {
                let found = self.joined.iter_mut().find(|(_, splice)| splice.has(*socket));
                let Some((session, splice)) = found else { return false };
                let session = *session;
                if matches!(event, HostEvent::Closed(_)) {
                    splice.closed(*socket);
                } else if matches!(event, HostEvent::Reset(_)) {
                    self.end(session, context);
                }
            }
            HostEvent::Accepted { .. }
            | HostEvent::Established(_)
            | HostEvent::Failed(..)
            | HostEvent::SynSent { .. }
            | HostEvent::Swallowed(_) => return false,
        }
        self.turn(context);
        true
    }

    /// Takes a stream that came by requests, whether for this service or another. Whether it was.
    pub(crate) fn handle_carried(&mut self, carried: &Carried, context: &mut Context<'_>) -> bool {
        if carried.listener != self.listener {
            return false;
        }
        let id = ConnectionId(self.next);
        self.next += 1;
        let unjoined = Unjoined { id, received: Vec::new(), has_presented: true };
        self.unjoined.insert(carried.socket, unjoined);
        self.machine.handle_connection(id, context.now);
        for (direction, errand) in carried.errands {
            if let Errand::Meet(digest) = errand {
                let presented = Presented::Digest(direction, digest);
                self.machine.handle_presented(id, &presented, context.now);
            }
        }
        self.turn(context);
        true
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.machine.handle_timeout(context.now);
        self.turn(context);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.machine.poll_timeout().map(|(at, _)| at)
    }

    /// Reads the value, once it is whole. What comes behind it stays for the other side.
    fn present(&mut self, socket: SocketId, context: &mut Context<'_>) {
        let Some(unjoined) = self.unjoined.get_mut(&socket) else { return };
        context.host.read(socket, &mut unjoined.received);
        if unjoined.has_presented {
            return;
        }
        let Some((value, rest)) = unjoined.received.split_first_chunk::<TOKEN_LEN>() else {
            return;
        };
        let (id, value, rest) = (unjoined.id, *value, rest.to_vec());
        unjoined.received = rest;
        unjoined.has_presented = true;
        self.machine.handle_presented(id, &Presented::Value(value), context.now);
    }

    /// Does what the machine wants done, and moves what goes.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) {
        while let Some(command) = self.machine.poll_command() {
            match command {
                Command::Refuse(id) => {
                    if let Some((socket, _)) = self.take(id) {
                        context.host.drop_socket(socket);
                    }
                }
                Command::Join { session, connections } => {
                    let [Some(a), Some(b)] = connections.map(|id| self.take(id)) else { continue };
                    context.log.tell(context.now, context.name, || "joins two sides".to_owned());
                    self.joined.insert(session, Splice::new([a.0, b.0], [a.1, b.1]));
                }
                // The simulated broker forgets the oldest.
                Command::Gone(_) => {}
                Command::End(session) => {
                    if let Some(splice) = self.joined.remove(&session) {
                        splice.drop_both(context);
                    }
                }
            }
        }
        let mut over = Vec::new();
        for (session, splice) in &mut self.joined {
            match splice.turn(context) {
                Spliced::BothOpen => {}
                Spliced::HalfClosed => self.machine.handle_half_closed(*session, context.now),
                Spliced::Over => over.push(*session),
            }
        }
        for session in over {
            self.end(session, context);
        }
    }

    /// A pair has come to its end by itself.
    fn end(&mut self, session: SessionId, context: &mut Context<'_>) {
        if let Some(splice) = self.joined.remove(&session) {
            splice.drop_both(context);
            self.machine.handle_over(session);
        }
    }

    /// Takes a connection that is not joined, with what has come of it.
    fn take(&mut self, id: ConnectionId) -> Option<(SocketId, Vec<u8>)> {
        let (socket, _) = self.unjoined.iter().find(|(_, unjoined)| unjoined.id == id)?;
        let socket = *socket;
        self.unjoined.remove(&socket).map(|unjoined| (socket, unjoined.received))
    }
}

impl std::fmt::Debug for RelayService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RelayService")
            .field("unjoined", &self.unjoined.len())
            .field("joined", &self.joined.len())
            .finish_non_exhaustive()
    }
}
