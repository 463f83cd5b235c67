//! Shares: announced by a peer to a team for as long as it is online (seed 001 ¶126-129).

use alloc::vec::Vec;

use simopen_protocol::control::{ErrorName, Notification, Reply, Share, ShareId, TeamId};
use simopen_protocol::identity::{PeerId, UserId};

use super::{Broker, refusal};
use crate::link::{LinkId, Peer};

impl Broker {
    pub(super) fn add_share(&mut self, link: LinkId, id: &ShareId) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let limit = self.config.limits.shares_per_peer;
        let unknown = || refusal("not-logged-in");
        let user = self.peers.get(&peer).ok_or_else(unknown)?.user.clone();
        self.team_with(&user, &id.team)?;
        let announcer = self.peers.get_mut(&peer).ok_or_else(unknown)?;
        if announcer.shares.contains(id) {
            return Ok(Reply::Done);
        }
        if announcer.shares.len() >= limit {
            return Err(refusal("too-many-shares"));
        }
        announcer.shares.insert(id.clone());
        let share = share_of(id, peer, announcer);
        self.shares.entry(id.team.clone()).or_default().insert((id.name.clone(), peer));
        self.tell_share(&share, &Notification::AddShare(share.clone()));
        Ok(Reply::Done)
    }

    pub(super) fn drop_share(&mut self, link: LinkId, id: &ShareId) -> Result<Reply, ErrorName> {
        let peer = self.peer_on(link)?;
        let announces = self.peers.get(&peer).is_some_and(|peer| peer.shares.contains(id));
        if !announces {
            return Err(refusal("unknown-share"));
        }
        self.withdraw(peer, id);
        Ok(Reply::Done)
    }

    /// Withdraws everything that a peer announced, which is no longer in the tables.
    pub(super) fn withdraw_all(&mut self, id: PeerId, gone: &Peer) {
        for share_id in &gone.shares {
            self.forget_share(share_id, id);
            let share = share_of(share_id, id, gone);
            self.tell_share(&share, &Notification::DropShare(share.clone()));
        }
    }

    /// Withdraws what was announced to a team, by one user or by all.
    pub(super) fn drop_shares_of_team(&mut self, team: &TeamId, by: Option<&UserId>) {
        let is_meant = |peer: &PeerId| {
            let user = self.peers.get(peer).map(|peer| &peer.user);
            by.is_none() || user == by
        };
        let shares = self.shares_of_team(team);
        let meant: Vec<_> = shares.filter(|(_, peer)| is_meant(peer)).collect();
        for (id, peer) in meant {
            self.withdraw(peer, &id);
        }
    }

    /// Tells a new member of a team what is announced to it.
    pub(super) fn tell_shares_of_team(&mut self, team: &TeamId, user: &UserId) {
        let shares = self.shares_of_team(team);
        let told: Vec<_> = shares.filter_map(|(id, peer)| self.share_as_told(&id, peer)).collect();
        for share in told {
            self.notify_user(user, &Notification::AddShare(share));
        }
    }

    pub(super) fn shares_of_team(&self, team: &TeamId) -> impl Iterator<Item = (ShareId, PeerId)> {
        let team = team.clone();
        let shares = self.shares.get(&team).into_iter().flatten();
        shares.map(move |(name, peer)| (ShareId { team: team.clone(), name: name.clone() }, *peer))
    }

    pub(super) fn share_as_told(&self, id: &ShareId, peer: PeerId) -> Option<Share> {
        self.peers.get(&peer).map(|announcer| share_of(id, peer, announcer))
    }

    fn withdraw(&mut self, peer: PeerId, id: &ShareId) {
        let Some(announcer) = self.peers.get_mut(&peer) else {
            return;
        };
        announcer.shares.remove(id);
        let share = share_of(id, peer, announcer);
        self.forget_share(id, peer);
        self.tell_share(&share, &Notification::DropShare(share.clone()));
    }

    fn forget_share(&mut self, id: &ShareId, peer: PeerId) {
        if let Some(shares) = self.shares.get_mut(&id.team) {
            shares.remove(&(id.name.clone(), peer));
            if shares.is_empty() {
                self.shares.remove(&id.team);
            }
        }
    }

    /// Tells the members of the team, but not the peer that has it.
    fn tell_share(&mut self, share: &Share, notification: &Notification) {
        let members = self.directory.team(&share.id.team).map(|record| record.members.clone());
        for member in members.into_iter().flatten() {
            let mut peers: Vec<_> = self.peers_of(&member).collect();
            peers.retain(|peer| *peer != share.peer);
            self.notify_each(peers, notification);
        }
    }
}

fn share_of(id: &ShareId, peer: PeerId, announcer: &Peer) -> Share {
    let (user, device) = (announcer.user.clone(), announcer.device.clone());
    Share { id: id.clone(), peer, user, device }
}
