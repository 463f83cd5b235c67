//! Who is there, and who has gone without a word (seed 004).

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Notification, Presence, Reachable};
use simopen_protocol::identity::PeerId;

use super::{Broker, Transmit};
use crate::deadline::Due;
use crate::event::What;
use crate::link::{LinkKind, Peer, Watch};

impl Broker {
    /// How a peer is announced.
    pub(super) fn presence(id: PeerId, of: &Peer, online: bool) -> Presence {
        Presence { peer: id, user: of.user.clone(), device: of.device.clone(), online }
    }

    /// Tells the members of common communities, and nobody else. A peer that cannot be asked for
    /// connections is nobody's business.
    pub(super) fn announce(&mut self, id: PeerId, of: &Peer, online: bool) {
        if of.reachable == Reachable::No {
            return;
        }
        let presence = Notification::Presence(Self::presence(id, of, online));
        let mut companions = self.companions(&of.user);
        companions.retain(|companion| *companion != id);
        self.notify_each(companions, &presence);
    }

    /// Looks at a peer again when it may have been silent for too long.
    pub(super) fn watch(&mut self, id: PeerId, at: Timestamp) {
        let key = self.deadlines.insert(at, Due::Silence(id));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.silence = Some(key);
        }
    }

    /// A peer's silence is due for a look. Only one that does not answer when it was asked counts
    /// as gone; where this broker itself was held up, the answer may wait unread, so it is asked
    /// again.
    pub(super) fn silent(&mut self, id: PeerId, due: Timestamp, now: Timestamp) {
        let (Some(alive), Some(peer)) = (self.config.alive, self.peers.get_mut(&id)) else {
            return;
        };
        peer.silence = None;
        if peer.watch == Watch::Spoke {
            peer.watch = Watch::Listening;
            peer.heard = now;
        }
        let patience = peer.heard + alive;
        if patience > now {
            peer.watch = Watch::Listening;
            self.watch(id, patience);
            return;
        }
        let was_held_up = now - due > alive / 2;
        match peer.watch {
            Watch::Verifying if !was_held_up => {
                self.stats.vanished += 1;
                self.event(now, What::Vanished { peer: id });
                self.dismiss(id, Cause::LinkLost, now);
            }
            Watch::Verifying | Watch::Listening | Watch::Spoke => {
                peer.watch = Watch::Verifying;
                self.stats.verified += 1;
                self.notify(id, Notification::Verify);
                self.watch(id, now + alive / 2);
            }
        }
    }

    /// Logs a peer out and closes its link.
    pub(super) fn dismiss(&mut self, id: PeerId, cause: Cause, now: Timestamp) {
        let Some(link) = self.peers.get(&id).map(|peer| peer.link) else {
            return;
        };
        self.remove_peer(id, cause, now);
        if let Some(link) = self.links.get_mut(&link) {
            link.kind = LinkKind::Ended;
        }
        self.transmits.push_back(Transmit::Close(link));
    }

    /// A peer is gone, and what depended on it.
    pub(super) fn remove_peer(&mut self, id: PeerId, cause: Cause, now: Timestamp) {
        // First, so that nothing is said to a link that is not there.
        let Some(gone) = self.peers.remove(&id) else {
            return;
        };
        if let Some(peers) = self.online.get_mut(&gone.user) {
            peers.remove(&id);
            if peers.is_empty() {
                self.online.remove(&gone.user);
            }
        }
        if let Some(key) = gone.silence {
            self.deadlines.remove(key);
        }
        for session in &gone.sessions {
            self.end_session(*session, cause, now);
        }
        self.withdraw_all(id, &gone);
        self.announce(id, &gone, false);
        self.event(now, What::LoggedOut { peer: id, user: gone.user, device: gone.device });
    }
}
