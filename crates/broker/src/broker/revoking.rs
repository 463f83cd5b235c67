//! Cutting somebody off: at once and in one go, whatever the store still has to do.

use alloc::vec::Vec;

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{Member, Notification};
use simopen_protocol::identity::{CommunityName, DeviceName, PeerId, UserId};

use super::Broker;
use crate::admin::AdminRequest;
use crate::directory::{Change, Device, DeviceKind};
use crate::event::What;
use crate::pairing::{PairingOrder, Pairings};
use crate::session::{MeetingState, Session};

impl Broker {
    /// Whoever a request revokes is cut off, and does not log in while the store is at work.
    pub(super) fn bar(&mut self, request: &AdminRequest, now: Timestamp) {
        if let Some((user, device)) = revoked_by(request)
            && !self.barred.contains(&(user.clone(), device.cloned()))
        {
            self.barred.push((user.clone(), device.cloned()));
            self.cut_off(user, device, now);
        }
    }

    /// The request is settled: from now on the directory says it.
    pub(super) fn unbar(&mut self, request: &AdminRequest) {
        if let Some((user, device)) = revoked_by(request) {
            self.barred.retain(|(one, other)| (one, other.as_ref()) != (user, device));
        }
    }

    pub(super) fn is_barred(&self, user: &UserId, device: Option<&DeviceName>) -> bool {
        let is_meant = |(barred, which): &(UserId, Option<DeviceName>)| {
            barred == user && (which.is_none() || which.as_ref() == device)
        };
        self.barred.iter().any(is_meant)
    }

    /// Links are closed, sessions and pairs ended, what was announced is withdrawn; whoever could
    /// have a link with the devices is told to end it, the devices themselves too.
    fn cut_off(&mut self, user: &UserId, device: Option<&DeviceName>, now: Timestamp) {
        let is_meant = |peer: &PeerId| {
            let known = self.peers.get(peer);
            device.is_none() || known.and_then(|peer| peer.device.as_ref()) == device
        };
        let peers: Vec<PeerId> = self.peers_of(user).filter(is_meant).collect();
        let mut told = self.companions(user);
        told.extend(peers.iter().copied().filter(|peer| !told.contains(peer)).collect::<Vec<_>>());
        let revoked = Notification::Revoked { user: user.clone(), device: device.cloned() };
        self.notify_each(told, &revoked);
        for (session, _) in self.pairings.of(user, device) {
            self.end_pairing(session);
        }
        for peer in peers {
            self.dismiss(peer, Cause::Revoked, now);
        }
        self.leave_relays(user, device);
        self.event(now, What::Revoked { user: user.clone(), device: device.cloned() });
    }

    /// Where relays are revoked, the broker does not speak with them any more.
    fn leave_relays(&mut self, user: &UserId, device: Option<&DeviceName>) {
        let is_meant = |known: &&Device| {
            known.kind == DeviceKind::Relay && device.is_none_or(|name| *name == known.name)
        };
        for relay in self.directory.devices_of(user).filter(is_meant) {
            let (relay, pairs) = (relay.fingerprint(), self.pairings.sessions().collect());
            self.orders.push_back(PairingOrder::Leave { relay, pairs });
        }
    }

    /// The relay that was revoked has all the pairs, and nobody speaks with it any more.
    pub fn handle_relay_left(&mut self, _now: Timestamp) {
        self.pairings = Pairings::default();
    }

    /// The pair ends at the relay.
    pub(super) fn end_pairing(&mut self, session: simopen_protocol::identity::SessionId) {
        self.pairings.remove(session);
        self.orders.push_back(PairingOrder::End(session));
    }

    pub(super) fn enact_user_gone(&mut self, user: &UserId, change: &Change, now: Timestamp) {
        if matches!(change, Change::UserRevoked(_)) {
            self.stats.revoked += 1;
        }
        let communities: Vec<_> = self.directory.communities_of(user).cloned().collect();
        for community in communities {
            self.enact_member_gone(&community, user, now);
        }
        self.directory.apply(change);
    }

    /// The members of the community learn of the new one, and that one of everything.
    pub(super) fn enact_member(&mut self, community: &CommunityName, user: &UserId) {
        let was_member = self.directory.is_member(community, user);
        let change = Change::Member { community: community.clone(), user: user.clone() };
        self.directory.apply(&change);
        if was_member || !self.directory.is_member(community, user) {
            return;
        }
        self.tell_membership(community, user, true);
        let own: Vec<PeerId> = self.peers_of(user).collect();
        for peer in own {
            if let Some(known) = self.peers.get(&peer).cloned() {
                self.announce(peer, &known, true);
            }
            self.list_again(peer);
        }
    }

    /// Those who have no community left in common lose sight of each other, and what they have
    /// with each other ends.
    pub(super) fn enact_member_gone(
        &mut self,
        community: &CommunityName,
        user: &UserId,
        now: Timestamp,
    ) {
        if !self.directory.is_member(community, user) {
            return;
        }
        let teams = self.directory.teams_of(user).filter(|team| team.community == *community);
        let teams: Vec<_> = teams.cloned().collect();
        for team in teams {
            if self.directory.team(&team).is_some_and(|record| record.owner == *user) {
                self.enact_team_gone(&team);
            } else {
                self.enact_team_member_gone(&team, user);
            }
        }
        self.tell_membership(community, user, false);
        let change = Change::MemberGone { community: community.clone(), user: user.clone() };
        self.directory.apply(&change);
        let others: Vec<UserId> = self.directory.members(community).cloned().collect();
        for other in others {
            if !self.directory.share_community(user, &other) {
                self.part(user, &other, now);
            }
        }
    }

    fn tell_membership(&mut self, community: &CommunityName, user: &UserId, is_member: bool) {
        let member = Member { community: community.clone(), user: user.clone(), is_member };
        let members: Vec<UserId> = self.directory.members(community).cloned().collect();
        for one in members {
            self.notify_user(&one, &Notification::Member(member.clone()));
        }
    }

    /// Two users have become strangers.
    fn part(&mut self, one: &UserId, other: &UserId, now: Timestamp) {
        for (of, to) in [(one, other), (other, one)] {
            let gone: Vec<PeerId> = self.peers_of(of).collect();
            for peer in gone {
                let Some(known) = self.peers.get(&peer) else { continue };
                let presence = Notification::Presence(Self::presence(peer, known, false));
                self.notify_user(to, &presence);
            }
        }
        let sessions = self.peers_of(one).filter_map(|peer| self.peers.get(&peer));
        let sessions = sessions.flat_map(|peer| peer.sessions.iter().copied());
        let is_between = |session: &Session| {
            let users = [session.originator.peer, session.asked]
                .map(|peer| self.peers.get(&peer).map(|peer| &peer.user));
            users == [Some(one), Some(other)] || users == [Some(other), Some(one)]
        };
        let sessions = sessions.filter(|id| self.sessions.get(id).is_some_and(is_between));
        let sessions: Vec<_> = sessions.collect();
        for session in sessions {
            self.end_session(session, Cause::UnknownPeer, now);
        }
        for (session, with) in self.pairings.of(one, None) {
            if with == *other {
                self.end_pairing(session);
            }
        }
    }

    /// What becomes of a session's pair when the session has ended with that cause. A pair that
    /// stands outlives the control links; one whose values were not used dies by itself.
    pub(super) fn forsake(
        &mut self,
        id: simopen_protocol::identity::SessionId,
        session: &Session,
        cause: Cause,
    ) {
        let Some(meeting) = &session.meeting else {
            return;
        };
        let is_waste = match meeting.state {
            MeetingState::Asked => cause != Cause::NoRelay,
            MeetingState::Open if cause == Cause::Revoked => true,
            MeetingState::Open => {
                let outlives = [Cause::LinkLost, Cause::SignallingTimeout, Cause::Unspecified];
                !session.is_confirmed() && !outlives.contains(&cause)
            }
        };
        if is_waste {
            self.end_pairing(id);
        }
    }
}

/// Whom a request revokes, and which device.
fn revoked_by(request: &AdminRequest) -> Option<(&UserId, Option<&DeviceName>)> {
    match request {
        AdminRequest::RevokeUser(user) | AdminRequest::RemoveUser(user) => Some((user, None)),
        AdminRequest::RevokeDevice { user, device } => Some((user, Some(device))),
        AdminRequest::AddUser { .. }
        | AdminRequest::AddMember { .. }
        | AdminRequest::RemoveMember { .. }
        | AdminRequest::Invite { .. }
        | AdminRequest::InviteRelay { .. }
        | AdminRequest::Users
        | AdminRequest::Devices(_)
        | AdminRequest::Peers
        | AdminRequest::Sessions
        | AdminRequest::Teams
        | AdminRequest::Rendezvous
        | AdminRequest::Stats => None,
    }
}
