//! `simopen share`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use simopen_peer::manager::words::{Deed, Status};

use crate::device_session::{act, show};
use crate::peer_arguments::{ShareArguments, ShareCommand};

pub(crate) fn run(command: &ShareCommand) -> Result<ExitCode> {
    match command {
        ShareCommand::Add(arguments) => {
            change(arguments, "shared with", |share, team| Deed::ShareAdd { share, team })
        }
        ShareCommand::Drop(arguments) => {
            change(arguments, "no longer shared with", |share, team| Deed::ShareDrop {
                share,
                team,
            })
        }
        ShareCommand::List(arguments) => show(arguments, None, in_json, in_words),
    }
}

fn change(
    arguments: &ShareArguments,
    what: &str,
    deed: impl FnOnce(String, String) -> Deed,
) -> Result<ExitCode> {
    let (share, team) = (arguments.share.to_string(), arguments.team.to_string());
    let says = format!("{share} is {what} the team {team}");
    act(&arguments.desk, arguments.team.broker.as_ref(), vec![(deed(share, team), says)])
}

fn in_json(status: &Status) -> serde_json::Value {
    let brokers = status.brokers.iter();
    json!({ "brokers": brokers.map(|broker| json!({ "name": broker.name, "shares": broker.shares }))
        .collect::<serde_json::Value>() })
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    for broker in &status.brokers {
        for share in &broker.shares {
            let device = share.device.as_deref().unwrap_or("?");
            let team = format!("{}/{}@{}", share.community, share.team, broker.name);
            let _ = writeln!(text, "{:<24}  {team:<32}  on {}/{device}", share.share, share.user);
        }
    }
    if text.is_empty() {
        text.push_str("nothing is shared with you now\n");
    }
    text
}
