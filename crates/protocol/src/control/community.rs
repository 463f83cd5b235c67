//! Communities, teams, shares and notes (seed 001 ¶60-70, ¶115, ¶126-137).

use crate::identity::{CommunityName, DeviceName, NoteId, PeerId, ShareName, TeamName, UserId};

/// The longest subject of a note, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 256;
/// The longest text of a note, in bytes.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;
/// The most elements of one notification document.
pub const PAGE: usize = 200;

/// A team, named within its community: a team never crosses communities (¶126).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamId {
    /// Whose members it is made of.
    pub community: CommunityName,
    /// Its name there.
    pub team: TeamName,
}

/// A change of a team's members, by its owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TeamMember {
    /// Which team.
    pub team: TeamId,
    /// Who is added or removed.
    pub user: UserId,
}

/// A team and who is in it, as its members see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Team {
    /// Which.
    pub id: TeamId,
    /// Who made it, and may change it.
    pub owner: UserId,
    /// All its members, the owner too.
    pub members: Vec<UserId>,
}

/// A member of a common community, online or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Which community.
    pub community: CommunityName,
    /// Who.
    pub user: UserId,
    /// Whether the user is a member: `false` where the user has left.
    pub is_member: bool,
}

/// Something that a peer makes available to a team. It lasts as long as the peer is online.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId {
    /// To whom.
    pub team: TeamId,
    /// What it is called; one of a kind among what this peer shares with this team.
    pub name: ShareName,
}

/// A share as the members of its team see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Share {
    /// Which.
    pub id: ShareId,
    /// The peer that has it.
    pub peer: PeerId,
    /// Whose device that is.
    pub user: UserId,
    /// What the device is called.
    pub device: Option<DeviceName>,
}

/// To whom a note goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// A member of a common community.
    Member(UserId),
    /// Everybody who is in this team when it is sent, but the sender.
    Team(TeamId),
}

/// Sends a note.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteSend {
    /// To whom.
    pub to: Recipient,
    /// At most [`MAX_SUBJECT_BYTES`].
    pub subject: String,
    /// At most [`MAX_NOTE_BYTES`].
    pub text: String,
}

/// A note as its recipient gets it. It is kept until that recipient deletes it (¶115).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Which.
    pub id: NoteId,
    /// Who sent it.
    pub from: UserId,
    /// The team that it was sent to.
    pub team: Option<TeamId>,
    /// When the broker took it: seconds since 1970 (UTC).
    pub sent: u64,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
}
