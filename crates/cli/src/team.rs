//! `simopen team`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use simopen_peer::manager::words::{Deed, Status};

use crate::device_session::{act, show};
use crate::peer_arguments::{TeamArguments, TeamCommand, TeamMemberArguments};

pub(crate) fn run(command: &TeamCommand) -> Result<ExitCode> {
    match command {
        TeamCommand::Create(arguments) => {
            change(arguments, "made", |team| Deed::TeamCreate { team })
        }
        TeamCommand::Delete(arguments) => {
            change(arguments, "deleted", |team| Deed::TeamDelete { team })
        }
        TeamCommand::Add(arguments) => {
            members(arguments, "is in", |team, user| Deed::TeamAdd { team, user })
        }
        TeamCommand::Remove(arguments) => {
            members(arguments, "is no longer in", |team, user| Deed::TeamRemove { team, user })
        }
        TeamCommand::List(arguments) => show(arguments, None, in_json, in_words),
    }
}

fn change(
    arguments: &TeamArguments,
    what: &str,
    deed: impl FnOnce(String) -> Deed,
) -> Result<ExitCode> {
    let team = arguments.team.to_string();
    let says = format!("{what} the team {team}");
    act(&arguments.desk, arguments.team.broker.as_ref(), vec![(deed(team), says)])
}

fn members(
    arguments: &TeamMemberArguments,
    what: &str,
    deed: impl Fn(String, String) -> Deed,
) -> Result<ExitCode> {
    let TeamMemberArguments { of: TeamArguments { team: path, desk }, users } = arguments;
    let team = path.to_string();
    let deeds = users.iter().map(|user| {
        (deed(team.clone(), user.to_string()), format!("{user} {what} the team {team}"))
    });
    act(desk, path.broker.as_ref(), deeds.collect())
}

fn in_json(status: &Status) -> serde_json::Value {
    let brokers = status.brokers.iter();
    json!({ "brokers": brokers.map(|broker| json!({ "name": broker.name, "teams": broker.teams }))
        .collect::<serde_json::Value>() })
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    for broker in &status.brokers {
        for team in &broker.teams {
            let name = format!("{}/{}@{}", team.community, team.team, broker.name);
            let members = team.members.join(", ");
            let _ = writeln!(text, "{name:<32}  {members}  (owner {})", team.owner);
        }
    }
    if text.is_empty() {
        text.push_str("you are in no team; `simopen team create NAME` makes one\n");
    }
    text
}
