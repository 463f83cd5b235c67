//! `direct`: the responder listens on its proven port, the originator dials.
//!
//! It needs no privilege, and a box at the responder whose filtering is endpoint-independent: the
//! probe has opened the mapping, and anybody may come in by it. Where the broker has observed both
//! peers at one address, they may be beside each other; the originator then tries the responder's
//! private endpoint first.

use super::{Outbox, Session};
use crate::attempt::{AttemptConfig, Role};
use crate::command::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Direct {
    role: Role,
}

impl Direct {
    pub(super) const fn new(role: Role) -> Self {
        Self { role }
    }

    pub(super) const fn listens(self) -> bool {
        matches!(self.role, Role::Responder)
    }

    /// It listens before it says so.
    pub(super) fn respond(config: &AttemptConfig, session: &Session, out: &mut Outbox) {
        out.commands.push_back(Command::Listen { local: config.local });
        out.accept_in_private_too(session, config.local);
    }

    pub(super) fn start(self, config: &AttemptConfig, session: &Session, out: &mut Outbox) {
        if !self.listens() {
            out.dial(config, session, config.kernel_ttl);
        }
    }
}
