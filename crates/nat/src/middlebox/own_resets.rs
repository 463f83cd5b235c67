//! What a firewall's own RST does to the session in whose name it speaks.

use simopen_packet::{Packet, Timestamp, reset_answering};

use super::{Middlebox, flow_of};
use crate::endpoint::Side;
use crate::journal::EndCause;
use crate::spec::Role;
use crate::tcp_tracking::{Outcome, Rules};

impl Middlebox {
    /// Follows the RST with which the box answers `packet` as one from the other side: a firewall
    /// that rejects what it calls invalid sees its own RST pass, and believes it (Linux sends what
    /// `reject with tcp reset` makes through connection tracking). A NAT's stack speaks from the
    /// outside address, which is no session's inside.
    #[cold]
    pub(super) fn follow_own_reset(&mut self, from: Side, packet: &Packet<'_>, now: Timestamp) {
        if self.spec.role != Role::Firewall {
            return;
        }
        let mut buffer = [0; 60];
        let Some(length) = reset_answering(packet, &mut buffer) else { return };
        let Ok(reset) = &Packet::parse(&buffer[..length]) else { return };
        let Some(segment) = reset.tcp() else { return };
        let Some(flow) = flow_of(from.other(), reset, segment) else { return };
        let Some(id) = self.find_live(&flow, now) else { return };
        let rules = Rules {
            tracking: self.spec.tracking,
            on_reset: self.spec.on_reset,
            lifetimes: &self.lifetimes,
        };
        let session = self.sessions.get_mut(id);
        let direction = session.direction_from(from.other());
        match session.tracking.follow(segment, direction, &rules) {
            Outcome::Accepted(Some(lifetime)) => {
                if session.refresh(lifetime.from(now)) {
                    self.sessions.arm(id);
                }
            }
            Outcome::Ended => self.end_session(id, EndCause::Reset, now),
            Outcome::InvalidEnd(_, most) => self.sessions.shorten(id, most.from(now)),
            Outcome::Accepted(None)
            | Outcome::Ignored
            | Outcome::Invalid(_)
            | Outcome::Reopening => {}
        }
    }
}
