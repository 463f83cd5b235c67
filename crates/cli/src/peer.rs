//! `simopen peer`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use simopen_peer::home::Entry;
use simopen_peer::manager::words::Incoming;
use simopen_peer::manager::{Device, DeviceConfig, Manager};
use simopen_protocol::control::Reachable;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::device_session::refuse;
use crate::listen::forward;
use crate::peer_arguments::PeerArguments;
use crate::{device_log, device_session, output, surroundings};

/// How long brokers may take to hear that this device goes.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &PeerArguments) -> Result<ExitCode> {
    let home = surroundings::home(&arguments.surroundings.home)?;
    let joined = home.memberships()?;
    let lock = Manager::lock(&home)?;
    device_session::run(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let (watcher, mut happened) = mpsc::unbounded_channel();
        let config = DeviceConfig {
            reachable: Reachable::Yes,
            watcher: Some(watcher),
            ..surroundings::device(&arguments.surroundings.network, &home)?
        };
        let device = Device::start(&home, joined, &config);
        let manager = Manager::bind(&home, device.clone(), lock)?;
        for (service, to) in &arguments.offer {
            if let Err(refusal) = offer(&device, service, *to, arguments.json) {
                return refuse(arguments.json, &refusal);
            }
        }
        let tell = async {
            while let Some(entry) = happened.recv().await {
                output::print(&line(&entry, arguments.json)?)?;
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::select! {
            () = manager.serve() => {}
            told = tell => told?,
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        drop(manager);
        // A broker that is gone is not waited for.
        let _ = tokio::time::timeout(FAREWELL, device.stop()).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn line(entry: &Entry, is_json: bool) -> Result<String> {
    let line = if is_json { serde_json::to_string(entry)? } else { device_log::line(entry) };
    Ok(line + "\n")
}

/// Forwards each connection to a service to a local port, as long as the device is there.
fn offer(
    device: &Device,
    service: &str,
    to: SocketAddr,
    is_json: bool,
) -> Result<(), simopen_peer::manager::words::Refusal> {
    let mut listener = device.listen(service)?;
    tokio::spawn(async move {
        while let Some(arrival) = listener.next().await {
            let incoming = Incoming {
                connection: 0,
                peer: arrival.peer,
                broker: arrival.broker,
                technique: arrival.technique,
            };
            tokio::spawn(forward(incoming, arrival.offered.accept().into(), to, is_json));
        }
    });
    Ok(())
}
