//! `punch-and-listen`: the responder's box is opened by a SYN that dies on the way, and the
//! responder listens on the same port ("STUNT #2", Guha and Francis 2005).
//!
//! The SYN-ACK that answers the originator has another sequence number than the SYN that opened
//! the box, which a box that tracks strictly calls INVALID.

use simopen_packet::Timestamp;

use super::{Outbox, Session};
use crate::attempt::{AttemptConfig, Role, TURN_ROUND};
use crate::command::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PunchAndListen {
    role: Role,
    listen_at: Option<Timestamp>,
}

impl PunchAndListen {
    pub(super) const fn new(role: Role) -> Self {
        Self { role, listen_at: None }
    }

    pub(super) const fn listens(self) -> bool {
        matches!(self.role, Role::Responder)
    }

    pub(super) const fn listen_at(self) -> Option<Timestamp> {
        self.listen_at
    }

    pub(super) const fn stop(&mut self) {
        self.listen_at = None;
    }

    pub(super) fn start(
        &mut self,
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        if self.listens() {
            let (local, remote) = (config.local, session.remote);
            out.commands.push_back(Command::Punch { local, remote, ttl: config.low_ttl });
            self.listen_at = Some(now + TURN_ROUND);
        } else {
            out.dial(config, session, config.kernel_ttl);
        }
    }

    /// The SYN has left: it was seen, or there was time enough. Nothing more is asked of it, so
    /// neither an ICMP error nor a retransmission is waited for.
    pub(super) fn punched(&mut self, config: &AttemptConfig, session: &Session, out: &mut Outbox) {
        if self.listen_at.take().is_some() {
            out.commands.push_back(Command::Listen { local: config.local });
            out.accept(session, config.local, None);
        }
    }
}
