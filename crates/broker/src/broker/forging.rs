//! From two reported SYNs to two forged packets.

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Notification, Outcome, OutcomeState};
use simopen_protocol::identity::SessionId;
use simopen_protocol::technique::Technique;

use super::Broker;
use crate::arrival;
use crate::consent::{self, Forging, Standing, Violation};
use crate::deadline::Due;
use crate::event::What;
use crate::forge::{self, ConsentRecord};
use crate::session::{Party, Session};

impl Broker {
    /// A side's SYN was reported. The first report of the second side lets both packets go; a
    /// later one is a retransmission and lets one go again, to its sender.
    pub(super) fn reported(&mut self, id: SessionId, by: Party, now: Timestamp) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let observation = session.state(by).map_or(0, |state| state.observations);
        let both_known = session.both_syns_known();
        let technique = session.technique;
        let (originator, responder) =
            (self.path(session.originator.peer), self.path(session.asked));
        self.event(now, What::SynReported { session: id, by, observation });
        let Technique::ForgedSynAck(owner) = technique else {
            return;
        };
        if !both_known {
            return;
        }
        if observation > 1 {
            // Where the first packet is still held back, it answers this report too: a repeat that
            // overtook it would come too early.
            self.schedule(now, id, by);
        } else {
            let both = arrival::departures(owner, now, originator, responder, &self.config.arrival);
            self.schedule(both.responder, id, Party::Responder);
            self.schedule(both.originator, id, Party::Originator);
        }
        self.handle_timeout(now);
    }

    /// Where a packet is held back already, it is that one that leaves.
    fn schedule(&mut self, at: Timestamp, id: SessionId, towards: Party) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let departure = session.departure_mut(towards);
            if departure.is_none() {
                *departure = Some(self.deadlines.insert(at, Due::Departure(id, towards)));
            }
        }
    }

    /// The moment has come: judge, write, send.
    pub(super) fn depart(&mut self, id: SessionId, towards: Party, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        *session.departure_mut(towards) = None;
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let standing = self.standing(session);
        let judged = consent::judge(&self.config.consent, session, standing, towards, now);
        let (source, destination) = match judged {
            Ok(endpoints) => endpoints,
            Err(violation) => {
                self.refuse(id, towards, violation, now);
                if let Some(cause) = violation.ends_session() {
                    self.cannot_forge(id, cause, now);
                }
                return;
            }
        };
        let (Some(receiver), Some(sender)) =
            (session.state(towards), session.state(towards.other()))
        else {
            return;
        };
        let (Some(answered), Some(own)) = (receiver.syn, sender.syn) else {
            return;
        };
        let consent = ConsentRecord {
            session: id,
            towards,
            proven_by: [receiver.proof.link, sender.proof.link],
            source,
            destination,
            sequence: own.sequence,
            acknowledgment: answered.sequence + 1,
            observation: receiver.observations,
            at: now,
        };
        match forge::write(&own, &answered, consent) {
            Err(cause) => self.cannot_forge(id, cause, now),
            Ok(packet) => {
                if let Some(receiver) =
                    self.sessions.get_mut(&id).and_then(|session| session.state_mut(towards))
                {
                    receiver.forged += 1;
                }
                if self.config.consent.forging == Forging::Dangerous {
                    self.stats.forged += 1;
                    self.forged.push_back(packet);
                    self.event(now, What::Forged(consent));
                } else {
                    self.stats.withheld += 1;
                    self.event(now, What::Withheld(consent));
                }
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        session: SessionId,
        towards: Party,
        violation: Violation,
        now: Timestamp,
    ) {
        self.forbid(violation);
        self.event(now, What::Refused { session, towards, violation });
    }

    /// Counts a violation; the word for the asker says no more than that there was one.
    pub(super) fn forbid(&mut self, violation: Violation) -> Cause {
        *self.stats.violations.entry(violation).or_default() += 1;
        Cause::ConsentRefused
    }

    fn standing(&self, session: &Session) -> Standing {
        let users = (self.peers.get(&session.originator.peer), self.peers.get(&session.asked));
        match users {
            (Some(one), Some(other)) => Standing {
                both_online: true,
                share_community: self.directory.share_community(&one.user, &other.user),
            },
            _ => Standing { both_online: false, share_community: false },
        }
    }

    /// Both sides learn the cause; nothing more can come of this session.
    fn cannot_forge(&mut self, id: SessionId, cause: Cause, now: Timestamp) {
        if let Some(session) = self.sessions.get(&id) {
            let peers = [session.originator.peer, session.asked];
            let outcome = Outcome { session: id, state: OutcomeState::Failed(cause) };
            for peer in peers {
                self.notify(peer, Notification::PeerOutcome(outcome.clone()));
            }
        }
        self.end_session(id, cause, now);
    }
}
