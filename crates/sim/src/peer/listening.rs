//! A listener on a proven port, among whose callers one is expected.

use std::collections::VecDeque;
use std::net::SocketAddr;

use simopen_packet::Timestamp;
use simopen_protocol::greeting::Greetings;
use simopen_traversal::Role;

use super::greeting::{Greeted, Greeting};
use crate::host::SocketId;
use crate::world::Context;

/// Callers that are heard out at a time; the oldest goes when one more comes.
const CALLERS: usize = 8;

/// A port on which anybody may call.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: SocketId,
    greetings: Greetings,
    callers: VecDeque<Greeting>,
}

/// The caller who was expected.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Since when its connection stands.
    pub(crate) since: Timestamp,
    /// What came after its greeting.
    pub(crate) rest: Vec<u8>,
}

impl Listening {
    pub(crate) fn bind(local: SocketAddr, greetings: Greetings, context: &mut Context<'_>) -> Self {
        let listener = context.host.listen(local);
        Self { listener, greetings, callers: VecDeque::new() }
    }

    /// Somebody calls.
    pub(crate) fn hear(&mut self, socket: SocketId, context: &mut Context<'_>) {
        if self.callers.len() == CALLERS
            && let Some(oldest) = self.callers.pop_front()
        {
            context.host.drop_socket(oldest.socket);
        }
        let caller = Greeting::begin(socket, self.greetings, Role::Responder, context);
        self.callers.push_back(caller);
    }

    /// A caller has said something. Strangers are closed.
    pub(crate) fn read(&mut self, socket: SocketId, context: &mut Context<'_>) -> Option<Caller> {
        let place = self.callers.iter().position(|caller| caller.socket == socket)?;
        let greeted = self.callers[place].read(context);
        if greeted == Greeted::Waiting {
            return None;
        }
        let since = self.callers.remove(place)?.since;
        if let Greeted::Right(rest) = greeted {
            return Some(Caller { since, rest });
        }
        context.host.drop_socket(socket);
        None
    }

    /// A caller has gone away.
    pub(crate) fn lost(&mut self, socket: SocketId, context: &mut Context<'_>) {
        let before = self.callers.len();
        self.callers.retain(|caller| caller.socket != socket);
        if self.callers.len() < before {
            context.host.drop_socket(socket);
        }
    }

    /// Closes the port and all who wait at it.
    pub(crate) fn close(self, context: &mut Context<'_>) {
        context.host.drop_socket(self.listener);
        for caller in self.callers {
            context.host.drop_socket(caller.socket);
        }
    }
}
