//! `simopen admin`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use simopen_server::admin::{Answer, Refused, Rendezvous, Told, UserView, Word, ask};

use crate::admin_table::Table;
use crate::broker::ADMIN_SOCKET;
use crate::broker_arguments::{AdminArguments, AdminCommand, CommunityCommand, UserCommand};
use crate::{FAILED, moment, output, places};

/// The word of an error that no broker said.
const NO_ANSWER: &str = "no-answer";

pub(crate) fn run(arguments: &AdminArguments) -> Result<ExitCode> {
    let data = places::data(arguments.data.as_deref(), places::BROKER)?;
    let answer = ask(&data.join(ADMIN_SOCKET), &word(&arguments.command));
    if let (Err(error), true) = (&answer, arguments.json) {
        let refused = Refused { word: NO_ANSWER.to_owned(), message: error.to_string() };
        output::print(&format!("{}\n", json!({ "error": refused })))?;
    }
    match answer? {
        Answer::Ok(told) => {
            let text = if arguments.json {
                in_json(&arguments.command, &told)?
            } else {
                shown(&arguments.command, &told)
            };
            output::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Answer::Error(refused) => {
            if arguments.json {
                output::print(&format!("{}\n", json!({ "error": refused })))?;
            }
            eprintln!("simopen: {}", refused.message);
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// One object, on one line.
fn in_json(command: &AdminCommand, told: &Told) -> Result<String> {
    let object = match (command, told) {
        (AdminCommand::Community { command: CommunityCommand::List }, Told::Users(users)) => {
            let communities: Vec<Value> = members(users)
                .into_iter()
                .map(|(community, members)| json!({ "community": community, "members": members }))
                .collect();
            json!({ "communities": communities })
        }
        (_, told) => serde_json::to_value(told).context("writing JSON")?,
    };
    Ok(format!("{object}\n"))
}

fn word(command: &AdminCommand) -> Word {
    let names = |names: &[simopen_protocol::identity::CommunityName]| {
        names.iter().map(ToString::to_string).collect()
    };
    match command {
        AdminCommand::User { command: UserCommand::Add { user, community } } => {
            Word::AddUser { user: user.to_string(), communities: names(community) }
        }
        AdminCommand::User { command: UserCommand::Remove { user } } => {
            Word::RemoveUser { user: user.to_string() }
        }
        AdminCommand::User { command: UserCommand::List }
        | AdminCommand::Community { command: CommunityCommand::List } => Word::Users {},
        AdminCommand::Community { command: CommunityCommand::Add { community, user } } => {
            Word::AddMember { community: community.to_string(), user: user.to_string() }
        }
        AdminCommand::Community { command: CommunityCommand::Remove { community, user } } => {
            Word::RemoveMember { community: community.to_string(), user: user.to_string() }
        }
        AdminCommand::Invite { user, community, lifetime } => Word::Invite {
            user: user.to_string(),
            communities: names(community),
            seconds: lifetime.0.as_secs(),
        },
        AdminCommand::Revoke { whom } => Word::Revoke {
            user: whom.user.to_string(),
            device: whom.device.as_ref().map(ToString::to_string),
        },
        AdminCommand::Devices { user } => {
            Word::Devices { user: user.as_ref().map(ToString::to_string) }
        }
        AdminCommand::Peers => Word::Peers {},
        AdminCommand::Sessions => Word::Sessions {},
        AdminCommand::Teams => Word::Teams {},
        AdminCommand::Stats => Word::Stats {},
        AdminCommand::Rendezvous => Word::Rendezvous {},
        AdminCommand::RelayInvite { lifetime } => {
            Word::InviteRelay { seconds: lifetime.0.as_secs() }
        }
    }
}

/// For people.
fn shown(command: &AdminCommand, told: &Told) -> String {
    match told {
        Told::Invited(invited) => {
            let until = moment::in_utc(invited.until);
            let line = &invited.line;
            if matches!(command, AdminCommand::RelayInvite { .. }) {
                // An argument would show in lists of processes.
                return format!(
                    "good once, until {until}; keep it secret. The relay reads it from standard \
                     input, by `simopen relay --invitation -`:\n\n  {line}\n\n"
                );
            }
            format!("good once, until {until}; keep it secret:\n\n  simopen join '{line}'\n\n")
        }
        Told::Users(users) if matches!(command, AdminCommand::Community { .. }) => {
            communities(users)
        }
        Told::Users(users) => self::users(users),
        Told::Devices(devices) => {
            let mut table = Table::new(&["user", "device", "kind", "joined", "standing", "key"]);
            for device in devices {
                table.line([
                    device.user.clone(),
                    device.device.clone(),
                    device.kind.clone(),
                    moment::in_utc(device.joined),
                    standing(device.revoked),
                    device.fingerprint.chars().take(16).collect(),
                ]);
            }
            table.to_string()
        }
        Told::Peers(peers) => {
            let mut table = Table::new(&["peer", "user", "device", "from", "round trip", "since"]);
            for peer in peers {
                table.line([
                    peer.peer.to_string(),
                    peer.user.clone(),
                    peer.device.clone().unwrap_or_default(),
                    peer.remote.clone(),
                    format!("{} us", peer.round_trip_us),
                    format!("{} s", peer.seconds),
                ]);
            }
            table.to_string()
        }
        Told::Sessions(sessions) => {
            let mut table = Table::new(&["session", "technique", "from", "to", "open for"]);
            for session in sessions {
                table.line([
                    session.session.to_string(),
                    session.technique.clone(),
                    session.originator.clone(),
                    session.responder.clone(),
                    format!("{} s", session.seconds),
                ]);
            }
            table.to_string()
        }
        Told::Teams(teams) => {
            let mut table = Table::new(&["community", "team", "owner", "members"]);
            for team in teams {
                table.line([
                    team.community.clone(),
                    team.team.clone(),
                    team.owner.clone(),
                    team.members.join(" "),
                ]);
            }
            table.to_string()
        }
        Told::Stats(counts) => {
            let mut table = Table::new(&["figure", "of", "value"]);
            for count in counts {
                let of = count.label.as_ref().map_or_else(String::new, |[_, of]| of.clone());
                table.line([count.name.clone(), of, count.value.to_string()]);
            }
            table.to_string()
        }
        Told::Rendezvous(pair) => rendezvous(pair),
        Told::Done {} | _ => String::new(),
    }
}

fn users(users: &[UserView]) -> String {
    let mut table = Table::new(&["user", "communities", "devices", "online", "notes", "standing"]);
    for user in users {
        table.line([
            user.user.clone(),
            user.communities.join(" "),
            user.devices.to_string(),
            user.online.to_string(),
            user.notes.to_string(),
            standing(user.revoked),
        ]);
    }
    table.to_string()
}

/// The communities with their members.
fn members(users: &[UserView]) -> BTreeMap<&str, Vec<&str>> {
    let mut members = BTreeMap::<&str, Vec<&str>>::new();
    for user in users {
        for community in &user.communities {
            members.entry(community).or_default().push(&user.user);
        }
    }
    members
}

fn communities(users: &[UserView]) -> String {
    let mut table = Table::new(&["community", "members"]);
    for (community, users) in members(users) {
        table.line([community.to_owned(), users.join(" ")]);
    }
    table.to_string()
}

fn standing(revoked: bool) -> String {
    if revoked { "revoked" } else { "good" }.to_owned()
}

/// Both commands, for programs that speak HTTP CONNECT.
fn rendezvous(pair: &Rendezvous) -> String {
    let relay = pair.relay.first().map_or("RELAY:PORT", String::as_str);
    let [first, second] = &pair.hosts;
    format!(
        "There is no end-to-end encryption: encrypt what you send. Within 30 seconds, on one side \
         and on the other:\n\n  \
         ncat --proxy-type http --proxy {relay} {}\n  \
         ncat --proxy-type http --proxy {relay} {}\n\n\
         or, for a web server's client, curl -x http://{relay} https://{first}/\n",
        first.replace(':', " "),
        second.replace(':', " "),
    )
}
