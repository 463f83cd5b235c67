//! The first bytes on an opened connection.

use simopen_packet::Timestamp;
use simopen_protocol::greeting::{self, GREETING_LEN, Greetings};
use simopen_traversal::Role;

use crate::host::SocketId;
use crate::world::Context;

/// An exchange of greetings. The originator speaks first.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) socket: SocketId,
    /// Since when the connection stands.
    pub(crate) since: Timestamp,
    greetings: Greetings,
    role: Role,
    received: Vec<u8>,
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeted {
    /// Not all has come yet.
    Waiting,
    /// It is the one who was expected; these bytes came after its greeting.
    Right(Vec<u8>),
    /// It is somebody else.
    Wrong,
}

impl Greeting {
    pub(crate) fn begin(
        socket: SocketId,
        greetings: Greetings,
        role: Role,
        context: &mut Context<'_>,
    ) -> Self {
        if role == Role::Originator {
            context.host.write(socket, &greeting::encode(&greetings.own), context.now);
        }
        Self { socket, since: context.now, greetings, role, received: Vec::new() }
    }

    /// Reads what has come in, and answers a right greeting where it is this side's turn.
    pub(crate) fn read(&mut self, context: &mut Context<'_>) -> Greeted {
        context.host.read(self.socket, &mut self.received);
        let Some((theirs, rest)) = self.received.split_first_chunk::<GREETING_LEN>() else {
            return Greeted::Waiting;
        };
        if !greeting::presents(theirs, &self.greetings.peer) {
            return Greeted::Wrong;
        }
        let rest = rest.to_vec();
        if self.role == Role::Responder {
            let own = greeting::encode(&self.greetings.own);
            context.host.write(self.socket, &own, context.now);
        }
        Greeted::Right(rest)
    }
}
