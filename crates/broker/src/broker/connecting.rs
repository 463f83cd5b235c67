//! Asking for a connection, and where both sides meet at a relay, asking that relay first (seed
//! 001 ¶167, ¶177-178).

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    self, Accepted, Connect, ConnectionRequest, Destination, ErrorName, Head, Notification,
    Outcome, OutcomeState, Proxy, Reachable, Reply,
};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{DeviceName, PeerId, SessionId, UserId};

use super::signalling::{judge_report, observe};
use super::{Broker, Phase, refusal};
use crate::consent::{Forging, SESSION_LIFETIME};
use crate::deadline::Due;
use crate::event::What;
use crate::link::LinkId;
use crate::pairing::{PairingOrder, Side};
use crate::session::{Meeting, MeetingState, PartyState, Session};

/// The most bytes of unknown attributes in a request that waits for its answer: they are kept until
/// then, once for each session that a peer may ask for.
const MAX_KEPT: usize = 1024;

impl Broker {
    /// `kept` is the length of the request's unknown attributes.
    pub(super) fn connect(
        &mut self,
        link: LinkId,
        connect: &Connect,
        head: &Head,
        kept: usize,
        now: Timestamp,
    ) -> Result<(), ErrorName> {
        let peer = self.peer_on(link)?;
        if kept > MAX_KEPT {
            return Err(refusal("too-long"));
        }
        if self.phase == Phase::Restarting {
            return Err(refusal("restarting"));
        }
        let (limits, by_relay) = (&self.config.limits, connect.technique.meets_at_relay());
        let asked_for = self.peers.get(&peer).map_or(0, |peer| peer.asked_for);
        if asked_for >= limits.sessions_per_peer || self.sessions.len() >= limits.sessions {
            return Err(refusal("too-many-sessions"));
        }
        if connect.technique.needs_forging() && self.config.consent.forging == Forging::Off {
            return Err(Cause::ForgingOff.into());
        }
        if by_relay && self.config.relay.is_empty() {
            return Err(Cause::NoRelay.into());
        }
        let asked = self.reachable(peer, &connect.to, connect.device.as_ref());
        let asked = asked.ok_or(Cause::UnknownPeer)?;
        let proof = self.proof(peer, connect.port, connect.technique, now)?;
        let mut originator = PartyState::new(peer, connect.port, proof);
        if let Some(bytes) = &connect.syn {
            let syn = judge_report(&originator, bytes, None).map_err(|rule| self.forbid(rule))?;
            observe(&mut originator, syn);
        }
        let greetings = Greetings { own: self.random_token(), peer: self.random_token() };
        let id = SessionId(self.random_number());
        let meeting = by_relay.then(|| Meeting {
            values: [self.random_token(), self.random_token()],
            state: MeetingState::Asked,
        });
        let values = meeting.as_ref().map(|meeting| meeting.values);
        let session = Session {
            technique: connect.technique,
            created: now,
            greetings,
            owed: Some(head.clone()),
            originator,
            responder: None,
            asked,
            meeting,
            expiry: None,
            departures: [None; 2],
        };
        self.open_session(id, session, now);
        self.event(
            now,
            What::Asked {
                session: id,
                technique: connect.technique,
                originator: peer,
                responder: asked,
            },
        );
        if let Some(values) = values {
            self.stats.pairings += 1;
            self.orders.push_back(PairingOrder::Open(Proxy { session: id, values }));
        } else {
            self.pass_on(id, Destination::Endpoint(proof.endpoint));
        }
        Ok(())
    }

    /// The relay knows the two values of a pair: each side is given its own, both at one moment.
    pub fn handle_pairing_opened(&mut self, id: SessionId, now: Timestamp) {
        self.handle_timeout(now);
        if self.settle_meeting(id, true) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            // Its sides have gone in the meantime.
            self.orders.push_back(PairingOrder::End(id));
            return;
        };
        let Some(meeting) = &mut session.meeting else {
            return;
        };
        if meeting.state == MeetingState::Open {
            return;
        }
        meeting.state = MeetingState::Open;
        let [for_originator, for_responder] = meeting.values.map(|value| {
            let relay = self.config.relay.clone();
            Destination::Meeting(control::Meeting { relay, value })
        });
        let (greetings, owed) = (session.greetings, session.owed.take());
        let (originator, asked) = (session.originator.peer, session.asked);
        let sides = [originator, asked].map(|peer| {
            let peer = self.peers.get(&peer)?;
            Some(Side { user: peer.user.clone(), device: peer.device.clone() })
        });
        if let [Some(one), Some(other)] = sides {
            self.pairings.insert(id, [one, other], self.config.limits.pairings);
        }
        self.pass_on(id, for_responder);
        let accepted = Accepted {
            session: id,
            peer: asked,
            device: self.peers.get(&asked).and_then(|peer| peer.device.clone()),
            destination: for_originator,
            round_trip: self.path(asked).round_trip,
            greetings,
            private: None,
            certificate: None,
        };
        if let (Some(head), Some(link)) = (owed, self.peers.get(&originator).map(|peer| peer.link))
        {
            self.respond(link, head, Ok(Reply::Accepted(accepted)));
        }
    }

    /// The relay refused a pair, or could not be asked.
    pub fn handle_pairing_failed(&mut self, id: SessionId, now: Timestamp) {
        if self.settle_meeting(id, false) {
            return;
        }
        let is_asked = |session: &Session| !session.is_open();
        if self.sessions.get(&id).is_some_and(is_asked) {
            self.end_session(id, Cause::NoRelay, now);
        }
    }

    /// A pair is no more at the relay: it was never complete, or it has ended. Where nobody tells,
    /// the oldest pairs are forgotten at [`crate::Limits::pairings`].
    pub fn handle_pairing_ended(&mut self, id: SessionId, _now: Timestamp) {
        self.pairings.remove(id);
    }

    /// Passes a request on to the peer that is asked.
    fn pass_on(&mut self, id: SessionId, destination: Destination) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (asked, by) = (session.asked, session.originator.peer);
        let Some(peer) = self.peers.get(&by) else {
            return;
        };
        let request = ConnectionRequest {
            session: id,
            peer: by,
            user: peer.user.clone(),
            device: peer.device.clone(),
            technique: session.technique,
            destination,
            round_trip: self.path(by).round_trip,
            greetings: session.greetings.swapped(),
            certificate: None,
        };
        self.notify(asked, Notification::ConnectionRequest(request));
    }

    /// The newest device of that user, or the named one, if the asker may know of it. Whether a
    /// user does not exist, is away or is a stranger is answered alike.
    fn reachable(&self, asker: PeerId, to: &UserId, device: Option<&DeviceName>) -> Option<PeerId> {
        let own = &self.peers.get(&asker)?.user;
        if !self.directory.share_community(own, to) {
            return None;
        }
        let peers = self.peers_of(to).filter_map(|id| Some((id, self.peers.get(&id)?)));
        let meant = peers.filter(|(id, peer)| {
            *id != asker
                && peer.reachable == Reachable::Yes
                && (device.is_none() || peer.device.as_ref() == device)
        });
        meant.max_by_key(|(_, peer)| peer.login).map(|(id, _)| id)
    }

    fn open_session(&mut self, id: SessionId, mut session: Session, now: Timestamp) {
        // A session may still ask at the very end of its lifetime.
        let end = now + SESSION_LIFETIME + core::time::Duration::from_nanos(1);
        session.expiry = Some(self.deadlines.insert(end, Due::Expiry(id)));
        if let Some(peer) = self.peers.get_mut(&session.originator.peer) {
            peer.asked_for += 1;
            peer.sessions.insert(id);
        }
        if let Some(peer) = self.peers.get_mut(&session.asked) {
            peer.sessions.insert(id);
        }
        self.sessions.insert(id, session);
    }

    pub(super) fn end_session(&mut self, id: SessionId, cause: Cause, now: Timestamp) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        for key in session.expiry.into_iter().chain(session.departures.into_iter().flatten()) {
            self.deadlines.remove(key);
        }
        let originator = session.originator.peer;
        if let Some(peer) = self.peers.get_mut(&originator) {
            peer.asked_for = peer.asked_for.saturating_sub(1);
            peer.sessions.remove(&id);
        }
        if let Some(peer) = self.peers.get_mut(&session.asked) {
            peer.sessions.remove(&id);
        }
        self.forsake(id, &session, cause);
        let told = What::Ended { session: id, cause: session.cause(cause) };
        let was_answered = session.owed.is_none();
        if let Some(head) = session.owed
            && let Some(link) = self.peers.get(&originator).map(|peer| peer.link)
        {
            *self.stats.failed.entry(cause).or_default() += 1;
            self.respond(link, head, Err(cause.into()));
        } else if was_answered && session.responder.is_none() {
            // Both were told where to meet, and one does not come.
            let state = OutcomeState::Failed(cause);
            self.notify(originator, Notification::PeerOutcome(Outcome { session: id, state }));
        }
        self.event(now, told);
    }
}
