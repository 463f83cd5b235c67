//! Streams whose two directions are two connections, as where HTTP carries them.

use std::collections::BTreeMap;

use super::{HostEvent, SocketId};

/// The streams of one host, by the connection that is read.
#[derive(Debug, Default)]
pub(super) struct Pairs(BTreeMap<SocketId, Pair>);

#[derive(Debug)]
struct Pair {
    written: SocketId,
    /// What had come before the two were one.
    rest: Vec<u8>,
}

impl Pairs {
    pub(super) fn add(&mut self, read: SocketId, written: SocketId, rest: Vec<u8>) {
        self.0.insert(read, Pair { written, rest });
    }

    /// By which connection that leaves which is written to `socket`.
    pub(super) fn writer(&self, socket: SocketId) -> SocketId {
        self.0.get(&socket).map_or(socket, |pair| pair.written)
    }

    pub(super) fn read(&mut self, socket: SocketId, into: &mut Vec<u8>) {
        if let Some(pair) = self.0.get_mut(&socket) {
            into.append(&mut pair.rest);
        }
    }

    /// Forgets a stream, and gives the connection that was written.
    pub(super) fn remove(&mut self, read: SocketId) -> Option<SocketId> {
        self.0.remove(&read).map(|pair| pair.written)
    }

    /// What an event of a connection is to the stream. What the written half carries back is
    /// nothing to it, but its end is.
    pub(super) fn told(&self, event: HostEvent) -> Option<HostEvent> {
        let stream = |socket: SocketId| {
            let found = self.0.iter().find(|(_, pair)| pair.written == socket);
            found.map(|(read, _)| *read)
        };
        match event {
            HostEvent::Reset(socket) => Some(HostEvent::Reset(stream(socket).unwrap_or(socket))),
            HostEvent::Readable(socket) | HostEvent::Closed(socket) if stream(socket).is_some() => {
                None
            }
            other @ (HostEvent::Established(_)
            | HostEvent::Failed(..)
            | HostEvent::Accepted { .. }
            | HostEvent::Readable(_)
            | HostEvent::Closed(_)
            | HostEvent::SynSent { .. }
            | HostEvent::Swallowed(_)) => Some(other),
        }
    }
}
