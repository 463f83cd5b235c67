//! What a broker has told this device: who and what there is.

use std::collections::{BTreeMap, BTreeSet};

use simopen_protocol::control::{
    LoggedIn, Member, Note, Notification, Presence, Share, ShareId, Team, TeamId,
};
use simopen_protocol::identity::{CommunityName, NoteId, PeerId, TeamName, UserId};

use super::name::TeamPath;
use super::words::{
    CommunityStatus, MemberStatus, NoteStatus, OnlineDevice, ShareStatus, TeamStatus,
};

/// Who and what there is at one broker, as it has told in notifications since the login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// The number under which this device was told.
    login: Option<PeerId>,
    online: BTreeMap<PeerId, Presence>,
    members: BTreeMap<CommunityName, BTreeSet<UserId>>,
    teams: BTreeMap<TeamId, Team>,
    shares: BTreeMap<(ShareId, PeerId), Share>,
    notes: BTreeMap<NoteId, Note>,
    is_listed: bool,
}

impl Roster {
    /// Begins anew: a login has been answered.
    #[must_use]
    pub fn new(logged_in: &LoggedIn) -> Self {
        let mut roster = Self::default();
        for presence in &logged_in.online {
            roster.handle_presence(presence);
        }
        roster
    }

    /// Begins anew, under this number; everything is still to be told.
    pub(super) fn of_login(peer: PeerId) -> Self {
        Self { login: Some(peer), ..Self::default() }
    }

    /// Takes what the broker tells.
    pub fn handle(&mut self, notification: &Notification) {
        match notification {
            Notification::Presence(presence) => self.handle_presence(presence),
            Notification::Member(member) => self.handle_member(member),
            Notification::Team(team) => drop(self.teams.insert(team.id.clone(), team.clone())),
            Notification::DropTeam(team) => {
                self.teams.remove(team);
                self.shares.retain(|(share, _), _| share.team != *team);
            }
            Notification::AddShare(share) => {
                self.shares.insert((share.id.clone(), share.peer), share.clone());
            }
            Notification::DropShare(share) => {
                self.shares.remove(&(share.id.clone(), share.peer));
            }
            Notification::Note(note) => drop(self.notes.insert(note.id, note.clone())),
            Notification::DropNote(note) => drop(self.notes.remove(note)),
            Notification::Listed => self.is_listed = true,
            Notification::Several(all) => all.iter().for_each(|one| self.handle(one)),
            Notification::Revoked { user, device } => {
                let is_meant = |one: &Presence| {
                    one.user == *user && (device.is_none() || one.device == *device)
                };
                self.online.retain(|_, presence| !is_meant(presence));
            }
            // What concerns attempts and the link, and what a newer version tells.
            Notification::ConnectionRequest(_)
            | Notification::PeerOutcome(_)
            | Notification::Restarting { .. }
            | Notification::Verify
            | _ => {}
        }
    }

    /// The same without who is online and what they share: nobody knows while the link is gone.
    #[must_use]
    pub fn without_presence(&self) -> Self {
        Self { online: BTreeMap::new(), shares: BTreeMap::new(), ..self.clone() }
    }

    /// Whether everything that there was at the login has been told.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Whether it has been told to this login, and not to one before.
    pub(super) fn is_listed_for(&self, peer: PeerId) -> bool {
        self.is_listed && self.login == Some(peer)
    }

    /// Whether a user is in a common community, or online.
    #[must_use]
    pub fn knows(&self, user: &UserId) -> bool {
        self.members.values().any(|members| members.contains(user))
            || self.online.values().any(|presence| presence.user == *user)
    }

    /// Whether there is a note of this number.
    #[must_use]
    pub fn has_note(&self, note: NoteId) -> bool {
        self.notes.contains_key(&note)
    }

    /// The team that is meant: in the only community that has one of this name.
    #[must_use]
    pub fn team(&self, path: &TeamPath) -> Vec<&Team> {
        let is_meant = |team: &&Team| {
            team.id.team == path.team
                && path.community.as_ref().is_none_or(|community| team.id.community == *community)
        };
        self.teams.values().filter(is_meant).collect()
    }

    /// The communities that this user is in.
    pub fn communities(&self) -> impl Iterator<Item = &CommunityName> {
        self.members.keys()
    }

    /// Puts a name into the only community that there is.
    #[must_use]
    pub fn only_community(&self, team: &TeamName) -> Option<TeamId> {
        let mut communities = self.members.keys();
        let community = communities.next()?.clone();
        communities.next().is_none().then(|| TeamId { community, team: team.clone() })
    }

    /// The communities with their members, and who of them is online.
    #[must_use]
    pub fn community_status(&self) -> Vec<CommunityStatus> {
        let member = |user: &UserId| MemberStatus {
            user: user.to_string(),
            online: self
                .online
                .values()
                .filter(|presence| presence.user == *user)
                .map(|presence| OnlineDevice {
                    peer: presence.peer.0,
                    device: presence.device.as_ref().map(ToString::to_string),
                })
                .collect(),
        };
        let community = |(community, members): (&CommunityName, &BTreeSet<UserId>)| {
            let members = members.iter().map(member).collect();
            CommunityStatus { community: community.to_string(), members }
        };
        self.members.iter().map(community).collect()
    }

    /// The teams.
    #[must_use]
    pub fn team_status(&self) -> Vec<TeamStatus> {
        let team = |team: &Team| TeamStatus {
            community: team.id.community.to_string(),
            team: team.id.team.to_string(),
            owner: team.owner.to_string(),
            members: team.members.iter().map(ToString::to_string).collect(),
        };
        self.teams.values().map(team).collect()
    }

    /// The shares.
    #[must_use]
    pub fn share_status(&self) -> Vec<ShareStatus> {
        let share = |share: &Share| ShareStatus {
            share: share.id.name.to_string(),
            community: share.id.team.community.to_string(),
            team: share.id.team.team.to_string(),
            user: share.user.to_string(),
            device: share.device.as_ref().map(ToString::to_string),
            peer: share.peer.0,
        };
        self.shares.values().map(share).collect()
    }

    /// The notes.
    #[must_use]
    pub fn note_status(&self) -> Vec<NoteStatus> {
        let note = |note: &Note| NoteStatus {
            note: note.id.0,
            from: note.from.to_string(),
            team: note.team.as_ref().map(|team| format!("{}/{}", team.community, team.team)),
            sent: note.sent,
            subject: note.subject.clone(),
            text: note.text.clone(),
        };
        self.notes.values().map(note).collect()
    }

    fn handle_presence(&mut self, presence: &Presence) {
        if presence.online {
            self.online.insert(presence.peer, presence.clone());
        } else {
            self.online.remove(&presence.peer);
        }
    }

    fn handle_member(&mut self, member: &Member) {
        if member.is_member {
            self.members.entry(member.community.clone()).or_default().insert(member.user.clone());
        } else if let Some(members) = self.members.get_mut(&member.community) {
            members.remove(&member.user);
            if members.is_empty() {
                self.members.remove(&member.community);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn member(community: &str, name: &str, is_member: bool) -> Notification {
        let community = community.parse().unwrap();
        Notification::Member(Member { community, user: user(name), is_member })
    }

    fn presence(peer: u64, name: &str, online: bool) -> Presence {
        let device = Some("laptop".parse().unwrap());
        Presence { peer: PeerId(peer), user: user(name), device, online }
    }

    fn team_id(community: &str, team: &str) -> TeamId {
        TeamId { community: community.parse().unwrap(), team: team.parse().unwrap() }
    }

    #[test]
    fn who_comes_and_goes_is_told_by_community() {
        let mut roster = Roster::default();
        roster.handle(&Notification::Several(vec![
            member("club", "bob", true),
            member("club", "carol", true),
            Notification::Presence(presence(7, "bob", true)),
            Notification::Presence(presence(8, "bob", true)),
        ]));
        roster.handle(&Notification::Listed);
        assert!(roster.is_listed() && roster.knows(&user("carol")) && !roster.knows(&user("eve")));
        let club = &roster.community_status()[0];
        let online: Vec<_> = club.members.iter().map(|member| member.online.len()).collect();
        assert_eq!(online, [2, 0]);
        roster.handle(&Notification::Presence(presence(7, "bob", false)));
        roster.handle(&member("club", "carol", false));
        let club = &roster.community_status()[0];
        assert_eq!((club.members.len(), club.members[0].online.len()), (1, 1));
    }

    #[test]
    fn nobody_is_online_as_far_as_is_known_without_a_link() {
        let mut roster = Roster::default();
        roster.handle(&member("club", "bob", true));
        roster.handle(&Notification::Presence(presence(7, "bob", true)));
        let club = &roster.without_presence().community_status()[0];
        assert_eq!((club.members.len(), club.members[0].online.len()), (1, 0));
    }

    #[test]
    fn a_team_is_found_by_its_name_where_that_is_clear() {
        let mut roster = Roster::default();
        for community in ["club", "firm"] {
            roster.handle(&member(community, "bob", true));
            let id = team_id(community, "crew");
            let team = Team { id, owner: user("bob"), members: vec![user("bob")] };
            roster.handle(&Notification::Team(team));
        }
        assert_eq!(roster.team(&"crew".parse().unwrap()).len(), 2);
        assert_eq!(roster.team(&"firm/crew".parse().unwrap()).len(), 1);
        assert_eq!(roster.only_community(&"new".parse().unwrap()), None);
        roster.handle(&member("firm", "bob", false));
        let new = roster.only_community(&"new".parse().unwrap());
        assert_eq!(new, Some(team_id("club", "new")));
    }

    #[test]
    fn shares_go_with_their_team() {
        let mut roster = Roster::default();
        let id = ShareId { team: team_id("club", "crew"), name: "photos".parse().unwrap() };
        let share = Share { id, peer: PeerId(7), user: user("bob"), device: None };
        roster.handle(&Notification::AddShare(share.clone()));
        assert_eq!(roster.share_status().len(), 1);
        roster.handle(&Notification::DropTeam(team_id("club", "crew")));
        assert_eq!(roster.share_status().len(), 0);
    }
}
