//! What a deed means to a broker.

use simopen_protocol::control::{Action, NoteSend, Recipient, ShareId, TeamId, TeamMember};
use simopen_protocol::document::is_character;
use simopen_protocol::identity::{BrokerName, CommunityName, NoteId, ShareName};

use super::name::{NoteTo, PeerName, TeamPath};
use super::roster::Roster;
use super::words::{Deed, Refusal};

/// A deed whose names have been read.
#[derive(Debug, Clone)]
pub(super) enum Parsed {
    TeamCreate(TeamPath),
    TeamDelete(TeamPath),
    TeamAdd(TeamPath, PeerName),
    TeamRemove(TeamPath, PeerName),
    NoteToMember(PeerName, String, String),
    NoteToTeam(TeamPath, String, String),
    NoteDelete(NoteId, Option<BrokerName>),
    ShareAdd(TeamPath, ShareName),
    ShareDrop(TeamPath, ShareName),
}

impl Parsed {
    pub(super) fn parse(deed: &Deed) -> Result<Self, Refusal> {
        let team = |text: &String| text.parse::<TeamPath>().map_err(Refusal::not_tried);
        let user = |text: &String| text.parse::<PeerName>().map_err(Refusal::not_tried);
        Ok(match deed {
            Deed::TeamCreate { team: path } => Self::TeamCreate(team(path)?),
            Deed::TeamDelete { team: path } => Self::TeamDelete(team(path)?),
            Deed::TeamAdd { team: path, user: name } => Self::TeamAdd(team(path)?, user(name)?),
            Deed::TeamRemove { team: path, user: name } => {
                Self::TeamRemove(team(path)?, user(name)?)
            }
            Deed::NoteSend { to, subject, text } => {
                can_be_sent("the subject", subject)?;
                can_be_sent("the note", text)?;
                match to.parse().map_err(Refusal::not_tried)? {
                    NoteTo::Member(name) => Self::NoteToMember(name, subject.clone(), text.clone()),
                    NoteTo::Team(path) => Self::NoteToTeam(path, subject.clone(), text.clone()),
                }
            }
            Deed::NoteDelete { note, broker } => {
                let broker = broker.as_ref().map(|name| name.parse()).transpose();
                Self::NoteDelete(NoteId(*note), broker.map_err(Refusal::not_tried)?)
            }
            Deed::ShareAdd { share, team: path } => {
                Self::ShareAdd(team(path)?, share.parse().map_err(Refusal::not_tried)?)
            }
            Deed::ShareDrop { share, team: path } => {
                Self::ShareDrop(team(path)?, share.parse().map_err(Refusal::not_tried)?)
            }
        })
    }

    /// At which broker it is to be done, where that is said.
    pub(super) const fn broker(&self) -> Option<&BrokerName> {
        match self {
            Self::TeamCreate(path)
            | Self::TeamDelete(path)
            | Self::TeamAdd(path, _)
            | Self::TeamRemove(path, _)
            | Self::NoteToTeam(path, ..)
            | Self::ShareAdd(path, _)
            | Self::ShareDrop(path, _) => path.broker.as_ref(),
            Self::NoteToMember(name, ..) => name.broker.as_ref(),
            Self::NoteDelete(_, broker) => broker.as_ref(),
        }
    }

    /// Whether a broker that told this knows what it is about.
    pub(super) fn is_known_to(&self, roster: &Roster) -> bool {
        match self {
            Self::TeamCreate(path) => path
                .community
                .as_ref()
                .is_none_or(|community| roster.communities().any(|known| known == community)),
            Self::TeamDelete(path)
            | Self::TeamAdd(path, _)
            | Self::TeamRemove(path, _)
            | Self::NoteToTeam(path, ..)
            | Self::ShareAdd(path, _)
            | Self::ShareDrop(path, _) => !roster.team(path).is_empty(),
            Self::NoteToMember(name, ..) => roster.knows(&name.user),
            Self::NoteDelete(note, _) => roster.has_note(*note),
        }
    }

    /// What it is about, in words.
    pub(super) fn object(&self) -> String {
        match self {
            Self::TeamCreate(path)
            | Self::TeamDelete(path)
            | Self::TeamAdd(path, _)
            | Self::TeamRemove(path, _)
            | Self::NoteToTeam(path, ..)
            | Self::ShareAdd(path, _)
            | Self::ShareDrop(path, _) => format!("the team {path}"),
            Self::NoteToMember(name, ..) => name.to_string(),
            Self::NoteDelete(note, _) => format!("the note {note}"),
        }
    }

    /// What a refusal is about, in words: a member that is named, or the object.
    pub(super) fn about(&self) -> String {
        match self {
            Self::TeamAdd(_, name) | Self::TeamRemove(_, name) => name.to_string(),
            Self::TeamCreate(_)
            | Self::TeamDelete(_)
            | Self::NoteToTeam(..)
            | Self::NoteToMember(..)
            | Self::NoteDelete(..)
            | Self::ShareAdd(..)
            | Self::ShareDrop(..) => self.object(),
        }
    }

    /// How it is written for this broker, on a command line.
    pub(super) fn at(&self, broker: &BrokerName) -> String {
        match self {
            Self::TeamCreate(path)
            | Self::TeamDelete(path)
            | Self::TeamAdd(path, _)
            | Self::TeamRemove(path, _)
            | Self::ShareAdd(path, _)
            | Self::ShareDrop(path, _) => format!("{path}@{broker}"),
            Self::NoteToTeam(path, ..) => format!("team:{path}@{broker}"),
            Self::NoteToMember(name, ..) => format!("{name}@{broker}"),
            Self::NoteDelete(..) => format!("--broker {broker}"),
        }
    }

    /// What is asked of that broker.
    pub(super) fn action(self, roster: &Roster) -> Result<Action, Refusal> {
        let member = |path: &TeamPath, name: PeerName| {
            Ok::<_, Refusal>(TeamMember { team: existing(path, roster)?, user: name.user })
        };
        Ok(match self {
            Self::TeamCreate(path) => Action::TeamCreate(new_team(&path, roster)?),
            Self::TeamDelete(path) => Action::TeamDelete(existing(&path, roster)?),
            Self::TeamAdd(path, name) => Action::TeamAdd(member(&path, name)?),
            Self::TeamRemove(path, name) => Action::TeamRemove(member(&path, name)?),
            Self::NoteToMember(name, subject, text) => {
                Action::NoteSend(NoteSend { to: Recipient::Member(name.user), subject, text })
            }
            Self::NoteToTeam(path, subject, text) => {
                let to = Recipient::Team(existing(&path, roster)?);
                Action::NoteSend(NoteSend { to, subject, text })
            }
            Self::NoteDelete(note, _) => Action::NoteDelete(note),
            Self::ShareAdd(path, name) => {
                Action::ShareAdd(ShareId { team: existing(&path, roster)?, name })
            }
            Self::ShareDrop(path, name) => {
                Action::ShareDrop(ShareId { team: existing(&path, roster)?, name })
            }
        })
    }
}

/// Refuses what no document can hold.
fn can_be_sent(what: &str, text: &str) -> Result<(), Refusal> {
    let Some(letter) = text.chars().find(|letter| !is_character(*letter)) else {
        return Ok(());
    };
    let number = u32::from(letter);
    Err(Refusal::not_tried(format!(
        "{what} holds the control character U+{number:04X}, which cannot be sent; take it out"
    )))
}

/// The one team that is meant.
fn existing(path: &TeamPath, roster: &Roster) -> Result<TeamId, Refusal> {
    let found = roster.team(path);
    match found.as_slice() {
        [] => Err(Refusal::failed(format!("you are in no team '{path}'"))),
        [team] => Ok(team.id.clone()),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|team| format!("{}/{}", team.id.community, team.id.team))
                .collect();
            let why = format!("'{path}' may be {}; say which", names.join(" or "));
            Err(Refusal::not_tried(why))
        }
    }
}

/// The name of a team that is to be made.
fn new_team(path: &TeamPath, roster: &Roster) -> Result<TeamId, Refusal> {
    if let Some(community) = &path.community {
        return Ok(TeamId { community: community.clone(), team: path.team.clone() });
    }
    roster.only_community(&path.team).ok_or_else(|| {
        let names: Vec<&str> = roster.communities().map(CommunityName::as_str).collect();
        if names.is_empty() {
            return Refusal::failed(
                "you are in no community, and a team is made of members of one",
            );
        }
        let why = format!(
            "a team is of one community, and you are in {}; write {}/{}",
            names.join(", "),
            names[0],
            path.team
        );
        Refusal::not_tried(why)
    })
}
