//! The broker's tables and its front door; what a request does stands in the modules below.

mod administration;
mod changing;
mod connecting;
mod entering;
mod forging;
mod listing;
mod notes;
mod presence;
mod revoking;
mod shares;
mod signalling;
mod teams;
mod telling;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use simopen_packet::{Entropy, Syn, Timestamp};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{ControlError, ErrorName, Message, Request, TeamId};
use simopen_protocol::identity::{DeviceName, PeerId, SessionId, ShareName, UserId};
use simopen_protocol::token::{TOKEN_LEN, Token};

use crate::admin::{AdminError, AdminId, AdminReply};
use crate::config::BrokerConfig;
use crate::deadline::{Deadlines, Due};
use crate::directory::{Device, Directory};
use crate::event::{Event, Gauges, Stats, What};
use crate::forge::Forged;
use crate::guess::Guessers;
use crate::link::{Link, LinkId, LinkKind, LinkOrigin, PathEstimate, Peer, Watch};
use crate::pairing::{PairingOrder, Pairings};
use crate::persist::Persist;
use crate::session::Session;

use self::administration::Meeting;
use self::changing::{Flight, Operation};

/// The broker. See the crate's page for the law of driving it.
#[derive(Debug, Clone)]
pub struct Broker {
    config: BrokerConfig,
    directory: Directory,
    generator: ChaCha20Rng,
    /// Seconds since 1970, as the world said last.
    wall: u64,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<PeerId, Peer>,
    /// Peers by user; none is empty.
    online: BTreeMap<UserId, BTreeSet<PeerId>>,
    sessions: BTreeMap<SessionId, Session>,
    /// What is announced to a team, and by whom; none is empty.
    shares: BTreeMap<TeamId, BTreeSet<(ShareName, PeerId)>>,
    pairings: Pairings,
    /// Pairs for unmodified clients that the relay has not answered.
    meetings: BTreeMap<SessionId, Meeting>,
    deadlines: Deadlines,
    guessers: Guessers,
    /// What the store is asked to keep.
    flight: Option<Flight>,
    /// What waits until it has.
    waiting: VecDeque<Operation>,
    /// Who may no longer log in, although the store does not know of it yet.
    barred: Vec<(UserId, Option<DeviceName>)>,
    /// Whether the broker takes new logins.
    phase: Phase,
    logins: u64,
    persists: u64,
    last_note: u64,
    transmits: VecDeque<Transmit>,
    forged: VecDeque<Forged>,
    events: VecDeque<Event>,
    persist: VecDeque<Persist>,
    orders: VecDeque<PairingOrder>,
    answers: VecDeque<(AdminId, Result<AdminReply, AdminError>)>,
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

/// What a deadline is for. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// A forged packet leaves.
    Departure,
    /// A session has lived for long enough.
    SessionExpiry,
    /// A peer may have been silent for too long.
    Silence,
    /// The answer to somebody who guesses is no longer held back.
    Held,
    /// A relay has not answered.
    Pairing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Serving,
    Restarting,
}

impl Hash for Broker {
    /// Its state: two brokers made alike that hash alike do the same from now on. The figures do
    /// not matter to that.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.directory, self.wall, self.phase).hash(state);
        (&self.links, &self.peers, &self.online, &self.sessions, &self.shares).hash(state);
        (&self.pairings, &self.meetings, &self.deadlines, &self.guessers).hash(state);
        (&self.flight, &self.waiting, &self.barred).hash(state);
        (self.logins, self.persists, self.last_note).hash(state);
        (self.generator.get_seed(), self.generator.get_word_pos()).hash(state);
        (&self.transmits, &self.forged, &self.events).hash(state);
        (&self.persist, &self.orders, &self.answers).hash(state);
    }
}

impl Broker {
    /// A broker without any link.
    #[must_use]
    pub fn new(config: BrokerConfig, directory: Directory, entropy: Entropy) -> Self {
        Self {
            config,
            last_note: directory.last_note(),
            directory,
            generator: ChaCha20Rng::from_seed(entropy.into_bytes()),
            wall: 0,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            online: BTreeMap::new(),
            sessions: BTreeMap::new(),
            shares: BTreeMap::new(),
            pairings: Pairings::default(),
            meetings: BTreeMap::new(),
            deadlines: Deadlines::default(),
            guessers: Guessers::default(),
            flight: None,
            waiting: VecDeque::new(),
            barred: Vec::new(),
            phase: Phase::Serving,
            logins: 0,
            persists: 0,
            transmits: VecDeque::new(),
            forged: VecDeque::new(),
            events: VecDeque::new(),
            persist: VecDeque::new(),
            orders: VecDeque::new(),
            answers: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// What the wall clock says, in seconds since 1970 (UTC). Only invitations and the dates of
    /// notes go by it, so that its steps end no session and log nobody out.
    pub fn handle_wall_clock(&mut self, unix_seconds: u64, _now: Timestamp) {
        self.wall = unix_seconds;
    }

    /// A connection was accepted.
    pub fn handle_link(&mut self, link: LinkId, origin: LinkOrigin, _now: Timestamp) {
        let origin = origin.canonical();
        let path = PathEstimate::default();
        let fresh = Link { origin, path, kind: LinkKind::Fresh, held: None, waiting: 0 };
        self.links.insert(link, fresh);
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
        match self.links.get(&link).map(|link| link.kind) {
            Some(LinkKind::Control(peer)) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.heard = now;
                }
                self.dispatch(link, request, now);
            }
            Some(LinkKind::Fresh | LinkKind::Probe) => self.dispatch(link, request, now),
            Some(LinkKind::Ended) | None => {}
        }
    }

    /// Something came in that is no request: one error response, then the link ends.
    pub fn handle_malformed(&mut self, link: LinkId, error: ControlError) {
        let keeps_the_link =
            matches!(error, ControlError::UnknownAction(_) | ControlError::Missing { .. });
        let name = error.name();
        if let Some(LinkKind::Control(peer)) = self.links.get(&link).map(|link| link.kind)
            && let Some(peer) = self.peers.get_mut(&peer)
        {
            peer.watch = Watch::Spoke;
        }
        self.respond(link, error.into_head(), Err(name));
        if !keeps_the_link {
            self.transmits.push_back(Transmit::Close(link));
        }
    }

    /// A page of a list was written to its link.
    pub fn handle_page_sent(&mut self, link: LinkId, _now: Timestamp) {
        if let Some(LinkKind::Control(peer)) = self.links.get(&link).map(|link| link.kind) {
            self.next_page(peer);
        }
    }

    /// A connection is gone; with a control link, its peer and the peer's sessions.
    pub fn handle_link_closed(&mut self, link: LinkId, now: Timestamp) {
        let Some(gone) = self.links.remove(&link) else {
            return;
        };
        if let Some(held) = gone.held {
            self.deadlines.remove(held.due);
            self.guessers.hold(gone.origin.remote.ip(), -1);
        }
        if let LinkKind::Control(peer) = gone.kind {
            self.remove_peer(peer, Cause::LinkLost, now);
        }
    }

    /// Does what is due. Early and repeated calls change nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.deadlines.pop(now) {
            match due {
                Due::Departure(session, towards) => self.depart(session, towards, now),
                Due::Expiry(session) => {
                    if let Some(session) = self.sessions.get_mut(&session) {
                        session.expiry = None;
                    }
                    self.end_session(session, Cause::SignallingTimeout, now);
                }
                Due::Silence(peer) => self.silent(peer, at, now),
                Due::Held(link) => self.release(link, now),
                Due::Pairing(session) => self.handle_pairing_failed(session, now),
            }
        }
    }

    /// The broker will go away: everybody logged in is told when to try again, and nobody logs in
    /// or asks for connections any more.
    pub fn handle_restarting(&mut self, within: Duration, _now: Timestamp) {
        self.phase = Phase::Restarting;
        self.tell_everybody_to_return(within);
    }

    /// The next thing to do on a link.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What to keep next.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.persist.pop_front()
    }

    /// What to ask of the relay next.
    pub fn poll_pairing(&mut self) -> Option<PairingOrder> {
        self.orders.pop_front()
    }

    /// The next answer to an operator.
    pub fn poll_admin(&mut self) -> Option<(AdminId, Result<AdminReply, AdminError>)> {
        self.answers.pop_front()
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
        let (at, due) = self.deadlines.first()?;
        let timer = match due {
            Due::Departure(..) => Timer::Departure,
            Due::Expiry(_) => Timer::SessionExpiry,
            Due::Silence(_) => Timer::Silence,
            Due::Held(_) => Timer::Held,
            Due::Pairing(_) => Timer::Pairing,
        };
        Some((at, timer))
    }

    /// Figures since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is held at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            links: self.links.len(),
            peers: self.peers.len(),
            sessions: self.sessions.len(),
            pairings: self.pairings.len(),
            held: self.links.values().filter(|link| link.held.is_some()).count(),
            waiting: self.waiting.len() + usize::from(self.flight.is_some()),
            users: self.directory.users().count(),
            devices: self.directory.devices().count(),
            teams: self.directory.teams().count(),
            notes: self.directory.notes().count(),
        }
    }

    /// What is kept for longer than a connection.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether a link has logged in: larger frames are taken from it then.
    #[must_use]
    pub fn is_logged_in(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| matches!(link.kind, LinkKind::Control(_)))
    }

    /// The device that shows itself on a link by its key, logged in or not: whom to certify.
    #[must_use]
    pub fn device_on(&self, link: LinkId) -> Option<&Device> {
        let key = self.links.get(&link)?.origin.key?;
        self.directory.device(&key)
    }

    /// Whether nothing is held: no link, peer, session or deadline. Pairs at a relay may outlive
    /// all of these.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.links.is_empty()
            && self.peers.is_empty()
            && self.online.is_empty()
            && self.sessions.is_empty()
            && self.shares.is_empty()
            && self.deadlines.is_empty()
            && self.waiting.is_empty()
            && self.flight.is_none()
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

/// A refusal by one of the protocol's own words.
fn refusal(word: &'static str) -> ErrorName {
    ErrorName(String::from(word))
}
