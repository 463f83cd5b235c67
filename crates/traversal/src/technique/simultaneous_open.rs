//! `simultaneous-open`: both sides dial each other from known ports at one moment (RFC 9293 §3.5).
//!
//! The responder's acceptance takes half its own round trip to the broker and half the other
//! side's to arrive, so the responder waits just that long and both SYNs leave together.
//!
//! With `-low-ttl` the first SYN opens the own box only: it dies before it meets the other side's,
//! which may answer RST as long as its own side has not dialled. The one that the kernel sends a
//! second later has the usual TTL, and finds both boxes open.

use simopen_packet::{Timestamp, Ttl};

use super::{INITIAL_RTO, Outbox, Session, Start};
use crate::attempt::AttemptConfig;
use crate::command::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SimultaneousOpen {
    first_ttl: Option<Ttl>,
    raise_at: Option<Timestamp>,
}

impl SimultaneousOpen {
    pub(super) const fn new(first_ttl: Option<Ttl>) -> Self {
        Self { first_ttl, raise_at: None }
    }

    pub(super) const fn raise_at(self) -> Option<Timestamp> {
        self.raise_at
    }

    pub(super) const fn stop(&mut self) {
        self.raise_at = None;
    }

    pub(super) fn respond(
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Start {
        out.accept(session, config.local, None);
        Start::At(now + (config.round_trip + session.peer_round_trip) / 2)
    }

    pub(super) fn start(
        &mut self,
        config: &AttemptConfig,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        out.dial(config, session, self.first_ttl.or(config.kernel_ttl));
        // As far from the first SYN, which may be slow to leave, as from the second.
        self.raise_at = self.first_ttl.map(|_| now + INITIAL_RTO / 2);
    }

    pub(super) fn raise(&mut self, out: &mut Outbox) {
        if self.raise_at.take().is_some() {
            out.commands.push_back(Command::RaiseTtl);
        }
    }
}
