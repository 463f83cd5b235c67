//! Sessions: everything that a packet of an open connection needs, in two cache lines.

mod table;

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::hint::select_unpredictable;

use simopen_packet::Timestamp;

use crate::endpoint::{Address, Endpoint, Flow, Side};
use crate::flow_index::{FlowHash, FlowHasher, FlowIndex};
use crate::journal::SessionEndpoints;
use crate::mapping::MappingId;
use crate::tcp_tracking::Tracking;
use crate::tcp_tracking::state::Direction;
use crate::timers::Timers;
use table::SessionTable;

/// One open connection. The first cache line finds and translates, the second tracks.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(crate) struct Session {
    inside_address: Address,
    remote_address: Address,
    inside_port: u16,
    remote_port: u16,
    external_port: u16,
    originator: Side,
    /// Which of the outside addresses it has, counted from the first.
    place: u8,
    /// Of the flow as it is seen outside.
    hash: FlowHash,
    pub(crate) mapping: MappingId,
    pub(crate) deadline: Timestamp,
    /// When the timer looks at this session: never after the deadline.
    armed: Timestamp,
    pub(crate) tracking: Tracking,
}

// A packet of an open session is to cost two neighbouring lines, not three.
const _: () = assert!(size_of::<Session>() == 128);

impl Session {
    /// What stands where no session is.
    pub(crate) const VACANT: Self = Self {
        inside_address: Address::UNSPECIFIED,
        remote_address: Address::UNSPECIFIED,
        inside_port: 0,
        remote_port: 0,
        external_port: 0,
        originator: Side::Inside,
        place: 0,
        hash: FlowHash(0),
        mapping: 0,
        deadline: Timestamp::MAX,
        armed: Timestamp::MAX,
        tracking: Tracking::NOTHING_SEEN,
    };

    /// A session that has no timer yet and is in no table, at outside address number `place`.
    pub(crate) const fn new(
        inside: Endpoint,
        (place, external_port): (u8, u16),
        remote: Endpoint,
        originator: Side,
        mapping: MappingId,
        tracking: Tracking,
    ) -> Self {
        Self {
            inside_address: inside.address,
            remote_address: remote.address,
            inside_port: inside.port,
            remote_port: remote.port,
            external_port,
            originator,
            place,
            mapping,
            tracking,
            ..Self::VACANT
        }
    }

    /// The inside host's endpoint.
    #[inline]
    pub(crate) const fn inside(&self) -> Endpoint {
        Endpoint { address: self.inside_address, port: self.inside_port }
    }

    /// The endpoint beyond the box.
    #[inline]
    pub(crate) const fn remote(&self) -> Endpoint {
        Endpoint { address: self.remote_address, port: self.remote_port }
    }

    /// The endpoint that stands for the inside host on a side of a box with this first address
    /// outside.
    /// Packets come from both sides in no foreseeable order, so this must not branch on the side.
    #[inline(always)]
    pub(crate) fn near(&self, side: Side, external: Option<Address>) -> Endpoint {
        let is_inside = side == Side::Inside;
        let inside = self.inside_address;
        let external = external.unwrap_or(inside).plus(self.place);
        let address = Address {
            high: select_unpredictable(is_inside, inside.high, external.high),
            low: select_unpredictable(is_inside, inside.low, external.low),
        };
        let port = select_unpredictable(is_inside, self.inside_port, self.external_port);
        Endpoint { address, port }
    }

    /// Moves the deadline. Says whether the timer must be moved to it: not if it is later.
    #[inline(always)]
    #[must_use]
    pub(crate) fn refresh(&mut self, deadline: Timestamp) -> bool {
        self.deadline = deadline;
        deadline < self.armed
    }

    /// The direction of a packet that came from this side.
    #[inline]
    pub(crate) fn direction_from(&self, side: Side) -> Direction {
        if side == self.originator { Direction::Original } else { Direction::Reply }
    }
}

impl Hash for Session {
    /// By what it is, and not by where the tables have it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.inside(), self.remote(), self.place, self.external_port, self.originator).hash(state);
        (self.deadline, self.armed).hash(state);
        self.tracking.hash(state);
    }
}

/// All sessions of a box, with the timers.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// The first outside address, or none where nothing is translated.
    external: Option<Address>,
    hasher: FlowHasher,
    table: SessionTable,
    /// The sessions that have another port outside than inside, by their flow as it is seen inside.
    moved: FlowIndex,
    timers: Timers,
}

impl Hash for Sessions {
    /// Whatever the order in which they were opened: the tables and timers follow from them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut sessions: Vec<_> = self.table.iter().map(|(_, session)| session).collect();
        sessions.sort_unstable_by_key(|session| (session.inside(), session.remote()));
        sessions.hash(state);
    }
}

impl Sessions {
    /// An empty table.
    pub(crate) fn new(external: Option<Address>, hasher: FlowHasher) -> Self {
        Self {
            external,
            hasher,
            table: SessionTable::new(),
            moved: FlowIndex::new(),
            timers: Timers::default(),
        }
    }

    /// The first outside address, or none where nothing is translated.
    #[inline]
    pub(crate) const fn external(&self) -> Option<Address> {
        self.external
    }

    /// Finds the session of a flow.
    #[inline(always)]
    pub(crate) fn find(&self, flow: &Flow) -> Option<u32> {
        let is_it = |session: &Session| {
            session.remote() == flow.remote && session.near(flow.side, self.external) == flow.near
        };
        let expected = Flow { side: Side::Outside, near: self.expected(flow), ..*flow };
        let found = self.table.find(self.hasher.hash(&expected), is_it);
        if found.is_some() || self.moved.len() == 0 || flow.side == Side::Outside {
            return found;
        }
        self.moved.find(self.hasher.hash(flow), |id| is_it(self.get(id)))
    }

    /// The outside endpoint under which a flow's session is looked for: from inside, the one it has
    /// if the box kept its port and has its first address for it. So both directions of most
    /// sessions lead straight to it.
    #[inline(always)]
    fn expected(&self, flow: &Flow) -> Endpoint {
        let near = flow.near.address;
        let first = self.external.unwrap_or(near);
        let is_inside = flow.side == Side::Inside;
        let address = Address {
            high: select_unpredictable(is_inside, first.high, near.high),
            low: select_unpredictable(is_inside, first.low, near.low),
        };
        Endpoint { address, port: flow.near.port }
    }

    /// What a number stands for. It does so until another session is added.
    #[inline(always)]
    pub(crate) fn get(&self, id: u32) -> &Session {
        self.table.get(id)
    }

    /// What a number stands for, to be changed.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Session {
        self.table.get_mut(id)
    }

    /// The endpoint that stands for the inside host outside.
    #[inline]
    pub(crate) fn external_of(&self, session: &Session) -> Endpoint {
        session.near(Side::Outside, self.external)
    }

    /// The endpoint to which a packet from this side is translated.
    #[inline]
    pub(crate) fn translated(&self, id: u32, from: Side) -> Endpoint {
        self.get(id).near(from.other(), self.external)
    }

    /// The endpoints of a session, for the journal.
    pub(crate) fn endpoints_of(&self, id: u32) -> SessionEndpoints {
        let session = self.get(id);
        SessionEndpoints {
            inside: session.inside().to_socket_addr(),
            external: self.external_of(session).to_socket_addr(),
            remote: session.remote().to_socket_addr(),
        }
    }

    /// Adds a session; both its flows must be new.
    pub(crate) fn insert(&mut self, session: Session, deadline: Timestamp) -> u32 {
        if self.table.is_crowded() {
            self.make_room();
        }
        let remote = session.remote();
        let outside = Flow { side: Side::Outside, near: self.external_of(&session), remote };
        let moved = self.moved_key(&session);
        let id = self.table.insert(Session { hash: self.hasher.hash(&outside), ..session });
        if let Some(inside) = moved {
            self.moved.insert(inside, id);
        }
        self.table.get_mut(id).deadline = deadline;
        self.arm(id);
        id
    }

    /// Gives the sessions new numbers in a table with room for more.
    #[cold]
    fn make_room(&mut self) {
        let numbers = self.table.rebuild();
        self.timers.renumber(&numbers, self.table.slots());
        let mut moved = FlowIndex::new();
        for (id, session) in self.table.iter() {
            if let Some(inside) = self.moved_key(session) {
                moved.insert(inside, id);
            }
        }
        self.moved = moved;
    }

    /// Moves the timer of a session to its deadline.
    #[cold]
    pub(crate) fn arm(&mut self, id: u32) {
        let session = self.table.get_mut(id);
        session.armed = session.deadline;
        self.timers.set(id, session.armed);
    }

    /// Brings the deadline of a session forward, if it is later.
    #[cold]
    pub(crate) fn shorten(&mut self, id: u32, deadline: Timestamp) {
        let session = self.table.get_mut(id);
        if session.refresh(deadline.min(session.deadline)) {
            self.arm(id);
        }
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(inside) = self.moved_key(self.get(id)) {
            self.moved.remove(inside, id);
        }
        self.table.remove(id);
        self.timers.remove(id);
    }

    /// The time at which some session may have run out.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next().map(|(at, _)| at)
    }

    /// A session that has run out; timers that came up early are put back.
    pub(crate) fn next_expired(&mut self, now: Timestamp) -> Option<u32> {
        while let Some((at, id)) = self.timers.next()
            && at <= now
        {
            if self.get(id).deadline <= now {
                return Some(id);
            }
            self.arm(id);
        }
        None
    }

    /// How many sessions are open.
    pub(crate) const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether neither a session nor a timer is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0 && self.moved.len() == 0 && self.timers.is_empty()
    }

    /// The hash of a session's flow as it is seen inside, if the box did not keep the port.
    fn moved_key(&self, session: &Session) -> Option<FlowHash> {
        let inside = Flow { side: Side::Inside, near: session.inside(), remote: session.remote() };
        let is_moved = self.expected(&inside) != self.external_of(session);
        is_moved.then(|| self.hasher.hash(&inside))
    }
}
