//! The machine.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;

use crate::key::{Key, Presented};
use crate::pair::{Pair, Side, State, Taken};
use crate::stats::{Refusal, Stats};

/// How long a connection may take to present what it has (seed 001 ¶181).
pub const PRESENT_WITHIN: Duration = Duration::from_secs(10);

/// How long a value lives from its announcement, checked at look-up (seed 001 ¶182: entries over
/// thirty seconds old).
pub const VALUE_LIFETIME: Duration = Duration::from_secs(30);

/// How often tables are scanned, and how long one side may be closed (seed 001 ¶182).
pub const SCAN_INTERVAL: Duration = Duration::from_secs(30);

/// A connection, as the world counts them; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How much a relay keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pairings, pending and active.
    pub pairs: usize,
    /// Connections that have presented nothing; beyond, the oldest goes.
    pub unpresented: usize,
}

impl Default for Limits {
    /// 50,000 pairings, 10,000 connections that have presented nothing.
    fn default() -> Self {
        Self { pairs: 50_000, unpresented: 10_000 }
    }
}

/// Why a pairing was not taken. May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenRefused {
    /// There are as many as there may be.
    Full,
    /// The number or one of the values is in use.
    InUse,
}

/// What the world does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close this connection, without a word: it is not joined, whatever the reason.
    Refuse(ConnectionId),
    /// Pump between the originator's connection and the responder's, both ways, until both have
    /// ended; what comes from one before it ends is delivered, then the other is closed for
    /// writing. Tell [`Relay::handle_half_closed`] and [`Relay::handle_over`].
    Join {
        /// The pair.
        session: SessionId,
        /// The originator's and the responder's connection.
        connections: [ConnectionId; 2],
    },
    /// Close both connections of this pair at once.
    End(SessionId),
    /// A pairing that was announced is no more, whether its two sides have met or not: whoever
    /// announced it may forget it.
    Gone(SessionId),
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A connection has presented nothing.
    Present,
    /// Tables are scanned.
    Scan,
}

/// Where a key leads.
#[derive(Clone, Copy)]
struct Place {
    session: SessionId,
    side: usize,
    how: crate::key::How,
}

/// A connection that is not joined.
#[derive(Clone, Copy)]
enum Unjoined {
    Unpresented { until: Timestamp },
    Waiting(SessionId),
}

/// The rendezvous relay. The crate's page has its law and its states.
pub struct Relay {
    limits: Limits,
    places: BTreeMap<Key, Place>,
    pairs: BTreeMap<SessionId, Pair>,
    connections: BTreeMap<ConnectionId, Unjoined>,
    unpresented: BTreeSet<(Timestamp, ConnectionId)>,
    next_scan: Option<Timestamp>,
    commands: VecDeque<Command>,
    stats: Stats,
}

impl Relay {
    /// A relay with nothing in it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: BTreeMap::new(),
            pairs: BTreeMap::new(),
            connections: BTreeMap::new(),
            unpresented: BTreeSet::new(),
            next_scan: None,
            commands: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// The broker announces a pairing (¶177).
    ///
    /// # Errors
    ///
    /// [`OpenRefused`], and nothing has changed.
    pub fn handle_open(&mut self, proxy: &Proxy, now: Timestamp) -> Result<(), OpenRefused> {
        let opened = self.open(proxy, now);
        match opened {
            Ok(()) => self.stats.opened += 1,
            Err(_) => self.stats.not_opened += 1,
        }
        opened
    }

    /// The broker ends a pairing or a pair: its user was revoked.
    pub fn handle_end(&mut self, session: SessionId) {
        let Some(pair) = self.remove(session) else {
            return;
        };
        self.stats.ended += 1;
        match pair.state {
            State::Pending => {
                for connection in pair.connections() {
                    self.refuse(connection, Refusal::Ended);
                }
            }
            State::Active { .. } => self.commands.push_back(Command::End(session)),
            State::Over => {}
        }
    }

    /// A connection was accepted; it has [`PRESENT_WITHIN`] to present something.
    pub fn handle_connection(&mut self, connection: ConnectionId, accepted: Timestamp) {
        let until = accepted + PRESENT_WITHIN;
        self.connections.insert(connection, Unjoined::Unpresented { until });
        self.unpresented.insert((until, connection));
        if self.unpresented.len() > self.limits.unpresented
            && let Some(&(_, oldest)) = self.unpresented.first()
        {
            self.refuse(oldest, Refusal::Crowded);
        }
    }

    /// A connection presents something: a value once, or one digest for each direction.
    pub fn handle_presented(
        &mut self,
        connection: ConnectionId,
        presented: &Presented,
        now: Timestamp,
    ) {
        let Some(&before) = self.connections.get(&connection) else {
            return;
        };
        let waited = match before {
            Unjoined::Unpresented { until } if now > until => {
                self.refuse(connection, Refusal::Late);
                return;
            }
            Unjoined::Unpresented { until } => {
                self.unpresented.remove(&(until, connection));
                None
            }
            Unjoined::Waiting(session) => Some(session),
        };
        let (why, found) = match self.look_up(connection, presented, now) {
            Ok(session) if waited.is_none_or(|waited| waited == session) => {
                self.connections.insert(connection, Unjoined::Waiting(session));
                self.join(session);
                return;
            }
            Ok(session) => (Refusal::Mixed, Some(session)),
            Err(why) => (why, None),
        };
        self.refuse(connection, why);
        // Nobody is joined with a connection that is closed.
        for session in [waited, found].into_iter().flatten() {
            self.give_up(session);
        }
    }

    /// A connection that is not joined has ended by itself. Its values stay used.
    pub fn handle_gone(&mut self, connection: ConnectionId) {
        match self.connections.remove(&connection) {
            Some(Unjoined::Unpresented { until }) => {
                self.unpresented.remove(&(until, connection));
            }
            Some(Unjoined::Waiting(session)) => self.give_up(session),
            None => {}
        }
    }

    /// One side of a pair has ended, and what came from it is delivered.
    pub fn handle_half_closed(&mut self, session: SessionId, now: Timestamp) {
        if let Some(Pair { state: State::Active { half_closed: since @ None }, .. }) =
            self.pairs.get_mut(&session)
        {
            *since = Some(now);
        }
    }

    /// Both sides of a pair have ended. Its values are unknown from now on, which is answered as used
    /// ones are: so no pair that is over holds a place.
    pub fn handle_over(&mut self, session: SessionId) {
        if matches!(self.pairs.get(&session), Some(Pair { state: State::Active { .. }, .. })) {
            self.remove(session);
        }
    }

    /// Time has passed; may come early or late.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(&(until, connection)) = self.unpresented.first()
            && now > until
        {
            self.refuse(connection, Refusal::Late);
        }
        if self.next_scan.is_some_and(|at| at <= now) {
            self.scan(now);
            self.next_scan = (!self.pairs.is_empty()).then(|| now + SCAN_INTERVAL);
        }
    }

    /// What the world does next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        // A deadline is kept to its last moment, and is over one later.
        let over = |at: Timestamp| at + Duration::from_nanos(1);
        let present = self.unpresented.first().map(|&(until, _)| (over(until), Timer::Present));
        let scan = self.next_scan.map(|at| (at, Timer::Scan));
        [present, scan].into_iter().flatten().min()
    }

    /// Pairings that are pending, active, or given up while their values still live.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Connections that are not joined.
    #[must_use]
    pub fn unjoined(&self) -> usize {
        self.connections.len()
    }

    /// Figures since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn open(&mut self, proxy: &Proxy, now: Timestamp) -> Result<(), OpenRefused> {
        let [originator, responder] = proxy.values.each_ref().map(Key::all);
        let found: [_; 6] = core::array::from_fn(|at| {
            let (side, own) = if at < 3 { (0, originator) } else { (1, responder) };
            let (key, how) = own[at % 3];
            (key, Place { session: proxy.session, side, how })
        });
        let is_known = found.iter().any(|(key, _)| self.places.contains_key(key));
        if is_known || proxy.values[0] == proxy.values[1] || self.pairs.contains_key(&proxy.session)
        {
            return Err(OpenRefused::InUse);
        }
        if self.pairs.len() >= self.limits.pairs {
            return Err(OpenRefused::Full);
        }
        self.places.extend(found);
        let pair = Pair {
            opened: now,
            keys: Some(found.map(|(key, _)| key)),
            sides: [Side::Absent; 2],
            state: State::Pending,
        };
        self.pairs.insert(proxy.session, pair);
        self.next_scan.get_or_insert(now + SCAN_INTERVAL);
        Ok(())
    }

    /// Finds what was presented, which uses it up.
    fn look_up(
        &mut self,
        connection: ConnectionId,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<SessionId, Refusal> {
        let place = self.places.get(&Key::of(presented)).copied().ok_or(Refusal::Unknown)?;
        let pair = self.pairs.get_mut(&place.session).ok_or(Refusal::Unknown)?;
        if pair.state != State::Pending {
            return Err(Refusal::Used);
        }
        let side = pair.sides.get_mut(place.side).ok_or(Refusal::Unknown)?;
        match side.take(connection, place.how) {
            Taken::Used => Err(Refusal::Used),
            Taken::Mixed => Err(Refusal::Mixed),
            Taken::Present | Taken::Half if now - pair.opened > VALUE_LIFETIME => {
                Err(Refusal::Expired)
            }
            Taken::Present | Taken::Half => Ok(place.session),
        }
    }

    fn join(&mut self, session: SessionId) {
        let Some(pair) = self.pairs.get_mut(&session) else {
            return;
        };
        let Some(connections) = pair.both() else {
            return;
        };
        // One connection that holds both values would be joined to itself.
        if connections[0] == connections[1] {
            self.refuse(connections[0], Refusal::Mixed);
            self.give_up(session);
            return;
        }
        pair.state = State::Active { half_closed: None };
        for connection in connections {
            self.connections.remove(&connection);
        }
        self.stats.joined += 1;
        self.commands.push_back(Command::Join { session, connections });
    }

    /// A pairing can no longer come about; its values stay used until they are over.
    fn give_up(&mut self, session: SessionId) {
        let Some(pair) = self.pairs.get_mut(&session) else {
            return;
        };
        pair.state = State::Over;
        for connection in pair.connections() {
            self.refuse(connection, Refusal::Alone);
        }
    }

    fn scan(&mut self, now: Timestamp) {
        let sessions: alloc::vec::Vec<SessionId> = self.pairs.keys().copied().collect();
        for session in sessions {
            let Some(pair) = self.pairs.get_mut(&session) else {
                continue;
            };
            let is_old = now - pair.opened > VALUE_LIFETIME;
            match pair.state {
                State::Pending if is_old => {
                    self.stats.expired += 1;
                    for connection in pair.connections() {
                        self.refuse(connection, Refusal::Alone);
                    }
                    self.remove(session);
                }
                State::Over if is_old => drop(self.remove(session)),
                State::Active { half_closed: Some(since) } if now - since > SCAN_INTERVAL => {
                    self.stats.half_closed += 1;
                    self.commands.push_back(Command::End(session));
                    self.remove(session);
                }
                State::Active { .. } if is_old => {
                    for key in pair.keys.take().into_iter().flatten() {
                        self.places.remove(&key);
                    }
                }
                State::Pending | State::Active { .. } | State::Over => {}
            }
        }
    }

    fn remove(&mut self, session: SessionId) -> Option<Pair> {
        let pair = self.pairs.remove(&session)?;
        for key in pair.keys.iter().flatten() {
            self.places.remove(key);
        }
        self.commands.push_back(Command::Gone(session));
        Some(pair)
    }

    fn refuse(&mut self, connection: ConnectionId, why: Refusal) {
        let Some(was) = self.connections.remove(&connection) else {
            return;
        };
        if let Unjoined::Unpresented { until } = was {
            self.unpresented.remove(&(until, connection));
        }
        self.stats.count(why);
        self.commands.push_back(Command::Refuse(connection));
    }
}
