//! What an operator is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use simopen_broker::Gauges;
use simopen_broker::admin::{AdminReply, PeerEntry, SessionEntry, UserEntry};
use simopen_broker::directory::{Device, DeviceKind, Standing};
use simopen_protocol::address::HostPort;
use simopen_protocol::control::Team;
use simopen_protocol::invitation::Invitation;
use simopen_protocol::token::Token;

use super::Letterhead;
use crate::broker::Figures;

/// What an operator is answered. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// It is done and kept.
    Done,
    /// It is not done.
    Refused {
        /// Why, in one word.
        error: String,
        /// The same for a person.
        sentence: String,
    },
    /// The line by which a device or a relay joins.
    Invited {
        /// The line: whoever has it can join once.
        invitation: String,
        /// Until when: seconds since 1970 (UTC).
        until: u64,
    },
    /// The users.
    Users {
        /// In the order of their names.
        users: Vec<UserLine>,
    },
    /// The devices.
    Devices {
        /// Revoked ones too.
        devices: Vec<DeviceLine>,
    },
    /// Who is logged in.
    Peers {
        /// One for each device.
        peers: Vec<PeerLine>,
    },
    /// The open sessions.
    Sessions {
        /// One for each.
        sessions: Vec<SessionLine>,
    },
    /// The teams.
    Teams {
        /// One for each.
        teams: Vec<TeamLine>,
    },
    /// Two values for unmodified clients.
    Rendezvous {
        /// Where the relay listens.
        relay: Vec<String>,
        /// The host names by which the two ask the relay for a connection.
        hosts: Vec<String>,
    },
    /// The figures.
    Stats {
        /// All of them.
        stats: StatsLine,
    },
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// Who.
    pub user: String,
    /// Where a member.
    pub communities: Vec<String>,
    /// Whether revoked.
    pub revoked: bool,
    /// How many devices have joined and were not revoked.
    pub devices: usize,
    /// How many are logged in.
    pub online: usize,
    /// How many notes wait.
    pub notes: usize,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Whose.
    pub user: String,
    /// What it is called.
    pub device: String,
    /// `peer` or `relay`.
    pub kind: String,
    /// The SHA-256 of its key.
    pub key: String,
    /// When it joined: seconds since 1970 (UTC).
    pub joined: u64,
    /// Whether revoked.
    pub revoked: bool,
}

/// A logged-in device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLine {
    /// Its number.
    pub peer: u64,
    /// Whose.
    pub user: String,
    /// Which, where it joined.
    pub device: Option<String>,
    /// Where its control link comes from.
    pub remote: String,
    /// The shortest round trip seen, in microseconds.
    pub round_trip_us: u128,
    /// How long it has been logged in, in seconds.
    pub since_s: u64,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Its number.
    pub session: u64,
    /// How.
    pub technique: String,
    /// Who asked.
    pub originator: String,
    /// Who was asked.
    pub responder: String,
    /// How long it has been open, in milliseconds.
    pub age_ms: u128,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamLine {
    /// Whose members it is made of.
    pub community: String,
    /// What it is called there.
    pub team: String,
    /// Who made it.
    pub owner: String,
    /// All members.
    pub members: Vec<String>,
}

/// The figures, each by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatsLine {
    /// What happened since the start.
    pub since_start: BTreeMap<String, u64>,
    /// What is held now.
    pub now: BTreeMap<String, u64>,
    /// What was refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl Answer {
    pub(super) fn refused(error: &str, sentence: &str) -> Self {
        Self::Refused { error: error.to_owned(), sentence: sentence.to_owned() }
    }

    pub(super) fn of(reply: AdminReply, letterhead: &Letterhead) -> Self {
        match reply {
            AdminReply::Done => Self::Done,
            AdminReply::Invited { secret, until } => invited(secret, until, letterhead),
            AdminReply::Users(users) => {
                Self::Users { users: users.into_iter().map(user_line).collect() }
            }
            AdminReply::Devices(devices) => {
                Self::Devices { devices: devices.into_iter().map(device_line).collect() }
            }
            AdminReply::Peers(peers) => {
                Self::Peers { peers: peers.into_iter().map(peer_line).collect() }
            }
            AdminReply::Sessions(sessions) => {
                Self::Sessions { sessions: sessions.into_iter().map(session_line).collect() }
            }
            AdminReply::Teams(teams) => {
                Self::Teams { teams: teams.into_iter().map(team_line).collect() }
            }
            AdminReply::Rendezvous { relay, values } => rendezvous(&relay, &values),
            AdminReply::Stats(stats, gauges) => Self::Stats {
                stats: StatsLine::of(&Figures { stats, gauges, ..Figures::default() }),
            },
            other => Self::refused("unknown-reply", &format!("this version cannot show {other:?}")),
        }
    }

    /// With what the service counts itself.
    pub(super) fn stats(reply: AdminReply, figures: Figures) -> Self {
        let AdminReply::Stats(stats, gauges) = reply else {
            return Self::refused("unknown-reply", "the broker answered something else");
        };
        Self::Stats { stats: StatsLine::of(&Figures { stats, gauges, ..figures }) }
    }

    pub(super) fn to_line(&self) -> String {
        // Maps with keys of text and numbers: there is nothing that JSON could not hold.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl StatsLine {
    /// Every figure by its name.
    #[must_use]
    pub fn of(figures: &Figures) -> Self {
        let Figures { stats, gauges, refused, not_forged } = figures;
        let mut since_start: BTreeMap<String, u64> = [
            ("joined", stats.joined),
            ("logins", stats.logins),
            ("verified", stats.verified),
            ("vanished", stats.vanished),
            ("confirmed", stats.confirmed),
            ("pairings", stats.pairings),
            ("notes", stats.notes),
            ("persisted", stats.persisted),
            ("persist-failed", stats.persist_failed),
            ("revoked", stats.revoked),
            ("forged", stats.forged),
            ("withheld", stats.withheld),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        for (cause, count) in &stats.failed {
            since_start.insert(format!("failed-{cause}"), *count);
        }
        let mut all = stats.refused.clone();
        for (reason, count) in refused {
            *all.entry(reason.word().to_owned()).or_default() += count;
        }
        for (reason, count) in not_forged {
            all.insert(format!("forger-{}", reason.name()), *count);
        }
        for (violation, count) in &stats.violations {
            all.insert(format!("forging-{}", kebab(&format!("{violation:?}"))), *count);
        }
        for (refusal, count) in not_forged {
            all.insert(format!("forger-{refusal}"), *count);
        }
        Self { since_start, now: now(gauges), refused: all }
    }
}

fn now(gauges: &Gauges) -> BTreeMap<String, u64> {
    [
        ("links", gauges.links),
        ("peers", gauges.peers),
        ("sessions", gauges.sessions),
        ("pairings", gauges.pairings),
        ("held-logins", gauges.held),
        ("waiting-changes", gauges.waiting),
        ("users", gauges.users),
        ("devices", gauges.devices),
        ("teams", gauges.teams),
        ("notes", gauges.notes),
    ]
    .map(|(name, count)| (name.to_owned(), count as u64))
    .into()
}

/// `NotASyn` as `not-a-syn`.
fn kebab(name: &str) -> String {
    let name = name.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or(name);
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn invited(secret: Token, until: u64, letterhead: &Letterhead) -> Answer {
    let invitation = Invitation {
        broker: letterhead.broker.clone(),
        addresses: letterhead.addresses.clone(),
        authority: letterhead.authority,
        secret,
        until,
    };
    Answer::Invited { invitation: invitation.reveal(), until }
}

fn rendezvous(relay: &[HostPort], values: &[Token; 2]) -> Answer {
    Answer::Rendezvous {
        relay: relay.iter().map(ToString::to_string).collect(),
        hosts: values.iter().map(|value| format!("{}.rendezvous", value.reveal())).collect(),
    }
}

fn user_line(entry: UserEntry) -> UserLine {
    UserLine {
        user: entry.user.to_string(),
        communities: entry.communities.iter().map(ToString::to_string).collect(),
        revoked: entry.standing == Standing::Revoked,
        devices: entry.devices,
        online: entry.online,
        notes: entry.notes,
    }
}

fn device_line(device: Device) -> DeviceLine {
    DeviceLine {
        user: device.user.to_string(),
        device: device.name.to_string(),
        kind: if device.kind == DeviceKind::Relay { "relay" } else { "peer" }.to_owned(),
        key: device.fingerprint().to_string(),
        joined: device.joined,
        revoked: device.standing == Standing::Revoked,
    }
}

fn peer_line(entry: PeerEntry) -> PeerLine {
    PeerLine {
        peer: entry.peer.0,
        user: entry.user.to_string(),
        device: entry.device.map(|device| device.to_string()),
        remote: entry.remote.to_string(),
        round_trip_us: entry.round_trip.as_micros(),
        since_s: entry.since.as_secs(),
    }
}

fn session_line(entry: SessionEntry) -> SessionLine {
    SessionLine {
        session: entry.session.0,
        technique: entry.technique.to_string(),
        originator: entry.originator.to_string(),
        responder: entry.responder.to_string(),
        age_ms: entry.age.as_millis(),
    }
}

fn team_line(team: Team) -> TeamLine {
    TeamLine {
        community: team.id.community.to_string(),
        team: team.id.team.to_string(),
        owner: team.owner.to_string(),
        members: team.members.iter().map(ToString::to_string).collect(),
    }
}
