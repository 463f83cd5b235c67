//! Whom and what the command line names.

use core::fmt;
use core::str::FromStr;

use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, TeamName, UserId};
use thiserror::Error;

/// `USER`, `USER/DEVICE`, each with `@BROKER` behind it where that is not clear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName {
    /// Whose device.
    pub user: UserId,
    /// Which of them; without it the broker chooses the one that logged in last.
    pub device: Option<DeviceName>,
    /// At which broker, as it is called on this device.
    pub broker: Option<BrokerName>,
}

/// `TEAM`, `COMMUNITY/TEAM`, each with `@BROKER` behind it where that is not clear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamPath {
    /// Of which community; without it the only one that there is.
    pub community: Option<CommunityName>,
    /// Its name.
    pub team: TeamName,
    /// At which broker, as it is called on this device.
    pub broker: Option<BrokerName>,
}

/// To whom a note goes: a [`PeerName`] without a device, or `team:` and a [`TeamPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteTo {
    /// A member.
    Member(PeerName),
    /// Everybody in a team.
    Team(TeamPath),
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, broker) = split_broker(text)?;
        let (user, device) = match place.split_once('/') {
            Some((user, device)) => (user, Some(device)),
            None => (place, None),
        };
        Ok(Self {
            user: read(text, user)?,
            device: device.map(|device| read(text, device)).transpose()?,
            broker,
        })
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, device, broker } = self;
        write!(formatter, "{user}")?;
        device.iter().try_for_each(|device| write!(formatter, "/{device}"))?;
        broker.iter().try_for_each(|broker| write!(formatter, "@{broker}"))
    }
}

impl FromStr for TeamPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, broker) = split_broker(text)?;
        let (community, team) = match place.split_once('/') {
            Some((community, team)) => (Some(community), team),
            None => (None, place),
        };
        Ok(Self {
            community: community.map(|community| read(text, community)).transpose()?,
            team: read(text, team)?,
            broker,
        })
    }
}

impl fmt::Display for TeamPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { community, team, broker } = self;
        community.iter().try_for_each(|community| write!(formatter, "{community}/"))?;
        write!(formatter, "{team}")?;
        broker.iter().try_for_each(|broker| write!(formatter, "@{broker}"))
    }
}

impl FromStr for NoteTo {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(team) = text.strip_prefix("team:") {
            return team.parse().map(Self::Team);
        }
        let name: PeerName = text.parse()?;
        if name.device.is_some() {
            return Err(NameError::NoteToDevice(text.to_owned()));
        }
        Ok(Self::Member(name))
    }
}

impl fmt::Display for NoteTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => name.fmt(formatter),
            Self::Team(team) => write!(formatter, "team:{team}"),
        }
    }
}

fn split_broker(text: &str) -> Result<(&str, Option<BrokerName>), NameError> {
    match text.rsplit_once('@') {
        Some((place, broker)) => Ok((place, Some(read(text, broker)?))),
        None => Ok((text, None)),
    }
}

fn read<T: FromStr>(whole: &str, part: &str) -> Result<T, NameError> {
    part.parse()
        .map_err(|_| NameError::Malformed { whole: whole.to_owned(), part: part.to_owned() })
}

/// A text that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// A part of it is no name.
    #[error(
        "'{part}' in '{whole}' is no name: 1 to 64 letters, digits, '-', '_' or '.'; write bob, \
         bob/laptop or bob@home"
    )]
    Malformed {
        /// The text.
        whole: String,
        /// The part.
        part: String,
    },
    /// A note goes to a user.
    #[error("'{0}' names a device: a note goes to a user, who reads it on any of them")]
    NoteToDevice(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["bob", "bob/laptop", "bob@home", "b.o-b/lap_top@work"] {
            assert_eq!(text.parse::<PeerName>().unwrap().to_string(), text);
        }
        for text in ["crew", "club/crew", "crew@home", "club/crew@home"] {
            assert_eq!(text.parse::<TeamPath>().unwrap().to_string(), text);
        }
        for text in ["bob", "bob@home", "team:crew", "team:club/crew@home"] {
            assert_eq!(text.parse::<NoteTo>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "/", "bob/", "/laptop", "bob@", "@home", "b ob", "bob/a/b", "team:crew"] {
            assert!(text.parse::<PeerName>().is_err(), "{text}");
        }
        assert!("bob/laptop".parse::<NoteTo>().is_err());
    }
}
