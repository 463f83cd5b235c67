//! What an operator asks.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use simopen_broker::AdminRequest;

use super::{Answer, Letterhead};
use crate::broker::Desk;

/// What an operator asks. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Question {
    /// Adds a user.
    AddUser {
        /// Who.
        user: String,
        /// The first communities.
        #[serde(default)]
        communities: Vec<String>,
    },
    /// Revokes a user, and forgets everything about the name.
    RemoveUser {
        /// Who.
        user: String,
    },
    /// Revokes a user with all devices.
    RevokeUser {
        /// Who.
        user: String,
    },
    /// Revokes one device.
    RevokeDevice {
        /// Whose.
        user: String,
        /// Which.
        device: String,
    },
    /// Makes a user a member of a community, which comes to be by that.
    AddMember {
        /// Which community.
        community: String,
        /// Who.
        user: String,
    },
    /// Takes a user out of a community and its teams.
    RemoveMember {
        /// Which community.
        community: String,
        /// Who.
        user: String,
    },
    /// Invites a device of a user.
    Invite {
        /// Whose device.
        user: String,
        /// How long the invitation is good, in seconds.
        lifetime: u64,
    },
    /// Invites a relay.
    InviteRelay {
        /// How long the invitation is good, in seconds.
        lifetime: u64,
    },
    /// Lists the users.
    Users,
    /// Lists the devices of one user, or of all.
    Devices {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
    },
    /// Lists who is logged in.
    Peers,
    /// Lists the open sessions.
    Sessions,
    /// Lists the teams.
    Teams,
    /// Makes two values by which two unmodified clients meet at the relay.
    Rendezvous,
    /// Asks for the figures.
    Stats,
}

impl Question {
    /// Asks the broker.
    pub async fn ask(&self, desk: &Desk, letterhead: &Letterhead) -> Answer {
        let request = match self.request() {
            Ok(request) => request,
            Err(name) => {
                let sentence =
                    format!("'{name}' is no name: 1 to 64 letters, digits, '-', '_' or '.'");
                return Answer::refused("no-name", &sentence);
            }
        };
        let refused = match (desk.admin(request).await, self) {
            (Some(Ok(reply)), Self::Stats) => {
                return Answer::stats(reply, desk.figures().await.unwrap_or_default());
            }
            (Some(Ok(reply)), _) => return Answer::of(reply, letterhead),
            (Some(Err(error)), _) => error,
            (None, _) => return Answer::refused("stopping", "the broker is about to end"),
        };
        Answer::refused(refused.word(), refused.sentence())
    }

    fn request(&self) -> Result<AdminRequest, &str> {
        Ok(match self {
            Self::AddUser { user, communities } => AdminRequest::AddUser {
                user: name(user)?,
                communities: communities.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
            },
            Self::RemoveUser { user } => AdminRequest::RemoveUser(name(user)?),
            Self::RevokeUser { user } => AdminRequest::RevokeUser(name(user)?),
            Self::RevokeDevice { user, device } => {
                AdminRequest::RevokeDevice { user: name(user)?, device: name(device)? }
            }
            Self::AddMember { community, user } => {
                AdminRequest::AddMember { community: name(community)?, user: name(user)? }
            }
            Self::RemoveMember { community, user } => {
                AdminRequest::RemoveMember { community: name(community)?, user: name(user)? }
            }
            Self::Invite { user, lifetime } => {
                AdminRequest::Invite { user: name(user)?, lifetime: Duration::from_secs(*lifetime) }
            }
            Self::InviteRelay { lifetime } => {
                AdminRequest::InviteRelay { lifetime: Duration::from_secs(*lifetime) }
            }
            Self::Users => AdminRequest::Users,
            Self::Devices { user } => AdminRequest::Devices(user.as_deref().map(name).transpose()?),
            Self::Peers => AdminRequest::Peers,
            Self::Sessions => AdminRequest::Sessions,
            Self::Teams => AdminRequest::Teams,
            Self::Rendezvous => AdminRequest::Rendezvous,
            Self::Stats => AdminRequest::Stats,
        })
    }
}

fn name<T: FromStr>(text: &str) -> Result<T, &str> {
    text.parse().map_err(|_| text)
}
