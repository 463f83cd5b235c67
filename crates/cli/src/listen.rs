//! `simopen listen`.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use simopen_peer::manager::words::{Incoming, Refusal};
use simopen_peer::manager::{Desk, DeviceConfig, Doorway, Stream};
use simopen_protocol::control::Reachable;
use tokio::net::TcpStream;

use crate::connect::{carry_local, carry_standard};
use crate::device_log::printable;
use crate::device_session::{joined, refuse, run_until_interrupted};
use crate::peer_arguments::ListenArguments;
use crate::{FAILED, surroundings};

pub(crate) fn run(arguments: &ListenArguments) -> Result<ExitCode> {
    let home = surroundings::home(&arguments.surroundings.home)?;
    let joined = joined(&home, None)?;
    run_until_interrupted(async {
        let config = DeviceConfig {
            reachable: Reachable::Yes,
            ..surroundings::device(&arguments.surroundings.network, &home)?
        };
        let desk = Desk::open(&home, joined, &config).await?;
        let code = match desk.listen(&arguments.service).await {
            Ok(doorway) => {
                tell_missing(doorway.missing(), arguments.json);
                tell_ready(arguments);
                serve(doorway, arguments).await
            }
            Err(refusal) => refuse(arguments.json, &refusal),
        };
        desk.close().await;
        code
    })
}

/// Tells which brokers nobody can come by. That is told even where who comes is not.
fn tell_missing(missing: &[Refusal], is_json: bool) {
    for refusal in missing {
        if is_json {
            eprintln!("{}", json!({ "missing": refusal.why }));
        } else {
            eprintln!("simopen: {}; trying again and again", printable(&refusal.why));
        }
    }
}

fn tell_ready(arguments: &ListenArguments) {
    if arguments.quiet {
        return;
    }
    let service = &arguments.service;
    if arguments.json {
        eprintln!("{}", json!({ "listening": service }));
    } else {
        let to = arguments
            .to
            .map_or_else(|| "standard input and output".to_owned(), |to| to.to_string());
        eprintln!("simopen: service '{service}' leads to {to}");
    }
}

async fn serve(mut doorway: Doorway, arguments: &ListenArguments) -> Result<ExitCode> {
    loop {
        let (incoming, stream) = match doorway.next().await {
            Ok(next) => next,
            Err(refusal) => return refuse(arguments.json, &refusal),
        };
        if !arguments.quiet {
            tell_incoming(&incoming, arguments.json);
        }
        let Some(to) = arguments.to else {
            // Nobody else is let in.
            drop(doorway);
            return Ok(match carry_standard(stream).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    let peer = &incoming.peer;
                    if arguments.json {
                        eprintln!("{}", json!({ "peer": peer, "broke": why.why }));
                    } else {
                        eprintln!("simopen: the connection of {peer} broke: {why}");
                    }
                    ExitCode::from(FAILED)
                }
            });
        };
        tokio::spawn(forward(incoming, stream, to, arguments.json));
    }
}

fn tell_incoming(incoming: &Incoming, is_json: bool) {
    let Incoming { peer, broker, technique, .. } = incoming;
    if is_json {
        eprintln!("{}", json!({ "peer": peer, "broker": broker, "technique": technique }));
    } else {
        eprintln!("simopen: {peer} came by {technique}");
    }
}

/// Forwards a connection to a local port.
pub(crate) async fn forward(incoming: Incoming, stream: Stream, to: SocketAddr, is_json: bool) {
    let outcome = async {
        let local = TcpStream::connect(to).await.map_err(Refusal::failed)?;
        // Interactive sessions want each key at once; an error only costs latency.
        let _ = local.set_nodelay(true);
        carry_local(local, stream).await
    };
    if let Err(error) = outcome.await {
        let peer = &incoming.peer;
        if is_json {
            eprintln!(
                "{}",
                json!({ "peer": peer, "to": to.to_string(), "broke": error.to_string() })
            );
        } else {
            eprintln!("simopen: the connection of {peer} to {to} broke: {error}");
        }
    }
}
