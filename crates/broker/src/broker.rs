//! The broker's tables and its front door; what a request does stands in the modules below.

mod forging;
mod signalling;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use simopen_packet::{Entropy, Syn, Timestamp};
use simopen_protocol::address::HostPort;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    ControlError, ErrorName, Head, Message, Notification, Presence, Reply, Request, Response,
};
use simopen_protocol::identity::{BrokerName, PeerId, SessionId};
use simopen_protocol::token::{TOKEN_LEN, Token};

use crate::admin::{AdminError, AdminId, AdminReply, AdminRequest};
use crate::arrival::ArrivalConfig;
use crate::consent::{ConsentPolicy, SESSION_LIFETIME};
use crate::directory::{Device, Directory};
use crate::event::{Event, Gauges, Stats, What};
use crate::forge::Forged;
use crate::limits::Limits;
use crate::link::{Link, LinkId, LinkKind, LinkOrigin, PathEstimate, Peer};
use crate::pairing::PairingOrder;
use crate::persist::{Persist, PersistId};
use crate::session::{Party, Session};

/// What the operator has laid down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerConfig {
    /// Whether and for whom packets are forged.
    pub consent: ConsentPolicy,
    /// The allowances in the timing of forged packets.
    pub arrival: ArrivalConfig,
    /// What the broker calls itself towards devices that join.
    pub name: BrokerName,
    /// How long a peer may be silent before it is asked whether it is still there; it then has
    /// half as long to answer. Seed 004 has 10, 20 or 30 s. `None` asks nobody.
    pub alive: Option<Duration>,
    /// Where the relay listens for peers, best first; empty where there is none.
    pub relay: Vec<HostPort>,
    /// Whether the operator may make pairs for unmodified clients.
    pub rendezvous: Rendezvous,
    /// How much is held.
    pub limits: Limits,
}

impl Default for BrokerConfig {
    /// A broker that forges nothing, asks nobody whether it is there, and has no relay.
    #[expect(clippy::expect_used, reason = "the name is a constant")]
    fn default() -> Self {
        Self {
            consent: ConsentPolicy::default(),
            arrival: ArrivalConfig::default(),
            name: BrokerName::new("broker").expect("the constant is a proper name"),
            alive: None,
            relay: Vec::new(),
            rendezvous: Rendezvous::default(),
            limits: Limits::default(),
        }
    }
}

/// Whether the operator may make pairs for clients that know nothing of this protocol: what they
/// send is not encrypted end to end, and whoever sees the value can take a side's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rendezvous {
    /// No.
    #[default]
    Off,
    /// Yes.
    Allowed,
}

/// The broker. See the crate's page for the law of driving it.
#[derive(Debug, Clone)]
pub struct Broker {
    config: BrokerConfig,
    directory: Directory,
    generator: ChaCha20Rng,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<PeerId, Peer>,
    sessions: BTreeMap<SessionId, Session>,
    /// Forged packets that are due at a moment; the number keeps equal moments in order.
    departures: BTreeMap<(Timestamp, u64), (SessionId, Party)>,
    counter: u64,
    transmits: VecDeque<Transmit>,
    forged: VecDeque<Forged>,
    events: VecDeque<Event>,
    persists: VecDeque<Persist>,
    pairings: VecDeque<PairingOrder>,
    admin: VecDeque<(AdminId, Result<AdminReply, AdminError>)>,
    stats: Stats,
}

/// Something for the server to do on a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transmit {
    /// Send this message.
    Message(LinkId, Message),
    /// Send this message, which is a page of a long list, and call [`Broker::handle_page_sent`]
    /// when it is written: the next page comes only then, so that nothing piles up for a peer that
    /// reads slowly.
    Page(LinkId, Message),
    /// Close the link after what was sent before.
    Close(LinkId),
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A forged packet leaves.
    Departure,
    /// A session has lived for long enough.
    SessionExpiry,
}

impl Hash for Broker {
    /// Its state: two brokers made alike that hash alike do the same from now on. The figures do
    /// not matter to that.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.links, &self.peers, &self.sessions, &self.departures).hash(state);
        (self.counter, self.generator.get_seed(), self.generator.get_word_pos()).hash(state);
        (&self.transmits, &self.forged, &self.events).hash(state);
    }
}

impl Broker {
    /// A broker without any link.
    #[must_use]
    pub fn new(config: BrokerConfig, directory: Directory, entropy: Entropy) -> Self {
        Self {
            config,
            directory,
            generator: ChaCha20Rng::from_seed(entropy.into_bytes()),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            departures: BTreeMap::new(),
            counter: 0,
            transmits: VecDeque::new(),
            forged: VecDeque::new(),
            events: VecDeque::new(),
            persists: VecDeque::new(),
            pairings: VecDeque::new(),
            admin: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// A connection was accepted.
    pub fn handle_link(&mut self, link: LinkId, origin: LinkOrigin, _now: Timestamp) {
        let origin = origin.canonical();
        let link_state = Link { origin, path: PathEstimate::default(), kind: LinkKind::Fresh };
        self.links.insert(link, link_state);
    }

    /// The SYN of that connection as it arrived, where somebody else than the listener's owner reads
    /// it: a forger, which tells it only to whoever names its number. Before the probe is handed in.
    pub fn handle_syn(&mut self, link: LinkId, syn: Syn) {
        if let Some(link) = self.links.get_mut(&link)
            && link.kind == LinkKind::Fresh
        {
            link.origin.syn = Some(syn);
        }
    }

    /// The server measured the way to the other end of a link.
    pub fn handle_path(&mut self, link: LinkId, path: PathEstimate) {
        if let Some(link) = self.links.get_mut(&link) {
            link.path = path;
        }
    }

    /// A request came in. What is wrong with it is answered, never an error of this call.
    pub fn handle_request(&mut self, link: LinkId, request: Request, now: Timestamp) {
        self.handle_timeout(now);
        if self.links.contains_key(&link) {
            self.dispatch(link, request, now);
        }
    }

    /// Something came in that is no request: one error response, then the link ends.
    pub fn handle_malformed(&mut self, link: LinkId, error: ControlError) {
        let keeps_the_link =
            matches!(error, ControlError::UnknownAction(_) | ControlError::Missing { .. });
        let name = error.name();
        self.respond(link, error.into_head(), Err(name));
        if !keeps_the_link {
            self.transmits.push_back(Transmit::Close(link));
        }
    }

    /// A connection is gone; with a control link, its peer and the peer's sessions.
    pub fn handle_link_closed(&mut self, link: LinkId, now: Timestamp) {
        let Some(Link { kind: LinkKind::Control(peer), .. }) = self.links.remove(&link) else {
            return;
        };
        // First, so that nothing is said to a link that is not there.
        let gone = self.peers.remove(&peer);
        let of_peer = |(id, session): (&SessionId, &Session)| session.party_of(peer).map(|_| *id);
        let sessions: VecDeque<_> = self.sessions.iter().filter_map(of_peer).collect();
        for session in sessions {
            self.end_session(session, Cause::LinkLost, now);
        }
        if let Some(gone) = gone {
            self.announce(peer, &gone, false);
            self.event(now, What::LoggedOut { peer });
        }
    }

    /// Does what is due. Early and repeated calls change nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((&key, &(session, towards))) = self.departures.first_key_value()
            && key.0 <= now
        {
            self.departures.remove(&key);
            self.depart(session, towards, now);
        }
        let expired = |(id, session): (&SessionId, &Session)| {
            (session.created + SESSION_LIFETIME < now).then_some(*id)
        };
        let expired: VecDeque<_> = self.sessions.iter().filter_map(expired).collect();
        for session in expired {
            self.end_session(session, Cause::SignallingTimeout, now);
        }
    }

    /// The next thing to do on a link.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// A page of a list was written to its link.
    pub fn handle_page_sent(&mut self, _link: LinkId, _now: Timestamp) {}

    /// What the wall clock says, in seconds since 1970 (UTC). Only invitations and the dates of
    /// notes go by it, so that its steps end no session and log nobody out.
    pub fn handle_wall_clock(&mut self, _unix_seconds: u64, _now: Timestamp) {}

    /// The store has kept what [`Broker::poll_persist`] gave.
    pub fn handle_persisted(&mut self, _id: PersistId, _now: Timestamp) {}

    /// The store has not kept it, nor ever will.
    pub fn handle_persist_failed(&mut self, _id: PersistId, _now: Timestamp) {}

    /// The relay knows the two values of a pair.
    pub fn handle_pairing_opened(&mut self, _session: SessionId, _now: Timestamp) {}

    /// The relay refused a pair, or could not be asked.
    pub fn handle_pairing_failed(&mut self, _session: SessionId, _now: Timestamp) {}

    /// A pair is no more at the relay: it was never complete, or it has ended. Where nobody tells,
    /// the oldest pairs are forgotten at [`Limits::pairings`].
    pub fn handle_pairing_ended(&mut self, _session: SessionId, _now: Timestamp) {}

    /// An operator asks something; [`Broker::poll_admin`] answers.
    pub fn handle_admin(&mut self, id: AdminId, _request: AdminRequest, _now: Timestamp) {
        self.admin.push_back((id, Err(AdminError::Busy)));
    }

    /// The broker will go away: everybody logged in is told when to try again, and nobody logs in
    /// or asks for connections any more.
    pub fn handle_restarting(&mut self, _within: Duration, _now: Timestamp) {}

    /// What to keep next.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.persists.pop_front()
    }

    /// What to ask of the relay next.
    pub fn poll_pairing(&mut self) -> Option<PairingOrder> {
        self.pairings.pop_front()
    }

    /// The next answer to an operator.
    pub fn poll_admin(&mut self) -> Option<(AdminId, Result<AdminReply, AdminError>)> {
        self.admin.pop_front()
    }

    /// What is held at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges::default()
    }

    /// The device that is logged in on a link by its key: whom to certify.
    #[must_use]
    pub fn device_on(&self, link: LinkId) -> Option<&Device> {
        let key = self.links.get(&link)?.origin.key?;
        self.directory.device(&key)
    }

    /// The next packet to send raw, now.
    pub fn poll_forge(&mut self) -> Option<Forged> {
        self.forged.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next deadline and what it is for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        let departure = self.departures.keys().next().map(|(at, _)| (*at, Timer::Departure));
        let oldest = self.sessions.values().map(|session| session.created).min();
        // A session may still ask at the very end of its lifetime.
        let expiry = oldest.map(|created| {
            (created + SESSION_LIFETIME + Duration::from_nanos(1), Timer::SessionExpiry)
        });
        departure.into_iter().chain(expiry).min_by_key(|(at, _)| *at)
    }

    /// Figures since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether a link has logged in: larger frames are taken from it then.
    #[must_use]
    pub fn is_logged_in(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| matches!(link.kind, LinkKind::Control(_)))
    }

    /// Whether nothing is held: no link, peer, session or departure.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.links.is_empty()
            && self.peers.is_empty()
            && self.sessions.is_empty()
            && self.departures.is_empty()
    }

    fn respond(&mut self, link: LinkId, head: Head, result: Result<Reply, ErrorName>) {
        if let Err(name) = &result {
            match self.stats.refused.get_mut(&name.0) {
                Some(count) => *count += 1,
                None => drop(self.stats.refused.insert(name.0.clone(), 1)),
            }
        }
        let response = Message::Response(Response { head, result });
        self.transmits.push_back(Transmit::Message(link, response));
    }

    fn notify(&mut self, peer: PeerId, notification: Notification) {
        if let Some(peer) = self.peers.get(&peer) {
            let message = Message::Notification(notification);
            self.transmits.push_back(Transmit::Message(peer.link, message));
        }
    }

    /// Tells the members of common communities, and nobody else.
    fn announce(&mut self, peer: PeerId, of: &Peer, online: bool) {
        let presence = Presence { peer, user: of.user.clone(), device: None, online };
        for other in self.companions(peer, of) {
            self.notify(other, Notification::Presence(presence.clone()));
        }
    }

    fn companions(&self, peer: PeerId, of: &Peer) -> VecDeque<PeerId> {
        let is_companion = |(id, other): (&PeerId, &Peer)| {
            (*id != peer && self.directory.share_community(&of.user, &other.user)).then_some(*id)
        };
        self.peers.iter().filter_map(is_companion).collect()
    }

    fn end_session(&mut self, id: SessionId, cause: Cause, now: Timestamp) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.departures.retain(|_, (session, _)| *session != id);
        if let Some(head) = session.owed
            && let Some(peer) = self.peers.get(&session.originator.peer)
        {
            self.respond(peer.link, head, Err(cause.into()));
        }
        self.event(now, What::Ended { session: id });
    }

    fn event(&mut self, at: Timestamp, what: What) {
        self.events.push_back(Event { at, what });
    }

    fn random_token(&mut self) -> Token {
        let mut bytes = [0; TOKEN_LEN];
        self.generator.fill_bytes(&mut bytes);
        Token::from_random(bytes)
    }

    /// A number that nobody can guess, of 63 bits so that it fits a signed integer everywhere.
    fn random_number(&mut self) -> u64 {
        self.generator.next_u64() >> 1
    }
}
