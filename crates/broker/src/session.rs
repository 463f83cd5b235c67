//! One request for a connection, from its two sides.

use core::net::SocketAddr;

use simopen_packet::{Syn, Timestamp};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Head, OutcomeState};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::PeerId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

use crate::deadline::Key;
use crate::link::Proof;

/// Which side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// Who asked.
    Originator,
    /// Who was asked.
    Responder,
}

impl Party {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Originator => Self::Responder,
            Self::Responder => Self::Originator,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) technique: Technique,
    pub(crate) created: Timestamp,
    /// As the originator says them.
    pub(crate) greetings: Greetings,
    /// The originator's request, until it is answered.
    pub(crate) owed: Option<Head>,
    pub(crate) originator: PartyState,
    /// `None` until the responder has accepted.
    pub(crate) responder: Option<PartyState>,
    pub(crate) asked: PeerId,
    /// Where the two meet at a relay: their values.
    pub(crate) meeting: Option<Meeting>,
    /// When it has lived for long enough.
    pub(crate) expiry: Option<Key>,
    /// The forged packets that are due, towards the originator and the responder.
    pub(crate) departures: [Option<Key>; 2],
}

/// The two values of a session by a relay, as the originator and the responder present them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Meeting {
    pub(crate) values: [Token; 2],
    /// Whether the relay knows them: nobody is told of them before.
    pub(crate) state: MeetingState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MeetingState {
    Asked,
    Open,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartyState {
    pub(crate) peer: PeerId,
    /// The local port, as the peer sees it.
    pub(crate) port: u16,
    pub(crate) proof: Proof,
    /// The SYN that this side reported; forged packets answer it.
    pub(crate) syn: Option<Syn>,
    /// How often that SYN was reported.
    pub(crate) observations: u8,
    /// How many forged packets this side was sent.
    pub(crate) forged: u8,
    pub(crate) outcome: Option<OutcomeState>,
}

impl PartyState {
    pub(crate) const fn new(peer: PeerId, port: u16, proof: Proof) -> Self {
        Self { peer, port, proof, syn: None, observations: 0, forged: 0, outcome: None }
    }
}

impl Session {
    pub(crate) fn party_of(&self, peer: PeerId) -> Option<Party> {
        if self.originator.peer == peer {
            Some(Party::Originator)
        } else if self.asked == peer {
            Some(Party::Responder)
        } else {
            None
        }
    }

    pub(crate) const fn state(&self, party: Party) -> Option<&PartyState> {
        match party {
            Party::Originator => Some(&self.originator),
            Party::Responder => self.responder.as_ref(),
        }
    }

    pub(crate) const fn state_mut(&mut self, party: Party) -> Option<&mut PartyState> {
        match party {
            Party::Originator => Some(&mut self.originator),
            Party::Responder => self.responder.as_mut(),
        }
    }

    pub(crate) fn peer(&self, party: Party) -> PeerId {
        match party {
            Party::Originator => self.originator.peer,
            Party::Responder => self.asked,
        }
    }

    pub(crate) fn endpoint(&self, party: Party) -> Option<SocketAddr> {
        self.state(party).map(|state| state.proof.endpoint)
    }

    /// Whether the two sides may know of it: a meeting is hidden until the relay knows it too.
    pub(crate) fn is_open(&self) -> bool {
        self.meeting.as_ref().is_none_or(|meeting| meeting.state == MeetingState::Open)
    }

    pub(crate) const fn departure_mut(&mut self, towards: Party) -> &mut Option<Key> {
        let [originator, responder] = &mut self.departures;
        match towards {
            Party::Originator => originator,
            Party::Responder => responder,
        }
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        let confirmed = |party| {
            let outcome = self.state(party).and_then(|state| state.outcome);
            outcome == Some(OutcomeState::Confirmed)
        };
        confirmed(Party::Originator) || confirmed(Party::Responder)
    }

    /// Why the two are not connected: what a side told first, or why the session ended.
    pub(crate) fn cause(&self, end: Cause) -> Option<Cause> {
        let told = |party| match self.state(party)?.outcome? {
            OutcomeState::Failed(cause) => Some(cause),
            OutcomeState::Confirmed => None,
        };
        if self.is_confirmed() {
            return None;
        }
        Some(told(Party::Originator).or_else(|| told(Party::Responder)).unwrap_or(end))
    }

    pub(crate) fn both_syns_known(&self) -> bool {
        let known = |party| self.state(party).is_some_and(|state| state.syn.is_some());
        known(Party::Originator) && known(Party::Responder)
    }

    pub(crate) fn is_over(&self) -> bool {
        let done = |party| self.state(party).is_some_and(|state| state.outcome.is_some());
        done(Party::Originator) && done(Party::Responder)
    }
}
