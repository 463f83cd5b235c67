//! From lines to what the broker understands, and back.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use simopen_broker::admin::{PeerEntry, SessionEntry, UserEntry};
use simopen_broker::directory::{Device, DeviceKind, Standing};
use simopen_broker::{AdminError, AdminRequest};
use simopen_protocol::control::Team;
use simopen_protocol::identity::IdentityError;

use super::words::{DeviceView, PeerView, Refused, SessionView, TeamView, UserView, Word};

/// The longest time for which an invitation is made: 90 days.
pub const LONGEST_INVITATION: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the broker is asked for a word, one after the other. The last answer counts; what was there
/// already is no failure of those before.
pub(super) fn requests(word: Word) -> Result<Vec<AdminRequest>, Refused> {
    let one = match word {
        Word::AddUser { user, communities } => {
            AdminRequest::AddUser { user: name(&user)?, communities: names(&communities)? }
        }
        Word::RemoveUser { user } => AdminRequest::RemoveUser(name(&user)?),
        Word::Users {} => AdminRequest::Users,
        Word::AddMember { community, user } => {
            AdminRequest::AddMember { community: name(&community)?, user: name(&user)? }
        }
        Word::RemoveMember { community, user } => {
            AdminRequest::RemoveMember { community: name(&community)?, user: name(&user)? }
        }
        Word::Invite { user, communities, seconds } => {
            return invite(&user, &communities, seconds);
        }
        Word::InviteRelay { seconds } => AdminRequest::InviteRelay { lifetime: lifetime(seconds)? },
        Word::Revoke { user, device: None } => AdminRequest::RevokeUser(name(&user)?),
        Word::Revoke { user, device: Some(device) } => {
            AdminRequest::RevokeDevice { user: name(&user)?, device: name(&device)? }
        }
        Word::Devices { user } => AdminRequest::Devices(user.map(|user| name(&user)).transpose()?),
        Word::Peers {} => AdminRequest::Peers,
        Word::Sessions {} => AdminRequest::Sessions,
        Word::Teams {} => AdminRequest::Teams,
        Word::Rendezvous {} => AdminRequest::Rendezvous,
        Word::Stats {} => AdminRequest::Stats,
    };
    Ok(vec![one])
}

fn invite(user: &str, communities: &[String], seconds: u64) -> Result<Vec<AdminRequest>, Refused> {
    let user: simopen_protocol::identity::UserId = name(user)?;
    let communities = names(communities)?;
    let mut requests = Vec::new();
    if !communities.is_empty() {
        requests
            .push(AdminRequest::AddUser { user: user.clone(), communities: communities.clone() });
        requests.extend(
            communities
                .into_iter()
                .map(|community| AdminRequest::AddMember { community, user: user.clone() }),
        );
    }
    requests.push(AdminRequest::Invite { user, lifetime: lifetime(seconds)? });
    Ok(requests)
}

fn lifetime(seconds: u64) -> Result<Duration, Refused> {
    if (1..=LONGEST_INVITATION.as_secs()).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(refused("bad-lifetime", "an invitation is good for 1 second to 90 days"))
}

fn name<T: FromStr<Err = IdentityError>>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|error| refused("bad-name", format_args!("{text:?}: {error}")))
}

fn names<T: FromStr<Err = IdentityError>>(texts: &[String]) -> Result<Vec<T>, Refused> {
    texts.iter().map(|text| name(text)).collect()
}

/// A refusal by its word.
pub(super) fn refused(word: &str, message: impl Display) -> Refused {
    Refused { word: word.to_owned(), message: message.to_string() }
}

impl From<AdminError> for Refused {
    fn from(error: AdminError) -> Self {
        refused(error.word(), error)
    }
}

impl From<UserEntry> for UserView {
    fn from(entry: UserEntry) -> Self {
        Self {
            user: entry.user.to_string(),
            communities: entry.communities.iter().map(ToString::to_string).collect(),
            revoked: entry.standing == Standing::Revoked,
            devices: entry.devices,
            online: entry.online,
            notes: entry.notes,
        }
    }
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        Self {
            user: device.user.to_string(),
            device: device.name.to_string(),
            kind: match device.kind {
                DeviceKind::Relay => "relay",
                DeviceKind::Peer | _ => "peer",
            }
            .to_owned(),
            revoked: device.standing == Standing::Revoked,
            joined: device.joined,
            fingerprint: device.fingerprint().to_string(),
        }
    }
}

impl From<PeerEntry> for PeerView {
    fn from(entry: PeerEntry) -> Self {
        Self {
            peer: entry.peer.0,
            user: entry.user.to_string(),
            device: entry.device.map(|device| device.to_string()),
            remote: entry.remote.to_string(),
            round_trip_us: entry.round_trip.as_micros().try_into().unwrap_or(u64::MAX),
            seconds: entry.since.as_secs(),
        }
    }
}

impl From<SessionEntry> for SessionView {
    fn from(entry: SessionEntry) -> Self {
        Self {
            session: entry.session.0,
            technique: entry.technique.to_string(),
            originator: entry.originator.to_string(),
            responder: entry.responder.to_string(),
            seconds: entry.age.as_secs(),
        }
    }
}

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            community: team.id.community.to_string(),
            team: team.id.team.to_string(),
            owner: team.owner.to_string(),
            members: team.members.iter().map(ToString::to_string).collect(),
        }
    }
}
