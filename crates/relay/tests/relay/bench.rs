//! A relay with a clock, and what came out of it.

use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_protocol::token::Token;
use simopen_relay::{Command, ConnectionId, Limits, Presented, Relay};

pub(crate) struct Bench {
    pub(crate) relay: Relay,
    pub(crate) now: Timestamp,
    pub(crate) commands: Vec<Command>,
    /// Pairings that are no more, since the last call of [`Bench::gone`].
    gone: Vec<u64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            relay: Relay::new(limits),
            now: Timestamp::ZERO,
            commands: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self, session: u64) {
        self.relay.handle_open(&proxy(session), self.now).unwrap();
    }

    /// Accepts a connection that presents this at once.
    pub(crate) fn present(&mut self, connection: u64, presented: Presented) {
        self.accept(connection);
        self.present_on(connection, presented);
    }

    pub(crate) fn accept(&mut self, connection: u64) {
        self.relay.handle_connection(ConnectionId(connection), self.now);
        self.drain();
    }

    pub(crate) fn present_on(&mut self, connection: u64, presented: Presented) {
        self.relay.handle_presented(ConnectionId(connection), &presented, self.now);
        self.drain();
    }

    /// Lets time pass, and wakes the relay whenever it wants to be woken.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some((at, _)) = self.relay.poll_timeout()
            && at <= until
        {
            self.now = self.now.max(at);
            self.relay.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(command) = self.relay.poll_command() {
            if let Command::Gone(SessionId(session)) = command {
                self.gone.push(session);
            } else {
                self.commands.push(command);
            }
        }
    }

    /// What came out since the last call, but for pairings that are no more.
    pub(crate) fn came(&mut self) -> Vec<Command> {
        self.drain();
        std::mem::take(&mut self.commands)
    }

    /// Pairings that are no more since the last call.
    pub(crate) fn gone(&mut self) -> Vec<u64> {
        self.drain();
        std::mem::take(&mut self.gone)
    }
}

pub(crate) fn proxy(session: u64) -> Proxy {
    Proxy { session: SessionId(session), values: [token(session, 0), token(session, 1)] }
}

pub(crate) fn token(session: u64, side: u8) -> Token {
    let mut bytes = [0; 32];
    bytes[1] = side;
    bytes[8..16].copy_from_slice(&session.to_be_bytes());
    Token::from_random(bytes)
}

pub(crate) fn value(session: u64, side: u8) -> Presented {
    Presented::Value(*token(session, side).as_bytes())
}

pub(crate) fn joined(session: u64, originator: u64, responder: u64) -> Command {
    let connections = [ConnectionId(originator), ConnectionId(responder)];
    Command::Join { session: SessionId(session), connections }
}

pub(crate) fn refused(connection: u64) -> Command {
    Command::Refuse(ConnectionId(connection))
}
