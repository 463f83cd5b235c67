//! Small steps from one directory to the next. Each may be taken twice.

use alloc::vec::Vec;

use simopen_protocol::control::{KeyFingerprint, TeamId};
use simopen_protocol::identity::{CommunityName, NoteId, UserId};
use simopen_protocol::token::Token;

use super::Directory;
use super::record::{Device, DeviceKind, Invitation, KeptNote, SecretHash, Standing, TeamRecord};

/// One step. Taking it a second time changes nothing, and one that no longer fits (a member of a
/// team that is gone) changes nothing either.
///
/// May grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// There is such a user, with this secret. One that was revoked is in good standing again,
    /// without communities or devices.
    User {
        /// Who.
        user: UserId,
        /// For links in plain text.
        secret: Option<Token>,
    },
    /// The user is revoked with all devices; memberships, teams, invitations and notes go.
    UserRevoked(UserId),
    /// The user goes with everything.
    UserGone(UserId),
    /// A user is in a community.
    Member {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// A user is no longer in a community, nor in its teams; teams of that user's own end.
    MemberGone {
        /// Which community.
        community: CommunityName,
        /// Who.
        user: UserId,
    },
    /// There is such a device, in the place of any with the same key.
    Device(Device),
    /// The device with this key is revoked.
    DeviceRevoked(KeyFingerprint),
    /// Somebody may join.
    Invitation(Invitation),
    /// An invitation was used or taken back.
    InvitationGone(SecretHash),
    /// There is such a team, of its owner alone where it is new.
    Team {
        /// Which.
        team: TeamId,
        /// Whose.
        owner: UserId,
    },
    /// A team ends.
    TeamGone(TeamId),
    /// A user is in a team.
    TeamMember {
        /// Which team.
        team: TeamId,
        /// Who.
        user: UserId,
    },
    /// A user is no longer in a team; its owner stays.
    TeamMemberGone {
        /// Which team.
        team: TeamId,
        /// Who.
        user: UserId,
    },
    /// A note is kept for its recipients.
    Note(KeptNote),
    /// A recipient has deleted a note.
    NoteGone {
        /// Which.
        note: NoteId,
        /// For whom.
        recipient: UserId,
    },
}

impl Directory {
    /// Takes one step.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::User { user, secret } => self.put_user(user, *secret),
            Change::UserRevoked(user) => self.revoke_user(user),
            Change::UserGone(user) => self.remove_user(user),
            Change::Member { community, user } => self.put_member(community, user),
            Change::MemberGone { community, user } => self.remove_member(community, user),
            Change::Device(device) => self.put_device(device.clone()),
            Change::DeviceRevoked(key) => self.revoke_device(key),
            Change::Invitation(invitation) => {
                self.invitations.insert(invitation.hash, invitation.clone());
            }
            Change::InvitationGone(hash) => drop(self.invitations.remove(hash)),
            Change::Team { team, owner } => self.put_team(team, owner),
            Change::TeamGone(team) => self.remove_team(team),
            Change::TeamMember { team, user } => self.put_team_member(team, user),
            Change::TeamMemberGone { team, user } => self.remove_team_member(team, user),
            Change::Note(note) => self.put_note(note),
            Change::NoteGone { note, recipient } => self.remove_note(*note, recipient),
        }
    }

    /// All steps from an empty directory to this one.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (user, account) in &self.users {
            changes.push(Change::User { user: user.clone(), secret: account.secret });
            if account.standing == Standing::Revoked {
                changes.push(Change::UserRevoked(user.clone()));
            }
            let memberships = account.communities.iter().map(|community| Change::Member {
                community: community.clone(),
                user: user.clone(),
            });
            changes.extend(memberships);
        }
        changes.extend(self.devices.values().cloned().map(Change::Device));
        changes.extend(self.invitations.values().cloned().map(Change::Invitation));
        for (team, TeamRecord { owner, members }) in &self.teams {
            changes.push(Change::Team { team: team.clone(), owner: owner.clone() });
            let others = members.iter().filter(|member| *member != owner);
            changes.extend(
                others.map(|user| Change::TeamMember { team: team.clone(), user: user.clone() }),
            );
        }
        changes.extend(self.notes.values().cloned().map(Change::Note));
        changes
    }

    fn put_user(&mut self, user: &UserId, secret: Option<Token>) {
        let account = self.users.entry(user.clone()).or_default();
        account.secret = secret;
        account.standing = Standing::Good;
    }

    fn revoke_user(&mut self, user: &UserId) {
        if !self.users.contains_key(user) {
            return;
        }
        self.strip(user);
        let keys: Vec<_> = self.devices_of(user).map(Device::fingerprint).collect();
        for key in keys {
            self.revoke_device(&key);
        }
        if let Some(account) = self.users.get_mut(user) {
            account.secret = None;
            account.standing = Standing::Revoked;
        }
    }

    fn remove_user(&mut self, user: &UserId) {
        self.strip(user);
        self.devices.retain(|_, device| device.user != *user);
        self.names.remove(user);
        self.users.remove(user);
    }

    /// Takes everything but the devices from a user.
    fn strip(&mut self, user: &UserId) {
        let communities: Vec<_> = self.communities_of(user).cloned().collect();
        for community in communities {
            self.remove_member(&community, user);
        }
        self.invitations.retain(|_, invitation| !invitation.is_for(user));
        let notes: Vec<_> = self.notes_of(user).map(|note| note.id).collect();
        for note in notes {
            self.remove_note(note, user);
        }
    }

    fn put_member(&mut self, community: &CommunityName, user: &UserId) {
        let Some(account) = self.users.get_mut(user) else {
            return;
        };
        if account.standing == Standing::Good {
            account.communities.insert(community.clone());
            self.communities.entry(community.clone()).or_default().insert(user.clone());
        }
    }

    fn remove_member(&mut self, community: &CommunityName, user: &UserId) {
        let in_community = |team: &&TeamId| team.community == *community;
        let teams: Vec<_> = self.teams_of(user).filter(in_community).cloned().collect();
        for team in teams {
            if self.team(&team).is_some_and(|record| record.owner == *user) {
                self.remove_team(&team);
            } else {
                self.remove_team_member(&team, user);
            }
        }
        if let Some(account) = self.users.get_mut(user) {
            account.communities.remove(community);
        }
        if let Some(members) = self.communities.get_mut(community) {
            members.remove(user);
            if members.is_empty() {
                self.communities.remove(community);
            }
        }
    }

    fn put_device(&mut self, device: Device) {
        let key = device.fingerprint();
        let holder = self.device_called(&device.user, &device.name);
        let is_taken = holder.is_some_and(|holder| holder.key != device.key);
        // A user who was revoked keeps devices that were, and gets no others.
        let of_user = self.standing(&device.user);
        let is_homeless = device.kind == DeviceKind::Peer
            && of_user.is_none_or(|of_user| device.standing < of_user);
        if is_homeless || (is_taken && device.standing == Standing::Good) {
            return;
        }
        self.revoke_device(&key);
        if device.standing == Standing::Good {
            let names = self.names.entry(device.user.clone()).or_default();
            names.insert(device.name.clone(), key);
        }
        self.devices.insert(key, device);
    }

    fn revoke_device(&mut self, key: &KeyFingerprint) {
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        if device.standing == Standing::Revoked {
            return;
        }
        device.standing = Standing::Revoked;
        if let Some(names) = self.names.get_mut(&device.user) {
            names.remove(&device.name);
            if names.is_empty() {
                self.names.remove(&device.user);
            }
        }
    }

    fn put_team(&mut self, team: &TeamId, owner: &UserId) {
        if self.is_member(&team.community, owner) && !self.teams.contains_key(team) {
            let members = [owner.clone()].into();
            self.teams.insert(team.clone(), TeamRecord { owner: owner.clone(), members });
            self.teams_of.entry(owner.clone()).or_default().insert(team.clone());
        }
    }

    fn remove_team(&mut self, team: &TeamId) {
        let Some(record) = self.teams.remove(team) else {
            return;
        };
        for member in &record.members {
            self.forget_team_of(member, team);
        }
    }

    fn put_team_member(&mut self, team: &TeamId, user: &UserId) {
        // A team never crosses communities (seed 001 ¶126).
        if !self.is_member(&team.community, user) {
            return;
        }
        if let Some(record) = self.teams.get_mut(team) {
            record.members.insert(user.clone());
            self.teams_of.entry(user.clone()).or_default().insert(team.clone());
        }
    }

    fn remove_team_member(&mut self, team: &TeamId, user: &UserId) {
        let Some(record) = self.teams.get_mut(team) else {
            return;
        };
        if record.owner != *user && record.members.remove(user) {
            self.forget_team_of(user, team);
        }
    }

    fn forget_team_of(&mut self, user: &UserId, team: &TeamId) {
        if let Some(teams) = self.teams_of.get_mut(user) {
            teams.remove(team);
            if teams.is_empty() {
                self.teams_of.remove(user);
            }
        }
    }

    fn put_note(&mut self, note: &KeptNote) {
        let mut note = note.clone();
        note.recipients.retain(|recipient| self.standing(recipient) == Some(Standing::Good));
        if note.recipients.is_empty() || self.notes.contains_key(&note.id) {
            return;
        }
        for recipient in &note.recipients {
            let mailbox = self.mailboxes.entry(recipient.clone()).or_default();
            mailbox.notes.insert(note.id);
            mailbox.bytes += note.size();
        }
        self.notes.insert(note.id, note);
    }

    fn remove_note(&mut self, id: NoteId, recipient: &UserId) {
        let Some(note) = self.notes.get_mut(&id) else {
            return;
        };
        if !note.recipients.remove(recipient) {
            return;
        }
        if let Some(mailbox) = self.mailboxes.get_mut(recipient) {
            mailbox.notes.remove(&id);
            mailbox.bytes -= note.size();
            if mailbox.notes.is_empty() {
                self.mailboxes.remove(recipient);
            }
        }
        if note.recipients.is_empty() {
            self.notes.remove(&id);
        }
    }
}
