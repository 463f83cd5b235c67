//! What each request does.

use core::net::SocketAddr;

use simopen_packet::{Syn, Timestamp, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Accepted, Action, Connect, ConnectionRequest, Destination, ErrorName, Head, LoggedIn,
    Login, Notification, Observed, Outcome, OutcomeState, Presence, Probe, Reply, Request,
    SynBytes, SynReport,
};
use simopen_protocol::document::Attribute;
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use subtle::ConstantTimeEq;

use super::Broker;
use crate::consent::{self, Forging, PROOF_LIFETIME, Violation};
use crate::event::What;
use crate::link::{LinkId, LinkKind, PathEstimate, Peer, ProbedWay, Proof};
use crate::session::{Party, PartyState, Session};

/// The most sessions that one peer may have asked for at a time.
const MAX_SESSIONS: usize = 64;

/// The most bytes of unknown attributes in a request that waits for its answer: they are kept until
/// then, once for each of [`MAX_SESSIONS`].
const MAX_KEPT: usize = 1024;

impl Broker {
    pub(super) fn dispatch(&mut self, link: LinkId, request: Request, now: Timestamp) {
        let head = request.head();
        let result = match request.action {
            Action::Login(login) => self.login(link, &login, now),
            Action::Probe(probe) => self.probe(link, &probe, now),
            Action::Connect(_) if length(&request.unknown) > MAX_KEPT => {
                Err(ErrorName("too-long".into()))
            }
            Action::Connect(connect) => match self.connect(link, &connect, &head, now) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Action::Accept(accept) => self.accept(link, &accept, now),
            Action::Syn(report) => self.syn_report(link, &report, now),
            Action::Outcome(outcome) => self.outcome(link, &outcome, now),
            Action::Ping => Ok(Reply::Done),
            Action::Join(_)
            | Action::Logout
            | Action::Certificate
            | Action::Proxy(_)
            | Action::ProxyEnd(_)
            | Action::NoteSend(_)
            | Action::NoteDelete(_)
            | Action::TeamCreate(_)
            | Action::TeamDelete(_)
            | Action::TeamAdd(_)
            | Action::TeamRemove(_)
            | Action::ShareAdd(_)
            | Action::ShareDrop(_)
            | _ => Err(ErrorName("unknown-action".into())),
        };
        self.respond(link, head, result);
    }

    fn login(&mut self, link: LinkId, login: &Login, now: Timestamp) -> Result<Reply, ErrorName> {
        if self.links.get(&link).is_some_and(|known| known.kind != LinkKind::Fresh) {
            return Err(ErrorName("already-logged-in".into()));
        }
        if !login.secret.is_some_and(|secret| self.directory.authenticates(&login.user, &secret)) {
            return Err(ErrorName("not-authenticated".into()));
        }
        let id = PeerId(self.random_number());
        let probe_secret = self.random_token();
        self.counter += 1;
        let peer = Peer {
            user: login.user.clone(),
            link,
            probe_secret,
            login: self.counter,
            proofs: [].into(),
        };
        let online = self.companions(id, &peer).into_iter().filter_map(|other| {
            let user = self.peers.get(&other)?.user.clone();
            Some(Presence { peer: other, user, device: None, online: true })
        });
        let reply = LoggedIn { peer: id, probe_secret, alive: None, online: online.collect() };
        self.announce(id, &peer, true);
        self.event(now, What::LoggedIn { peer: id, user: login.user.clone() });
        self.peers.insert(id, peer);
        if let Some(link) = self.links.get_mut(&link) {
            link.kind = LinkKind::Control(id);
        }
        Ok(Reply::LoggedIn(reply))
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
            return Err(ErrorName("not-authenticated".into()));
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

    fn connect(
        &mut self,
        link: LinkId,
        connect: &Connect,
        head: &Head,
        now: Timestamp,
    ) -> Result<(), ErrorName> {
        let peer = self.peer_on(link)?;
        let open = self.sessions.values().filter(|session| session.originator.peer == peer).count();
        if open >= MAX_SESSIONS {
            return Err(ErrorName("too-many-sessions".into()));
        }
        if connect.technique.needs_forging() && self.config.consent.forging == Forging::Off {
            return Err(Cause::ForgingOff.into());
        }
        let asked = self.reachable(peer, &connect.to).ok_or(Cause::UnknownPeer)?;
        let proof = self.proof(peer, connect.port, connect.technique, now)?;
        let mut originator = PartyState::new(peer, connect.port, proof);
        if let Some(bytes) = &connect.syn {
            let syn = judge_report(&originator, bytes, None).map_err(|rule| self.forbid(rule))?;
            observe(&mut originator, syn);
        }
        let greetings = Greetings { own: self.random_token(), peer: self.random_token() };
        let id = SessionId(self.random_number());
        let session = Session {
            technique: connect.technique,
            created: now,
            greetings,
            owed: Some(head.clone()),
            originator,
            responder: None,
            asked,
        };
        let request = ConnectionRequest {
            session: id,
            peer,
            user: self.peers.get(&peer).map(|peer| peer.user.clone()).ok_or(Cause::UnknownPeer)?,
            device: None,
            technique: connect.technique,
            destination: Destination::Endpoint(proof.endpoint),
            round_trip: self.path(peer).round_trip,
            greetings: greetings.swapped(),
            certificate: None,
        };
        self.sessions.insert(id, session);
        self.notify(asked, Notification::ConnectionRequest(request));
        self.event(now, What::Asked { session: id, technique: connect.technique });
        Ok(())
    }

    fn accept(
        &mut self,
        link: LinkId,
        accept: &Accept,
        now: Timestamp,
    ) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let (originator, technique) = match self.sessions.get(&accept.session) {
            Some(session) if session.asked == peer && session.responder.is_none() => {
                (session.originator.clone(), session.technique)
            }
            Some(_) | None => return Err(ErrorName("unknown-session".into())),
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
        let Some(session) = self.sessions.get_mut(&accept.session) else {
            return Err(ErrorName("unknown-session".into()));
        };
        let reported = responder.syn.is_some();
        session.responder = Some(responder);
        let reply = Accepted {
            session: accept.session,
            peer,
            device: None,
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
        let unknown = || ErrorName("unknown-session".into());
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
        let unknown = || ErrorName("unknown-session".into());
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
        let over = session.is_over();
        self.notify(other, Notification::PeerOutcome(outcome.clone()));
        if over {
            self.end_session(outcome.session, Cause::Unspecified, now);
        }
        Ok(Reply::Done)
    }

    pub(super) fn path(&self, peer: PeerId) -> PathEstimate {
        let link = self.peers.get(&peer).and_then(|peer| self.links.get(&peer.link));
        link.map(|link| link.path).unwrap_or_default()
    }

    fn peer_on(&self, link: LinkId) -> Result<PeerId, ErrorName> {
        match self.links.get(&link).map(|link| link.kind) {
            Some(LinkKind::Control(peer)) => Ok(peer),
            Some(LinkKind::Fresh | LinkKind::Probe) | None => {
                Err(ErrorName("not-logged-in".into()))
            }
        }
    }

    /// The newest device of that user, if the asker may know of it. Whether a user does not exist,
    /// is away or is a stranger is answered alike.
    fn reachable(&self, asker: PeerId, to: &UserId) -> Option<PeerId> {
        let own = &self.peers.get(&asker)?.user;
        if !self.directory.share_community(own, to) {
            return None;
        }
        let devices = self.peers.iter().filter(|(id, peer)| **id != asker && peer.user == *to);
        devices.max_by_key(|(_, peer)| peer.login).map(|(id, _)| *id)
    }

    /// Only forging needs a verified endpoint: nothing else goes there in another's name.
    fn proof(
        &self,
        peer: PeerId,
        port: u16,
        technique: Technique,
        now: Timestamp,
    ) -> Result<Proof, ErrorName> {
        let proof = self.peers.get(&peer).and_then(|peer| peer.proofs.get(&port));
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

fn judge_report(
    party: &PartyState,
    bytes: &SynBytes,
    other: Option<SocketAddr>,
) -> Result<Syn, Violation> {
    let syn = Syn::parse(&bytes.0).map_err(|_| Violation::NotASyn)?;
    consent::judge_syn(party, &syn, other)?;
    Ok(syn)
}

fn observe(party: &mut PartyState, syn: Syn) {
    party.syn = Some(syn);
    party.observations = party.observations.saturating_add(1);
}

fn is_equal(one: &Token, other: &Token) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
