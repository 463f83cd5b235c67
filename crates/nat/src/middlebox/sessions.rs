//! The end of sessions, and room for new ones.

use alloc::vec::Vec;

use simopen_packet::{SeqNumber, TcpBuilder, TcpFlags, Timestamp, Ttl};

use super::Middlebox;
use crate::census::{Room, SessionKey};
use crate::endpoint::{Address, Endpoint, Flow, Side};
use crate::flow_protocol::FlowProtocol;
use crate::journal::{DropReason, EndCause, JournalEvent, OwnAnswer};
use crate::spec::IdleKill;
use crate::tcp_tracking::state::TcpState;

impl Middlebox {
    /// The session of a flow, unless its time is over.
    pub(super) fn find_live(&mut self, flow: &Flow, now: Timestamp) -> Option<u32> {
        let id = self.sessions.find(flow)?;
        if self.sessions.get(id).deadline > now {
            return Some(id);
        }
        self.expire_session(id, now);
        None
    }

    /// Ends a session whose time is over. An idle killer may tell both ends.
    #[cold]
    pub(super) fn expire_session(&mut self, id: u32, now: Timestamp) {
        let killer = self.spec.idle_killer;
        let killed = killer.filter(|killer| {
            self.sessions.get(id).tracking.state() == TcpState::Established
                && killer.after <= self.spec.timers.established
        });
        let Some(killer) = killed else {
            return self.end_session(id, EndCause::Expired, now);
        };
        match killer.how {
            IdleKill::Reset => self.reset_both_ends(id, now),
            IdleKill::Silence => {}
        }
        self.end_session(id, EndCause::IdleKilled, now);
    }

    /// Sends each end of a connection an RST in the other's name, with the number that it awaits.
    fn reset_both_ends(&mut self, id: u32, now: Timestamp) {
        let session = self.sessions.get(id);
        let (inside, remote) = (session.inside(), session.remote());
        let external = self.sessions.external_of(session);
        let shifts = self.shifts_of_session(session);
        let mut resets = Vec::new();
        for (sender, from, to) in
            [(Side::Inside, external, remote), (Side::Outside, remote, inside)]
        {
            let Some(next) = session.tracking.next_of(session.direction_from(sender)) else {
                continue;
            };
            let shift = shifts.sequence_of(sender);
            resets.push((sender.other(), from, to, next + shift));
        }
        for (side, from, to, sequence) in resets {
            self.send_reset(side, from, to, sequence, now);
        }
    }

    fn send_reset(
        &mut self,
        side: Side,
        from: Endpoint,
        to: Endpoint,
        sequence: SeqNumber,
        now: Timestamp,
    ) {
        let builder = TcpBuilder {
            source: from.to_socket_addr(),
            destination: to.to_socket_addr(),
            ttl: Ttl::DEFAULT,
            sequence,
            acknowledgment: SeqNumber(0),
            flags: TcpFlags::RST,
            window: 0,
        };
        if self.answers.segment(side, &builder, None) {
            self.note_answer(to, OwnAnswer::Reset, now);
        }
    }

    /// Ends a session, and its mapping with the last one.
    #[cold]
    pub(super) fn end_session(&mut self, id: u32, cause: EndCause, now: Timestamp) {
        let endpoints = self.sessions.endpoints_of(id);
        let session = self.sessions.get(id);
        let state = session.tracking.state();
        let (mapping, inside, remote) = (session.mapping, session.inside(), session.remote());
        self.tcp.release(mapping, remote, &mut self.outside.ports);
        self.census.remove(SessionKey { protocol: FlowProtocol::Tcp, inside, remote });
        self.handshakes.remove((inside, remote));
        self.sessions.remove(id);
        self.stats.sessions_ended += 1;
        self.journal.write(now, JournalEvent::Ended { session: endpoints, state, cause });
    }

    /// Sees to it that the limits leave room for one more session of an inside address.
    pub(super) fn make_room(&mut self, host: Address, now: Timestamp) -> Result<(), DropReason> {
        loop {
            match self.census.room_for(host) {
                Room::Free => return Ok(()),
                Room::None => return Err(DropReason::SessionLimit),
                Room::After(oldest) => self.evict(oldest, now),
            }
        }
    }

    fn evict(&mut self, key: SessionKey, now: Timestamp) {
        let SessionKey { protocol, inside, remote } = key;
        let flow = Flow { side: Side::Inside, near: inside, remote };
        match (protocol, self.sessions.find(&flow)) {
            (FlowProtocol::Tcp, Some(id)) => self.end_session(id, EndCause::Evicted, now),
            (FlowProtocol::Tcp | FlowProtocol::Udp | FlowProtocol::IcmpEcho, _) => {
                self.end_datagrams(key, EndCause::Evicted, now);
            }
        }
        // Whatever it was, it must not be counted any longer.
        self.census.remove(key);
    }
}
