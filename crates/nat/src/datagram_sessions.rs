//! Sessions without connection: UDP, and ICMP echo.
//!
//! They are few beside those of TCP, so ordered maps will do.

use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};

use simopen_packet::Timestamp;

use crate::census::SessionKey;
use crate::endpoint::{Endpoint, Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::journal::SessionEndpoints;
use crate::mapping::MappingId;

/// One session.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct DatagramSession {
    pub(crate) external: Endpoint,
    pub(crate) mapping: MappingId,
    pub(crate) deadline: Timestamp,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct DatagramSessions {
    by_inside: BTreeMap<SessionKey, DatagramSession>,
    by_external: BTreeMap<(FlowProtocol, Endpoint, Endpoint), SessionKey>,
    by_deadline: BTreeSet<(Timestamp, SessionKey)>,
}

impl Hash for DatagramSessions {
    /// The other two maps follow from the first.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_inside.hash(state);
    }
}

impl DatagramSessions {
    /// Finds the session of a flow.
    pub(crate) fn find(&self, protocol: FlowProtocol, flow: &Flow) -> Option<SessionKey> {
        let Flow { side, near, remote } = *flow;
        match side {
            Side::Inside => {
                let key = SessionKey { protocol, inside: near, remote };
                self.by_inside.contains_key(&key).then_some(key)
            }
            Side::Outside => self.by_external.get(&(protocol, near, remote)).copied(),
        }
    }

    /// The session under a key.
    pub(crate) fn get(&self, key: SessionKey) -> Option<&DatagramSession> {
        self.by_inside.get(&key)
    }

    /// Adds a session.
    pub(crate) fn insert(&mut self, key: SessionKey, session: DatagramSession) {
        self.by_external.insert((key.protocol, session.external, key.remote), key);
        self.by_deadline.insert((session.deadline, key));
        self.by_inside.insert(key, session);
    }

    /// Moves the deadline of a session.
    pub(crate) fn refresh(&mut self, key: SessionKey, deadline: Timestamp) {
        let Some(session) = self.by_inside.get_mut(&key) else { return };
        self.by_deadline.remove(&(session.deadline, key));
        self.by_deadline.insert((deadline, key));
        session.deadline = deadline;
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, key: SessionKey) -> Option<DatagramSession> {
        let session = self.by_inside.remove(&key)?;
        self.by_external.remove(&(key.protocol, session.external, key.remote));
        self.by_deadline.remove(&(session.deadline, key));
        Some(session)
    }

    /// When the next session runs out.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// A session that has run out.
    pub(crate) fn next_expired(&self, now: Timestamp) -> Option<SessionKey> {
        self.by_deadline.first().filter(|(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// How many sessions are open.
    pub(crate) fn len(&self) -> usize {
        self.by_inside.len()
    }
}

impl DatagramSession {
    /// The endpoints of a session, for the journal.
    pub(crate) const fn endpoints(&self, key: SessionKey) -> SessionEndpoints {
        SessionEndpoints {
            inside: key.inside.to_socket_addr(),
            external: self.external.to_socket_addr(),
            remote: key.remote.to_socket_addr(),
        }
    }

    /// The endpoint to which a packet from this side is translated.
    pub(crate) const fn translated(&self, key: SessionKey, from: Side) -> Endpoint {
        match from {
            Side::Inside => self.external,
            Side::Outside => key.inside,
        }
    }
}
