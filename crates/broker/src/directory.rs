//! Users, communities, devices, teams and notes as plain data.
//!
//! A directory changes only by [`Change`]s, so that a store keeps those and gets the same
//! directory by [`Directory::apply`]ing them again. An embedder without a store makes one by hand
//! with [`Directory::insert`].

mod change;
mod record;

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;

use simopen_protocol::control::{KeyFingerprint, TeamId};
use simopen_protocol::identity::{CommunityName, DeviceName, NoteId, UserId};
use simopen_protocol::token::Token;
use subtle::ConstantTimeEq;

pub use self::change::Change;
pub use self::record::{
    Device, DeviceKind, Invitation, Invited, KeptNote, RELAY, SecretHash, Standing, TeamRecord,
    User,
};

/// All that a broker knows for longer than a connection lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Directory {
    users: BTreeMap<UserId, Account>,
    /// Members by community; none is empty.
    communities: BTreeMap<CommunityName, BTreeSet<UserId>>,
    devices: BTreeMap<KeyFingerprint, Device>,
    /// The devices in good standing by user and name; none is empty.
    names: BTreeMap<UserId, BTreeMap<DeviceName, KeyFingerprint>>,
    invitations: BTreeMap<SecretHash, Invitation>,
    teams: BTreeMap<TeamId, TeamRecord>,
    /// Teams by member; none is empty.
    teams_of: BTreeMap<UserId, BTreeSet<TeamId>>,
    notes: BTreeMap<NoteId, KeptNote>,
    /// Notes by recipient; none is empty.
    mailboxes: BTreeMap<UserId, Mailbox>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Account {
    secret: Option<Token>,
    communities: BTreeSet<CommunityName>,
    standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Mailbox {
    notes: BTreeSet<NoteId>,
    bytes: usize,
}

impl Directory {
    /// Adds a user, or gives one another secret and other communities.
    pub fn insert(&mut self, id: UserId, user: User) {
        let before: BTreeSet<_> = self.communities_of(&id).cloned().collect();
        self.apply(&Change::User { user: id.clone(), secret: user.secret });
        for community in before.difference(&user.communities) {
            self.apply(&Change::MemberGone { community: community.clone(), user: id.clone() });
        }
        for community in user.communities {
            self.apply(&Change::Member { community, user: id.clone() });
        }
    }

    /// Whether there is no user at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether the secret is that user's. Unknown users take as long as known ones.
    #[must_use]
    pub fn authenticates(&self, id: &UserId, secret: &Token) -> bool {
        let known = self.users.get(id).and_then(|account| account.secret.as_ref());
        let nobody = Token::from_random([0; 32]);
        let expected = known.unwrap_or(&nobody);
        let equal: bool = expected.as_bytes().ct_eq(secret.as_bytes()).into();
        equal && known.is_some()
    }

    /// All users in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = &UserId> {
        self.users.keys()
    }

    /// Whether that user is known, and may still be one.
    #[must_use]
    pub fn standing(&self, user: &UserId) -> Option<Standing> {
        self.users.get(user).map(|account| account.standing)
    }

    /// The communities that a user is in.
    pub fn communities_of(&self, user: &UserId) -> impl Iterator<Item = &CommunityName> {
        self.users.get(user).into_iter().flat_map(|account| &account.communities)
    }

    /// The members of a community in the order of their names.
    pub fn members(&self, community: &CommunityName) -> impl Iterator<Item = &UserId> {
        self.communities.get(community).into_iter().flatten()
    }

    /// Whether a user is in a community.
    #[must_use]
    pub fn is_member(&self, community: &CommunityName, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|account| account.communities.contains(community))
    }

    /// Whether the two are members of one community.
    #[must_use]
    pub fn share_community(&self, one: &UserId, other: &UserId) -> bool {
        match (self.users.get(one), self.users.get(other)) {
            (Some(one), Some(other)) => !one.communities.is_disjoint(&other.communities),
            _ => false,
        }
    }

    /// All devices, revoked ones too.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// The device with that key.
    #[must_use]
    pub fn device(&self, key: &KeyFingerprint) -> Option<&Device> {
        self.devices.get(key)
    }

    /// The device in good standing that a user calls so.
    #[must_use]
    pub fn device_called(&self, user: &UserId, name: &DeviceName) -> Option<&Device> {
        self.devices.get(self.names.get(user)?.get(name)?)
    }

    /// The devices of a user that are in good standing, by their names.
    pub fn devices_of(&self, user: &UserId) -> impl Iterator<Item = &Device> {
        let keys = self.names.get(user).into_iter().flat_map(BTreeMap::values);
        keys.filter_map(|key| self.devices.get(key))
    }

    /// The invitation with that secret.
    #[must_use]
    pub fn invitation(&self, hash: &SecretHash) -> Option<&Invitation> {
        self.invitations.get(hash)
    }

    /// All invitations that were not used.
    pub fn invitations(&self) -> impl Iterator<Item = &Invitation> {
        self.invitations.values()
    }

    /// All teams.
    pub fn teams(&self) -> impl Iterator<Item = (&TeamId, &TeamRecord)> {
        self.teams.iter()
    }

    /// Who is in a team.
    #[must_use]
    pub fn team(&self, team: &TeamId) -> Option<&TeamRecord> {
        self.teams.get(team)
    }

    /// The teams that a user is in.
    pub fn teams_of(&self, user: &UserId) -> impl Iterator<Item = &TeamId> {
        self.teams_of.get(user).into_iter().flatten()
    }

    /// A note.
    #[must_use]
    pub fn note(&self, note: NoteId) -> Option<&KeptNote> {
        self.notes.get(&note)
    }

    /// All notes, each once.
    pub fn notes(&self) -> impl Iterator<Item = &KeptNote> {
        self.notes.values()
    }

    /// The notes that a user has not deleted, oldest first.
    pub fn notes_of(&self, user: &UserId) -> impl Iterator<Item = &KeptNote> {
        let notes = self.mailboxes.get(user).into_iter().flat_map(|mailbox| &mailbox.notes);
        notes.filter_map(|note| self.notes.get(note))
    }

    /// How many notes a user has, and how many bytes they are.
    #[must_use]
    pub fn mailbox(&self, user: &UserId) -> (usize, usize) {
        self.mailboxes.get(user).map_or((0, 0), |mailbox| (mailbox.notes.len(), mailbox.bytes))
    }

    /// The highest number of a note.
    pub(crate) fn last_note(&self) -> u64 {
        self.notes.last_key_value().map_or(0, |(id, _)| id.0)
    }

    /// The members of the communities of a user, by community and name, from that place on.
    pub(crate) fn companions_from<'a>(
        &'a self,
        user: &UserId,
        start: Option<(CommunityName, UserId)>,
    ) -> impl Iterator<Item = (&'a CommunityName, &'a UserId)> + use<'a> {
        let communities = self.users.get(user).map(|account| &account.communities);
        let (first, member) = start.unzip();
        let from = first.clone().map_or(Bound::Unbounded, Bound::Included);
        let communities = communities
            .into_iter()
            .flat_map(move |all| all.range((from.clone(), Bound::Unbounded)));
        communities.flat_map(move |community| {
            let from = member.clone().filter(|_| first.as_ref() == Some(community));
            let from = from.map_or(Bound::Unbounded, Bound::Included);
            let members = self.communities.get(community).into_iter();
            let members = members.flat_map(move |all| all.range((from.clone(), Bound::Unbounded)));
            members.map(move |member| (community, member))
        })
    }

    /// The teams that a user is in, after that one.
    pub(crate) fn teams_of_after<'a>(
        &'a self,
        user: &UserId,
        after: Option<&TeamId>,
    ) -> impl Iterator<Item = &'a TeamId> + use<'a> {
        let from = after.cloned().map_or(Bound::Unbounded, Bound::Excluded);
        let teams = self.teams_of.get(user).into_iter();
        teams.flat_map(move |teams| teams.range((from.clone(), Bound::Unbounded)))
    }

    /// The notes of a user after that one, oldest first.
    pub(crate) fn notes_of_after<'a>(
        &'a self,
        user: &UserId,
        after: Option<NoteId>,
    ) -> impl Iterator<Item = &'a KeptNote> + use<'a> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let notes = self.mailboxes.get(user).into_iter();
        let notes = notes.flat_map(move |mailbox| mailbox.notes.range((from, Bound::Unbounded)));
        notes.filter_map(|note| self.notes.get(note))
    }
}

impl Invitation {
    fn is_for(&self, user: &UserId) -> bool {
        match &self.invited {
            Invited::User(invited) => invited == user,
            Invited::Relay => false,
        }
    }
}
