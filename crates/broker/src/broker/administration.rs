//! What operators ask.

use alloc::vec::Vec;
use core::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::{SessionId, UserId};
use simopen_protocol::token::Token;

use super::Broker;
use super::changing::Plan;
use crate::admin::{
    AdminError, AdminId, AdminReply, AdminRequest, PeerEntry, SessionEntry, UserEntry,
};
use crate::config::Rendezvous;
use crate::deadline::{Due, Key};
use crate::directory::{Change, Device, Invitation, Invited, RELAY, SecretHash, Standing};
use crate::pairing::PairingOrder;

/// How long a relay may take to answer an operator's request.
const PAIRING_ANSWER: Duration = Duration::from_secs(10);

/// A pair for unmodified clients that the relay has not answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Meeting {
    asker: AdminId,
    values: [Token; 2],
    due: Key,
}

impl Broker {
    /// An operator asks something; [`Broker::poll_admin`] answers.
    pub fn handle_admin(&mut self, id: AdminId, request: AdminRequest, now: Timestamp) {
        match request {
            AdminRequest::RevokeUser(_)
            | AdminRequest::RemoveUser(_)
            | AdminRequest::RevokeDevice { .. } => {
                // Nobody who is revoked waits for what others asked before.
                if self.judge_admin(&request).is_ok() {
                    self.bar(&request, now);
                }
                self.submit_admin(id, request, now);
            }
            AdminRequest::AddUser { .. }
            | AdminRequest::AddMember { .. }
            | AdminRequest::RemoveMember { .. }
            | AdminRequest::Invite { .. }
            | AdminRequest::InviteRelay { .. } => self.submit_admin(id, request, now),
            AdminRequest::Rendezvous => self.rendezvous(id, now),
            AdminRequest::Users => self.answer(id, AdminReply::Users(self.user_entries())),
            AdminRequest::Devices(user) => {
                let is_meant = |owner: &UserId| user.as_ref().is_none_or(|user| user == owner);
                let devices = self.directory.devices().filter(|device| is_meant(&device.user));
                let devices = devices.cloned().map(|device| self.as_barred(device)).collect();
                self.answer(id, AdminReply::Devices(devices));
            }
            AdminRequest::Peers => self.answer(id, AdminReply::Peers(self.peer_entries(now))),
            AdminRequest::Sessions => {
                self.answer(id, AdminReply::Sessions(self.session_entries(now)));
            }
            AdminRequest::Teams => {
                let teams = self.directory.teams().filter_map(|(team, _)| self.team_as_told(team));
                let teams = teams.collect();
                self.answer(id, AdminReply::Teams(teams));
            }
            AdminRequest::Stats => {
                self.answer(id, AdminReply::Stats(self.stats.clone(), self.gauges()));
            }
        }
    }

    /// Whoever is being revoked is so at once.
    fn as_barred(&self, mut device: Device) -> Device {
        if self.is_barred(&device.user, Some(&device.name)) {
            device.standing = Standing::Revoked;
        }
        device
    }

    fn answer(&mut self, id: AdminId, reply: AdminReply) {
        self.answers.push_back((id, Ok(reply)));
    }

    pub(super) fn judge_admin(
        &mut self,
        request: &AdminRequest,
    ) -> Result<Plan<AdminReply>, AdminError> {
        let changes: Vec<Change> = match request {
            AdminRequest::AddUser { user, communities } => {
                if user.as_str() == RELAY {
                    return Err(AdminError::Reserved);
                }
                if self.directory.standing(user) == Some(Standing::Good) {
                    return Err(AdminError::Exists);
                }
                let added = Change::User { user: user.clone(), secret: None };
                let memberships = communities.iter().cloned();
                let memberships =
                    memberships.map(|community| Change::Member { community, user: user.clone() });
                [added].into_iter().chain(memberships).collect()
            }
            AdminRequest::RemoveUser(user) => {
                self.directory.standing(user).ok_or(AdminError::UnknownUser)?;
                [Change::UserGone(user.clone())].into()
            }
            AdminRequest::AddMember { community, user } => {
                self.in_good_standing(user)?;
                let is_new = !self.directory.is_member(community, user);
                let change = Change::Member { community: community.clone(), user: user.clone() };
                is_new.then_some(change).into_iter().collect()
            }
            AdminRequest::RemoveMember { community, user } => {
                self.in_good_standing(user)?;
                let is_member = self.directory.is_member(community, user);
                let change =
                    Change::MemberGone { community: community.clone(), user: user.clone() };
                is_member.then_some(change).into_iter().collect()
            }
            AdminRequest::Invite { user, lifetime } => {
                self.in_good_standing(user)?;
                return Ok(self.invite(Invited::User(user.clone()), *lifetime));
            }
            AdminRequest::InviteRelay { lifetime } => {
                return Ok(self.invite(Invited::Relay, *lifetime));
            }
            AdminRequest::RevokeUser(user) => {
                self.in_good_standing(user)?;
                [Change::UserRevoked(user.clone())].into()
            }
            AdminRequest::RevokeDevice { user, device } => {
                let device = self.directory.device_called(user, device);
                let device = device.ok_or(AdminError::UnknownDevice)?;
                [Change::DeviceRevoked(device.fingerprint())].into()
            }
            // They change nothing, and were answered before.
            AdminRequest::Users
            | AdminRequest::Devices(_)
            | AdminRequest::Peers
            | AdminRequest::Sessions
            | AdminRequest::Teams
            | AdminRequest::Rendezvous
            | AdminRequest::Stats => Vec::new(),
        };
        Ok(Plan { changes, reply: AdminReply::Done })
    }

    fn in_good_standing(&self, user: &UserId) -> Result<(), AdminError> {
        let standing = self.directory.standing(user).filter(|known| *known == Standing::Good);
        standing.map(drop).ok_or(AdminError::UnknownUser)
    }

    fn invite(&mut self, invited: Invited, lifetime: Duration) -> Plan<AdminReply> {
        let secret = self.random_token();
        let until = self.wall.saturating_add(lifetime.as_secs());
        let hash = SecretHash::of(&secret);
        // Those that nobody used in time go with the next one.
        let stale = self.directory.invitations().filter(|one| one.until < self.wall);
        let stale = stale.map(|invitation| Change::InvitationGone(invitation.hash));
        let added = Change::Invitation(Invitation { hash, invited, until });
        let changes = stale.chain([added]).collect();
        Plan { changes, reply: AdminReply::Invited { secret, until } }
    }

    fn rendezvous(&mut self, id: AdminId, now: Timestamp) {
        let refused = match self.config.rendezvous {
            Rendezvous::Off => Some(AdminError::RendezvousOff),
            Rendezvous::Allowed if self.config.relay.is_empty() => Some(AdminError::NoRelay),
            Rendezvous::Allowed => None,
        };
        if let Some(error) = refused {
            return self.answers.push_back((id, Err(error)));
        }
        let session = SessionId(self.random_number());
        let values = [self.random_token(), self.random_token()];
        let due = self.deadlines.insert(now + PAIRING_ANSWER, Due::Pairing(session));
        self.meetings.insert(session, Meeting { asker: id, values, due });
        self.stats.pairings += 1;
        self.orders.push_back(PairingOrder::Open(Proxy { session, values }));
    }

    /// The relay has answered for a pair of unmodified clients; whether it was one of those.
    pub(super) fn settle_meeting(&mut self, session: SessionId, is_open: bool) -> bool {
        let Some(Meeting { asker, values, due }) = self.meetings.remove(&session) else {
            return false;
        };
        self.deadlines.remove(due);
        let relay = self.config.relay.clone();
        let reply = AdminReply::Rendezvous { relay, values };
        let answer = if is_open { Ok(reply) } else { Err(AdminError::NoRelay) };
        self.answers.push_back((asker, answer));
        true
    }

    fn user_entries(&self) -> Vec<UserEntry> {
        let entry = |user: &UserId| UserEntry {
            user: user.clone(),
            communities: self.directory.communities_of(user).cloned().collect(),
            standing: self.directory.standing(user).unwrap_or_default(),
            devices: self.directory.devices_of(user).count(),
            online: self.peers_of(user).count(),
            notes: self.directory.mailbox(user).0,
        };
        self.directory.users().map(entry).collect()
    }

    fn peer_entries(&self, now: Timestamp) -> Vec<PeerEntry> {
        let peers = self.peers.iter();
        let entries = peers.filter_map(|(id, peer)| {
            let link = self.links.get(&peer.link)?;
            Some(PeerEntry {
                peer: *id,
                user: peer.user.clone(),
                device: peer.device.clone(),
                remote: link.origin.remote,
                round_trip: link.path.round_trip,
                since: now - peer.since,
            })
        });
        entries.collect()
    }

    fn session_entries(&self, now: Timestamp) -> Vec<SessionEntry> {
        let entries = self.sessions.iter().filter_map(|(id, session)| {
            Some(SessionEntry {
                session: *id,
                technique: session.technique,
                originator: self.peers.get(&session.originator.peer)?.user.clone(),
                responder: self.peers.get(&session.asked)?.user.clone(),
                age: now - session.created,
            })
        });
        entries.collect()
    }
}
