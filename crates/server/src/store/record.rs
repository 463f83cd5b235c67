//! A change as one line of JSON, so that an operator can read what a file holds.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use simopen_broker::directory::{
    Change, Device, DeviceKind, Invitation, Invited, KeptNote, SecretHash, Standing,
};
use simopen_protocol::control::{KeyFingerprint, PublicKey, TeamId};
use simopen_protocol::identity::NoteId;
use simopen_protocol::token::Token;

/// One change. Variants and fields may be added, never renamed: files outlive programs.
#[derive(Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
enum Record {
    User { user: String, secret: Option<String> },
    UserRevoked { user: String },
    UserGone { user: String },
    Member { community: String, user: String },
    MemberGone { community: String, user: String },
    Device(DeviceRecord),
    DeviceRevoked { key: String },
    Invitation { hash: String, user: Option<String>, until: u64 },
    InvitationGone { hash: String },
    Team { community: String, team: String, owner: String },
    TeamGone { community: String, team: String },
    TeamMember { community: String, team: String, user: String },
    TeamMemberGone { community: String, team: String, user: String },
    Note(NoteRecord),
    NoteGone { note: u64, recipient: String },
}

#[derive(Serialize, Deserialize)]
struct DeviceRecord {
    user: String,
    name: String,
    key: String,
    relay: bool,
    joined: u64,
    invited_by: Option<String>,
    revoked: bool,
}

#[derive(Serialize, Deserialize)]
struct NoteRecord {
    note: u64,
    from: String,
    team: Option<[String; 2]>,
    sent: u64,
    subject: String,
    text: String,
    recipients: Vec<String>,
}

/// The line.
pub(super) fn write(change: &Change) -> Result<String, String> {
    serde_json::to_string(&record(change)?).map_err(|error| error.to_string())
}

/// What a line says.
pub(super) fn read(line: &str) -> Result<Change, String> {
    change(serde_json::from_str(line).map_err(|error| error.to_string())?)
}

fn record(change: &Change) -> Result<Record, String> {
    Ok(match change {
        Change::User { user, secret } => {
            Record::User { user: user.to_string(), secret: secret.as_ref().map(Token::reveal) }
        }
        Change::UserRevoked(user) => Record::UserRevoked { user: user.to_string() },
        Change::UserGone(user) => Record::UserGone { user: user.to_string() },
        Change::Member { community, user } => {
            Record::Member { community: community.to_string(), user: user.to_string() }
        }
        Change::MemberGone { community, user } => {
            Record::MemberGone { community: community.to_string(), user: user.to_string() }
        }
        Change::Device(device) => Record::Device(DeviceRecord {
            user: device.user.to_string(),
            name: device.name.to_string(),
            key: STANDARD.encode(&device.key.0),
            relay: device.kind == DeviceKind::Relay,
            joined: device.joined,
            invited_by: device.invited_by.map(|hash| hexadecimal(&hash.0)),
            revoked: device.standing == Standing::Revoked,
        }),
        Change::DeviceRevoked(key) => Record::DeviceRevoked { key: hexadecimal(&key.0) },
        Change::Invitation(invitation) => Record::Invitation {
            hash: hexadecimal(&invitation.hash.0),
            user: match &invitation.invited {
                Invited::User(user) => Some(user.to_string()),
                Invited::Relay => None,
                other => return Err(format!("there are no records for {other:?}")),
            },
            until: invitation.until,
        },
        Change::InvitationGone(hash) => Record::InvitationGone { hash: hexadecimal(&hash.0) },
        Change::Team { team, owner } => {
            let TeamId { community, team } = team;
            let (community, team) = (community.to_string(), team.to_string());
            Record::Team { community, team, owner: owner.to_string() }
        }
        Change::TeamGone(TeamId { community, team }) => {
            Record::TeamGone { community: community.to_string(), team: team.to_string() }
        }
        Change::TeamMember { team, user } => {
            let TeamId { community, team } = team;
            let (community, team) = (community.to_string(), team.to_string());
            Record::TeamMember { community, team, user: user.to_string() }
        }
        Change::TeamMemberGone { team, user } => {
            let TeamId { community, team } = team;
            let (community, team) = (community.to_string(), team.to_string());
            Record::TeamMemberGone { community, team, user: user.to_string() }
        }
        Change::Note(note) => Record::Note(NoteRecord {
            note: note.id.0,
            from: note.from.to_string(),
            team: note.team.as_ref().map(|id| [id.community.to_string(), id.team.to_string()]),
            sent: note.sent,
            subject: note.subject.clone(),
            text: note.text.clone(),
            recipients: note.recipients.iter().map(ToString::to_string).collect(),
        }),
        Change::NoteGone { note, recipient } => {
            Record::NoteGone { note: note.0, recipient: recipient.to_string() }
        }
        other => return Err(format!("there are no records for {other:?}")),
    })
}

fn change(record: Record) -> Result<Change, String> {
    Ok(match record {
        Record::User { user, secret } => Change::User {
            user: name(&user)?,
            secret: secret.as_deref().map(Token::parse).transpose().map_err(|e| e.to_string())?,
        },
        Record::UserRevoked { user } => Change::UserRevoked(name(&user)?),
        Record::UserGone { user } => Change::UserGone(name(&user)?),
        Record::Member { community, user } => {
            Change::Member { community: name(&community)?, user: name(&user)? }
        }
        Record::MemberGone { community, user } => {
            Change::MemberGone { community: name(&community)?, user: name(&user)? }
        }
        Record::Device(device) => Change::Device(device_of(&device)?),
        Record::DeviceRevoked { key } => Change::DeviceRevoked(KeyFingerprint(digest(&key)?)),
        Record::Invitation { hash, user, until } => {
            let invited = match user {
                Some(user) => Invited::User(name(&user)?),
                None => Invited::Relay,
            };
            Change::Invitation(Invitation { hash: SecretHash(digest(&hash)?), invited, until })
        }
        Record::InvitationGone { hash } => Change::InvitationGone(SecretHash(digest(&hash)?)),
        Record::Team { community, team, owner } => {
            Change::Team { team: team_id(&community, &team)?, owner: name(&owner)? }
        }
        Record::TeamGone { community, team } => Change::TeamGone(team_id(&community, &team)?),
        Record::TeamMember { community, team, user } => {
            Change::TeamMember { team: team_id(&community, &team)?, user: name(&user)? }
        }
        Record::TeamMemberGone { community, team, user } => {
            Change::TeamMemberGone { team: team_id(&community, &team)?, user: name(&user)? }
        }
        Record::Note(note) => Change::Note(note_of(note)?),
        Record::NoteGone { note, recipient } => {
            Change::NoteGone { note: NoteId(note), recipient: name(&recipient)? }
        }
    })
}

fn device_of(record: &DeviceRecord) -> Result<Device, String> {
    Ok(Device {
        user: name(&record.user)?,
        name: name(&record.name)?,
        key: PublicKey(STANDARD.decode(&record.key).map_err(|error| error.to_string())?),
        kind: if record.relay { DeviceKind::Relay } else { DeviceKind::Peer },
        joined: record.joined,
        invited_by: record.invited_by.as_deref().map(digest).transpose()?.map(SecretHash),
        standing: if record.revoked { Standing::Revoked } else { Standing::Good },
    })
}

fn note_of(record: NoteRecord) -> Result<KeptNote, String> {
    let team = record.team.map(|[community, team]| team_id(&community, &team)).transpose()?;
    Ok(KeptNote {
        id: NoteId(record.note),
        from: name(&record.from)?,
        team,
        sent: record.sent,
        subject: record.subject,
        text: record.text,
        recipients: record.recipients.iter().map(|user| name(user)).collect::<Result<_, _>>()?,
    })
}

fn team_id(community: &str, team: &str) -> Result<TeamId, String> {
    Ok(TeamId { community: name(community)?, team: name(team)? })
}

fn name<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no name"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let is_digest = text.len() == 64 && text.bytes().all(|letter| letter.is_ascii_hexdigit());
    if !is_digest {
        return Err(format!("'{text}' is no digest"));
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16)
            .map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: FromStr>(text: &str) -> T {
        name(text).unwrap()
    }

    /// One of each kind.
    fn changes() -> Vec<Change> {
        let team = TeamId { community: parsed("home"), team: parsed("cooks") };
        let hash = SecretHash([0xa7; 32]);
        vec![
            Change::User { user: parsed("a"), secret: Some(Token::from_random([3; 32])) },
            Change::User { user: parsed("a"), secret: None },
            Change::UserRevoked(parsed("a")),
            Change::UserGone(parsed("a")),
            Change::Member { community: parsed("home"), user: parsed("a") },
            Change::MemberGone { community: parsed("home"), user: parsed("a") },
            Change::Device(Device {
                user: parsed("a"),
                name: parsed("pc"),
                key: PublicKey(vec![1, 2, 3, 0xff]),
                kind: DeviceKind::Peer,
                joined: u64::MAX,
                invited_by: Some(hash),
                standing: Standing::Revoked,
            }),
            Change::DeviceRevoked(KeyFingerprint([5; 32])),
            Change::Invitation(Invitation { hash, invited: Invited::Relay, until: 7 }),
            Change::Invitation(Invitation { hash, invited: Invited::User(parsed("a")), until: 7 }),
            Change::InvitationGone(hash),
            Change::Team { team: team.clone(), owner: parsed("a") },
            Change::TeamGone(team.clone()),
            Change::TeamMember { team: team.clone(), user: parsed("a") },
            Change::TeamMemberGone { team: team.clone(), user: parsed("a") },
            Change::Note(KeptNote {
                id: NoteId(9),
                from: parsed("a"),
                team: Some(team),
                sent: 1,
                subject: "é \"\n".into(),
                text: "\u{0}".into(),
                recipients: [parsed("a"), parsed("b")].into(),
            }),
            Change::NoteGone { note: NoteId(9), recipient: parsed("b") },
        ]
    }

    #[test]
    fn every_change_is_read_as_it_was_written() {
        for change in changes() {
            let line = write(&change).unwrap();
            assert_eq!(read(&line), Ok(change), "{line}");
        }
    }

    #[test]
    fn a_damaged_line_is_refused() {
        for line in
            ["", "{}", r#"{"change":"user-gone"}"#, r#"{"change":"user-gone","user":"a b"}"#]
        {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(read(r#"{"change":"device-revoked","key":"é"}"#).is_err());
    }
}
