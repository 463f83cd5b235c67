//! What each request does.

use core::net::SocketAddr;

use simopen_packet::{Syn, Timestamp, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Accepted, Action, Destination, ErrorName, Notification, Observed, Outcome,
    OutcomeState, Probe, Reply, Request, SynBytes, SynReport,
};
use simopen_protocol::document::Attribute;
use simopen_protocol::identity::PeerId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use subtle::ConstantTimeEq;

use super::{Broker, refusal};
use crate::consent::{self, PROOF_LIFETIME, Violation};
use crate::event::What;
use crate::link::{LinkId, LinkKind, PathEstimate, ProbedWay, Proof};
use crate::session::{Party, PartyState};

impl Broker {
    pub(super) fn dispatch(&mut self, link: LinkId, request: Request, now: Timestamp) {
        let head = request.head();
        let result = match request.action {
            Action::Login(_) | Action::Join(_) => return self.enter(link, request, now),
            Action::Probe(probe) => self.probe(link, &probe, now),
            Action::Connect(connect) => {
                let length = length(&request.unknown);
                match self.connect(link, &connect, &head, length, now) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Action::Accept(accept) => self.accept(link, &accept, now),
            Action::Syn(report) => self.syn_report(link, &report, now),
            Action::Outcome(outcome) => self.outcome(link, &outcome, now),
            Action::Ping => Ok(Reply::Done),
            Action::Logout => match self.logout(link, head.clone(), now) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Action::Certificate => self.certify(link),
            Action::ShareAdd(share) => self.add_share(link, &share),
            Action::ShareDrop(share) => self.drop_share(link, &share),
            Action::NoteSend(_)
            | Action::NoteDelete(_)
            | Action::TeamCreate(_)
            | Action::TeamDelete(_)
            | Action::TeamAdd(_)
            | Action::TeamRemove(_) => {
                let submitted = self.peer_on(link);
                let submitted =
                    submitted.and_then(|_| self.submit(link, head.clone(), request.action, now));
                match submitted {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            // Those two are a relay's.
            Action::Proxy(_) | Action::ProxyEnd(_) | _ => Err(refusal("unknown-action")),
        };
        self.respond(link, head, result);
    }

    /// Equality of the SYN that left and the SYN that arrived proves that neither a proxy nor a
    /// box that rewrites sequence numbers stands between, and shows the public endpoint. A
    /// connection proves its endpoint once.
    fn probe(&mut self, id: LinkId, probe: &Probe, now: Timestamp) -> Result<Reply, ErrorName> {
        let link = self.links.get_mut(&id).ok_or(Cause::LinkLost)?;
        let peer = self
            .peers
            .get_mut(&probe.peer)
            .filter(|peer| is_equal(&peer.probe_secret, &probe.secret));
        let (Some(peer), LinkKind::Fresh | LinkKind::Probe) = (peer, link.kind) else {
            return Err(refusal("not-authenticated"));
        };
        link.kind = LinkKind::Probe;
        let endpoint = link.origin.remote;
        // Taken, not copied: a connection through a proxy would otherwise allow guess after guess.
        let arrived = link.origin.syn.take().filter(|syn| syn.source == endpoint);
        let way = match (probe.sequence, arrived.map(|syn| syn.sequence)) {
            (None, _) => ProbedWay::Unknown,
            (left, arrived) if left == arrived => ProbedWay::Verified,
            _ => ProbedWay::ProxiedOrRewritten,
        };
        peer.remember(probe.port, Proof { link: id, endpoint, way, at: now });
        self.event(now, What::Proven { peer: probe.peer, endpoint });
        let ttl = arrived.map_or(Ttl(0), |syn| syn.ttl);
        Ok(Reply::Observed(Observed { endpoint, ttl }))
    }

    fn accept(
        &mut self,
        link: LinkId,
        accept: &Accept,
        now: Timestamp,
    ) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let (originator, technique) = match self.sessions.get(&accept.session) {
            Some(session)
                if session.asked == peer && session.responder.is_none() && session.is_open() =>
            {
                (session.originator.clone(), session.technique)
            }
            Some(_) | None => return Err(refusal("unknown-session")),
        };
        let proof = self.proof(peer, accept.port, technique, now)?;
        let mut responder = PartyState::new(peer, accept.port, proof);
        if let Some(bytes) = &accept.syn {
            let syn = judge_report(&responder, bytes, Some(originator.proof.endpoint));
            let syn = syn.map_err(|violation| {
                self.refuse(accept.session, Party::Responder, violation, now);
                Cause::ConsentRefused
            })?;
            observe(&mut responder, syn);
        }
        let round_trip = self.path(peer).round_trip;
        let device = self.peers.get(&peer).and_then(|peer| peer.device.clone());
        let Some(session) = self.sessions.get_mut(&accept.session) else {
            return Err(refusal("unknown-session"));
        };
        let reported = responder.syn.is_some();
        session.responder = Some(responder);
        let reply = Accepted {
            session: accept.session,
            peer,
            device,
            destination: Destination::Endpoint(proof.endpoint),
            round_trip,
            greetings: session.greetings,
            private: private_endpoint(accept, originator.proof.endpoint, proof.endpoint),
            certificate: None,
        };
        let owed = session.owed.take();
        if let (Some(head), Some(to)) = (owed, self.peers.get(&originator.peer)) {
            self.respond(to.link, head, Ok(Reply::Accepted(reply)));
        }
        self.event(now, What::Accepted { session: accept.session });
        if reported {
            self.reported(accept.session, Party::Responder, now);
        }
        Ok(Reply::Done)
    }

    fn syn_report(
        &mut self,
        link: LinkId,
        report: &SynReport,
        now: Timestamp,
    ) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let unknown = || refusal("unknown-session");
        let session = self.sessions.get(&report.session).ok_or_else(unknown)?;
        let by = session.party_of(peer).ok_or_else(unknown)?;
        let other = session.endpoint(by.other());
        let state = session.state(by).ok_or_else(unknown)?.clone();
        let syn = match judge_report(&state, &report.syn, other) {
            Ok(syn) => syn,
            Err(violation) => {
                self.refuse(report.session, by, violation, now);
                return Err(Cause::ConsentRefused.into());
            }
        };
        if let Some(state) =
            self.sessions.get_mut(&report.session).and_then(|session| session.state_mut(by))
        {
            observe(state, syn);
        }
        self.reported(report.session, by, now);
        Ok(Reply::Done)
    }

    fn outcome(
        &mut self,
        link: LinkId,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let unknown = || refusal("unknown-session");
        let session = self.sessions.get_mut(&outcome.session).ok_or_else(unknown)?;
        let by = session.party_of(peer).ok_or_else(unknown)?;
        let Some(state) = session.state_mut(by) else {
            // The responder declines before it has accepted.
            let OutcomeState::Failed(cause) = outcome.state else {
                return Err(unknown());
            };
            self.end_session(outcome.session, cause, now);
            return Ok(Reply::Done);
        };
        if state.outcome.replace(outcome.state).is_some() {
            return Ok(Reply::Done);
        }
        let other = session.peer(by.other());
        let (is_over, is_confirmed) = (session.is_over(), session.is_confirmed());
        let by_relay = session.meeting.is_some();
        self.notify(other, Notification::PeerOutcome(outcome.clone()));
        if let OutcomeState::Failed(cause) = outcome.state {
            *self.stats.failed.entry(cause).or_default() += 1;
            if by_relay && !is_confirmed {
                self.end_pairing(outcome.session);
            }
        }
        if is_over {
            if is_confirmed {
                self.stats.confirmed += 1;
                self.event(now, What::Connected { session: outcome.session });
            }
            self.end_session(outcome.session, Cause::Unspecified, now);
        }
        Ok(Reply::Done)
    }

    pub(super) fn path(&self, peer: PeerId) -> PathEstimate {
        let link = self.peers.get(&peer).and_then(|peer| self.links.get(&peer.link));
        link.map(|link| link.path).unwrap_or_default()
    }

    pub(super) fn peer_on(&self, link: LinkId) -> Result<PeerId, ErrorName> {
        match self.links.get(&link).map(|link| link.kind) {
            Some(LinkKind::Control(peer)) => Ok(peer),
            Some(LinkKind::Fresh | LinkKind::Probe | LinkKind::Ended) | None => {
                Err(refusal("not-logged-in"))
            }
        }
    }

    /// Only forging needs a verified endpoint: nothing else goes there in another's name. Where
    /// both sides meet at a relay nothing goes there at all.
    pub(super) fn proof(
        &self,
        peer: PeerId,
        port: u16,
        technique: Technique,
        now: Timestamp,
    ) -> Result<Proof, ErrorName> {
        let known = self.peers.get(&peer);
        if technique.meets_at_relay() {
            let id = known.ok_or(Cause::LinkLost)?.link;
            let endpoint = self.links.get(&id).ok_or(Cause::LinkLost)?.origin.remote;
            return Ok(Proof { link: id, endpoint, way: ProbedWay::Unknown, at: now });
        }
        let proof = known.and_then(|peer| peer.proofs.get(&port));
        let proof = proof.filter(|proof| now - proof.at <= PROOF_LIFETIME).copied();
        let proof = proof.ok_or(Cause::NotProven)?;
        match proof.way {
            ProbedWay::Unknown if technique.needs_forging() => Err(Cause::NotProven.into()),
            ProbedWay::ProxiedOrRewritten if technique.needs_forging() => {
                Err(Cause::ProxiedOrRewritten.into())
            }
            ProbedWay::Verified | ProbedWay::Unknown | ProbedWay::ProxiedOrRewritten => Ok(proof),
        }
    }
}

/// The responder's endpoint in its own network, where that can be the originator's network too:
/// both have the same observed address. Nobody else learns it, and its port is the proven one.
fn private_endpoint(
    accept: &Accept,
    originator: SocketAddr,
    responder: SocketAddr,
) -> Option<SocketAddr> {
    let private = SocketAddr::new(accept.private?.to_canonical(), accept.port);
    (originator.ip() == responder.ip() && private != responder).then_some(private)
}

fn length(attributes: &[Attribute]) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
}

pub(super) fn judge_report(
    party: &PartyState,
    bytes: &SynBytes,
    other: Option<SocketAddr>,
) -> Result<Syn, Violation> {
    let syn = Syn::parse(&bytes.0).map_err(|_| Violation::NotASyn)?;
    consent::judge_syn(party, &syn, other)?;
    Ok(syn)
}

pub(super) fn observe(party: &mut PartyState, syn: Syn) {
    party.syn = Some(syn);
    party.observations = party.observations.saturating_add(1);
}

fn is_equal(one: &Token, other: &Token) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
