//! Who is told what: to one link, to the devices of a user, to those who may know of each other.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use simopen_protocol::control::{ErrorName, Head, Message, Notification, Reply, Response};
use simopen_protocol::identity::{PeerId, UserId};

use super::{Broker, Transmit};
use crate::link::LinkId;

impl Broker {
    pub(super) fn respond(&mut self, link: LinkId, head: Head, result: Result<Reply, ErrorName>) {
        if let Err(name) = &result {
            self.count_refusal(name);
        }
        self.respond_counted(link, head, result);
    }

    pub(super) fn count_refusal(&mut self, name: &ErrorName) {
        match self.stats.refused.get_mut(&name.0) {
            Some(count) => *count += 1,
            None => drop(self.stats.refused.insert(name.0.clone(), 1)),
        }
    }

    /// Responds without counting a refusal, which was done before.
    pub(super) fn respond_counted(
        &mut self,
        link: LinkId,
        head: Head,
        result: Result<Reply, ErrorName>,
    ) {
        let response = Message::Response(Response { head, result });
        self.transmits.push_back(Transmit::Message(link, response));
    }

    pub(super) fn notify(&mut self, peer: PeerId, notification: Notification) {
        if let Some(peer) = self.peers.get(&peer) {
            let message = Message::Notification(notification);
            self.transmits.push_back(Transmit::Message(peer.link, message));
        }
    }

    pub(super) fn notify_each(&mut self, peers: Vec<PeerId>, notification: &Notification) {
        for peer in peers {
            self.notify(peer, notification.clone());
        }
    }

    /// Tells all devices of a user.
    pub(super) fn notify_user(&mut self, user: &UserId, notification: &Notification) {
        self.notify_each(self.peers_of(user).collect(), notification);
    }

    pub(super) fn peers_of(&self, user: &UserId) -> impl Iterator<Item = PeerId> {
        self.online.get(user).into_iter().flatten().copied()
    }

    /// The devices of those who share a community with a user, the user's own among them: nobody
    /// else may learn anything of that user. In the order of the users' names.
    pub(super) fn companions(&self, user: &UserId) -> Vec<PeerId> {
        let mut communities = self.directory.communities_of(user);
        let (first, rest) = (communities.next(), communities);
        let mut rest = rest.peekable();
        let first = first.into_iter().flat_map(|community| self.directory.members(community));
        if rest.peek().is_none() {
            return first.flat_map(|member| self.peers_of(member)).collect();
        }
        let rest = rest.flat_map(|community| self.directory.members(community));
        let users: BTreeSet<&UserId> = first.chain(rest).collect();
        users.into_iter().flat_map(|member| self.peers_of(member)).collect()
    }

    pub(super) fn tell_everybody_to_return(&mut self, within: Duration) {
        let everybody: Vec<PeerId> = self.peers.keys().copied().collect();
        self.notify_each(everybody, &Notification::Restarting { within });
    }
}
