//! `relay`: both sides dial a relay and present a value each; it joins them (seed 001 ¶175-182).
//!
//! Nobody needs a port that is proven, and none of the boxes has to let anything in. The responder
//! accepts at once and dials at once; the originator dials as soon as it knows where. What comes
//! first is held by the relay until the other side is there.

use simopen_protocol::control::{Accept, Action};
use simopen_protocol::technique::Carriage;

use super::{Outbox, Session};
use crate::command::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Relay {
    carriage: Carriage,
}

impl Relay {
    pub(super) const fn new(carriage: Carriage) -> Self {
        Self { carriage }
    }

    pub(super) fn respond(session: &Session, out: &mut Outbox) {
        let accept = Accept { session: session.id, port: 0, syn: None, private: None };
        out.messages.push_back(Action::Accept(accept));
    }

    pub(super) fn start(self, out: &mut Outbox) {
        out.commands.push_back(Command::Meet(self.carriage));
    }
}
