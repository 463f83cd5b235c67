//! What all commands of a device begin and end with.

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use simopen_peer::home::{Home, Membership};
use simopen_peer::manager::Desk;
use simopen_peer::manager::words::{Deed, Refusal, RefusalKind, Status};
use simopen_protocol::identity::BrokerName;
use tokio::signal::unix::{SignalKind, signal};

use crate::device_log::printable;
use crate::interrupt::INTERRUPTED;
use crate::peer_arguments::DeskArguments;
use crate::{COULD_NOT_TRY, FAILED, output, surroundings};

/// Runs this until it is done, or until Ctrl-C or SIGTERM.
pub(crate) fn run_until_interrupted(
    work: impl Future<Output = Result<ExitCode>>,
) -> Result<ExitCode> {
    run(async {
        let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Runs this until it is done.
pub(crate) fn run(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the network")?;
    let outcome = runtime.block_on(work);
    // A read of standard input cannot be broken off, and is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Where a command gets things done that waits for nobody.
pub(crate) async fn desk(arguments: &DeskArguments, broker: Option<&BrokerName>) -> Result<Desk> {
    let home = surroundings::home(&arguments.surroundings.home)?;
    let joined = joined(&home, broker)?;
    let config = surroundings::device(&arguments.surroundings.network, &home)?;
    Ok(Desk::open(&home, joined, &config).await?)
}

/// The brokers at which a command logs in: the one that was named, or all.
pub(crate) fn joined(home: &Home, broker: Option<&BrokerName>) -> Result<Vec<Membership>> {
    match broker {
        Some(name) => Ok(vec![home.membership(name)?]),
        None => Ok(home.memberships()?),
    }
}

/// Gets deeds done one after the other, at one broker or wherever they belong; prints what `says`
/// makes of each, and what did not work.
pub(crate) fn act(
    arguments: &DeskArguments,
    broker: Option<&BrokerName>,
    deeds: Vec<(Deed, String)>,
) -> Result<ExitCode> {
    run_until_interrupted(async {
        let desk = desk(arguments, broker).await?;
        let mut code = ExitCode::SUCCESS;
        for (deed, says) in deeds {
            match desk.act(&deed).await {
                Ok(note) => output::print(&done(arguments.json, &says, note)?)?,
                Err(refusal) => {
                    code = refuse(arguments.json, &refusal)?;
                    break;
                }
            }
        }
        desk.close().await;
        Ok(code)
    })
}

fn done(is_json: bool, says: &str, note: Option<u64>) -> Result<String> {
    #[derive(Serialize)]
    struct Done<'a> {
        done: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<u64>,
    }
    if is_json {
        return Ok(serde_json::to_string(&Done { done: says, note })? + "\n");
    }
    Ok(match note {
        Some(note) => format!("{says}: note {note}\n"),
        None => format!("{says}\n"),
    })
}

/// Asks what is known, and prints what `text` makes of it.
pub(crate) fn show<T: Serialize>(
    arguments: &DeskArguments,
    broker: Option<&BrokerName>,
    choose: impl FnOnce(&Status) -> T,
    text: impl FnOnce(&Status) -> String,
) -> Result<ExitCode> {
    run_until_interrupted(async {
        let desk = desk(arguments, broker).await?;
        let status = desk.status().await;
        desk.close().await;
        let mut status = match status {
            Ok(status) => status,
            Err(refusal) => return refuse(arguments.json, &refusal),
        };
        if let Some(name) = broker {
            status.brokers.retain(|broker| broker.name == name.as_str());
        }
        output::print(&if arguments.json {
            serde_json::to_string(&choose(&status))? + "\n"
        } else {
            text(&status)
        })?;
        let down: Vec<String> = status.brokers.iter().filter_map(down).collect();
        for why in &down {
            eprintln!("simopen: {}", printable(why));
        }
        Ok(if down.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    })
}

/// What keeps a broker's link from standing, where it does not.
fn down(broker: &simopen_peer::manager::words::BrokerStatus) -> Option<String> {
    use simopen_peer::manager::words::LinkStatus;
    match &broker.link {
        LinkStatus::Up { .. } => None,
        LinkStatus::Down { why } => Some(format!("not logged in at {}: {why}", broker.name)),
        _ => Some(format!("not logged in at {}", broker.name)),
    }
}

/// Tells why something was not done.
pub(crate) fn refuse(is_json: bool, refusal: &Refusal) -> Result<ExitCode> {
    if is_json {
        eprintln!("{}", serde_json::to_string(refusal).map_err(|error| anyhow!(error))?);
    } else {
        // Words of a broker, of a proxy or of another peer may be among them.
        eprintln!("simopen: {}", printable(&refusal.why));
        for tried in &refusal.tried {
            eprintln!("  {:<24}  {}", tried.technique, printable(&tried.why));
        }
    }
    Ok(ExitCode::from(match refusal.kind {
        RefusalKind::Failed => FAILED,
        RefusalKind::NotTried => COULD_NOT_TRY,
    }))
}
