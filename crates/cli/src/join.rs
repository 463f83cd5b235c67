//! `simopen join`.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use simopen_broker::directory::RELAY;
use simopen_peer::home::{Event, Home, Membership};
use simopen_peer::manager::Client;
use simopen_peer::manager::words::Refusal;
use simopen_peer::{DeviceKey, join};
use simopen_protocol::identity::BrokerName;
use simopen_protocol::invitation::Invitation;

use crate::device_session::{refuse, run_until_interrupted};
use crate::moment::in_utc;
use crate::peer_arguments::JoinArguments;
use crate::{output, surroundings};

/// How long a manager may take to look at what was joined.
const MANAGER_TIME: Duration = Duration::from_secs(5);
/// An invitation is some hundred bytes long; whatever is longer is none.
const MAX_LINE_BYTES: u64 = 8192;

pub(crate) fn run(arguments: &JoinArguments) -> Result<ExitCode> {
    let invitation = read_invitation(&arguments.invitation)?;
    let device = arguments.device.clone().or_else(surroundings::machine_name);
    let device =
        device.ok_or_else(|| anyhow!("this machine has no name to go by; give one by --device"))?;
    let home = surroundings::new_home(&arguments.desk.surroundings.home)?;
    let name = arguments.broker.clone().unwrap_or_else(|| invitation.broker.clone());
    check_is_free(&home, &name, arguments)?;
    let carriage = surroundings::carriage(&arguments.desk.surroundings.network, &home)?;
    let key = DeviceKey::generate()?;
    run_until_interrupted(async {
        let credentials = match join(&invitation, &device, &key, &carriage).await {
            Ok(credentials) => credentials,
            Err(error) => {
                let refusal = Refusal::failed(format!("not joined: {error}"));
                return refuse(arguments.desk.json, &refusal);
            }
        };
        if credentials.user.as_str() == RELAY {
            // Its line does not tell; the broker's answer does.
            let device = &credentials.device;
            bail!(
                "not joined: the invitation was for a relay, not for a device, and is used up; ask \
                 the broker's operator for an invitation of your own, and to revoke {RELAY}/{device}"
            );
        }
        let membership = Membership {
            name,
            broker: credentials.broker,
            addresses: invitation.addresses,
            user: credentials.user,
            device: credentials.device,
            authority: credentials.authority,
            certificate: credentials.certificate,
            key: credentials.key,
        };
        let kept = keep(&home, &membership, arguments)?;
        let manager = tell_manager(&home, kept).await;
        output::print(&report(&home, &membership, manager, arguments.desk.json))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// In place of what a membership was kept.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Anew,
    Instead,
}

/// The manager of this device.
#[derive(Debug, Clone, Copy)]
enum Manager {
    Absent,
    /// It knows what was joined.
    Told,
    /// It is logged in with a key that was forgotten.
    Outdated,
}

/// Reads the line and finds what is wrong with it before anybody is dialled.
fn read_invitation(argument: &str) -> Result<Invitation> {
    let line = if argument == "-" {
        let mut line = String::new();
        let read = std::io::stdin().take(MAX_LINE_BYTES).read_to_string(&mut line);
        read.context("reading the invitation from standard input")?;
        line
    } else {
        argument.to_owned()
    };
    let invitation: Invitation = line.parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if invitation.until <= now {
        bail!(
            "the invitation was good until {}, and it is {} on this machine's clock; ask for \
             another one",
            in_utc(invitation.until),
            in_utc(now)
        );
    }
    Ok(invitation)
}

fn check_is_free(home: &Home, name: &BrokerName, arguments: &JoinArguments) -> Result<()> {
    if !home.brokers()?.contains(name) || arguments.replace {
        return Ok(());
    }
    let as_whom = match home.membership(name) {
        Ok(joined) => format!(" as {}/{}", joined.user, joined.device),
        // What is there cannot be read; it may be replaced all the same.
        Err(_) => String::new(),
    };
    bail!(
        "this device has joined '{name}' already{as_whom}; --as NAME keeps this one beside it, \
         --replace forgets that one"
    );
}

fn keep(home: &Home, membership: &Membership, arguments: &JoinArguments) -> Result<Kept> {
    let is_replaced = arguments.replace && home.brokers()?.contains(&membership.name);
    if is_replaced {
        home.forget(&membership.name)?;
    }
    home.add(membership)?;
    let event =
        Event::Joined { user: membership.user.to_string(), device: membership.device.to_string() };
    home.log().add(&membership.name, event);
    Ok(if is_replaced { Kept::Instead } else { Kept::Anew })
}

/// Lets a manager that runs look at what was joined.
async fn tell_manager(home: &Home, kept: Kept) -> Manager {
    let Ok(Some(client)) = Client::reach(&home.socket()).await else {
        return Manager::Absent;
    };
    match kept {
        Kept::Instead => Manager::Outdated,
        Kept::Anew => {
            // It looks whenever it is asked for something. What it answers may take longer.
            let _ = tokio::time::timeout(MANAGER_TIME, client.status()).await;
            Manager::Told
        }
    }
}

fn report(home: &Home, membership: &Membership, manager: Manager, is_json: bool) -> String {
    let Membership { name, broker, user, device, .. } = membership;
    if is_json {
        let addresses: Vec<String> = membership.addresses.iter().map(ToString::to_string).collect();
        let joined = json!({
            "name": name.as_str(),
            "broker": broker.as_str(),
            "user": user.as_str(),
            "device": device.as_str(),
            "addresses": addresses,
            "home": home.path().display().to_string(),
        });
        return format!("{joined}\n");
    }
    let keeps = match manager {
        Manager::Absent => "keep this device logged in and reachable",
        Manager::Told => "runs already, and keeps this device logged in there too",
        Manager::Outdated => "runs, with what was replaced: START IT ANEW",
    };
    format!(
        "joined {name} as {user}/{device}; its key stays in {}\n\n  \
         simopen status      who is there\n  \
         simopen peer        {keeps}\n  \
         simopen connect WHO a connection to somebody who runs: simopen listen\n",
        home.path().display()
    )
}
