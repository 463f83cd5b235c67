//! `simultaneous-open`: both sides dial each other from known ports at one moment (RFC 9293 §3.5).
//!
//! The responder's acceptance takes half its own round trip to the broker and half the other
//! side's to arrive, so the responder waits just that long and both SYNs leave together.

use simopen_packet::Timestamp;

use super::{Outbox, Session, Start};
use crate::attempt::AttemptConfig;
use crate::command::{Command, Handshake};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SimultaneousOpen;

impl SimultaneousOpen {
    pub(super) fn respond(
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Start {
        out.accept(session, config.local, None);
        Start::At(now + (config.round_trip + session.peer_round_trip) / 2)
    }

    pub(super) fn start(config: &AttemptConfig, session: &Session, out: &mut Outbox) {
        out.commands.push_back(Command::Dial {
            local: config.local,
            remote: session.remote,
            ttl: config.kernel_ttl,
            handshake: Handshake::EndToEnd,
        });
    }
}
