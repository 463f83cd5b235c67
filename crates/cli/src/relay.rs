//! `simopen relay`.

mod joining;
mod renewal;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_device::capability::keep_only;
use simopen_device::descriptors;
use simopen_device::socket::service_listener;
use simopen_peer::home::Membership;
use simopen_server::admin::Administered;
use simopen_server::data_directory::DataDirectory;
use simopen_server::figures::{Exposition, Figure, Readiness, ReadinessWatch, of_relay, router};
use simopen_server::front;
use simopen_server::relay::{self, Handle, authentication::Door, control};
use simopen_server::wall_clock::WallClock;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::joining::{Given, Joined, Joining};
use self::renewal::{Pace, Renewal};
use crate::broker::{listeners, serve_probes};
use crate::descriptor_budget::{DescriptorBudget, Wanted};
use crate::ending::Ending;
use crate::relay_arguments::RelayArguments;
use crate::relay_settings::RelayFile;
use crate::{output, places, service_manager, settings};

/// Where a relay listens for its broker.
const CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7444);
/// Handshakes at a time on the control listener, which one broker dials.
const HANDSHAKES: usize = 16;
/// How long one may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &RelayArguments) -> Result<ExitCode> {
    let Some(file) = arguments.service.configuration(RelayFile::read)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let data = arguments.data.as_deref().or(file.data.as_deref());
    let data = DataDirectory::open(&places::data(data, places::RELAY)?)?;
    let relay = Prepared::new(arguments, &file, data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the relay")?;
    let outcome = runtime.block_on(relay.serve(arguments, &file));
    // Nobody waits for an invitation any more that standard input has not given.
    runtime.shutdown_background();
    outcome
}

/// What a relay needs of the system, before anything of it runs.
struct Prepared {
    data: DataDirectory,
    listeners: Vec<TcpListener>,
    control: TcpListener,
    metrics: Option<TcpListener>,
    budget: DescriptorBudget,
}

impl Prepared {
    fn new(arguments: &RelayArguments, file: &RelayFile, data: DataDirectory) -> Result<Self> {
        let descriptors = descriptors::raise_limit().context("the limit of descriptors")?;
        let (pairs, front) = (file.limits().pairs, file.front_limits());
        let (newcomers, carriers) = (front.newcomers, front.carriers);
        let wanted = Wanted { links: 0, of_link: 1, pairs, newcomers, carriers };
        let budget = DescriptorBudget::new(descriptors, wanted);
        anyhow::ensure!(
            budget.pairs > 0 && budget.newcomers > 0,
            "{descriptors} descriptors are too few (LimitNOFILE, ulimit -n)"
        );
        let listeners = listeners(&arguments.listen, &file.listen)?;
        let control = arguments.control.or(file.control.as_ref().map(|written| written.0));
        let control = service_listener(control.unwrap_or(CONTROL))?;
        let metrics = file.metrics.listener()?;
        keep_only(&[])?;
        Ok(Self { data, listeners, control, metrics, budget })
    }

    async fn serve(self, arguments: &RelayArguments, file: &RelayFile) -> Result<ExitCode> {
        let mut ending = Ending::listen().context("no signals")?;
        let name = arguments.name.clone();
        let name = name.or_else(|| file.name.as_ref().map(|written| written.0.clone()));
        let given = Given { line: arguments.invitation.as_deref(), name };
        let (joined, joining) = tokio::select! {
            joined = Joined::find_or_join(&self.data, given) => joined?,
            () = ending.told() => return Ok(ExitCode::SUCCESS),
        };
        if joining == Joining::Now {
            tell_of_joining(arguments, joined.membership())?;
        }
        let clock = WallClock::system();
        let door = Arc::new(Mutex::new(joined.door(&clock)?));
        let DescriptorBudget { pairs, newcomers, carriers, .. } = self.budget;
        let front = front::Limits { newcomers, carriers, ..file.front_limits() };
        let limits = relay::Limits { pairs, ..file.limits() };
        let mut builder = relay::Builder::new().limits(limits).front_limits(front);
        for listener in self.listeners {
            builder = builder.listen(listener);
        }
        let relay = builder.start().context("the relay cannot start")?;
        let control_at = self.control.local_addr()?;
        let metrics_at = self.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        let readiness = ReadinessWatch::new();
        let exposition = Arc::new(Exposition::new());
        if let Some(listener) = self.metrics {
            let routes = router(Counted(relay.clone()), exposition, &readiness);
            tokio::spawn(serve_probes(listener, routes));
        }
        let control = tokio::net::TcpListener::from_std(self.control)?;
        tokio::spawn(admit_broker(control, Arc::clone(&door), relay.clone()));
        tokio::spawn(Renewal { joined, door, clock, pace: Pace::USUAL }.run());
        let listen: Vec<String> = relay.local_addrs().iter().map(ToString::to_string).collect();
        say(
            arguments,
            &json!({
                "event": "ready",
                "listen": listen,
                "control": control_at.to_string(),
                "metrics": metrics_at.map(|at| at.to_string()),
            }),
            &format!(
                "relay listens for peers on {}, for its broker on {control_at}\n{}",
                listen.join(", "),
                self.budget.told()
            ),
        )?;
        service_manager::tell_ready();
        ending.told().await;
        readiness.set(Readiness::Draining);
        service_manager::tell_stopping();
        let within = settings::drain(&file.drain);
        say(
            arguments,
            &json!({ "event": "draining", "seconds": within.as_secs() }),
            &format!("ending; pairs have {} s (Ctrl-C again ends at once)\n", within.as_secs()),
        )?;
        ending.tidy(relay.drain(within)).await;
        Ok(ExitCode::SUCCESS)
    }
}

fn tell_of_joining(arguments: &RelayArguments, membership: &Membership) -> Result<()> {
    let Membership { broker, device, .. } = membership;
    say(
        arguments,
        &json!({ "event": "joined", "broker": broker.as_str(), "name": device.as_str() }),
        &format!("joined {broker} as relay/{device}\n"),
    )
}

fn say(arguments: &RelayArguments, object: &Value, text: &str) -> Result<()> {
    if arguments.json { output::print(&format!("{object}\n")) } else { output::print(text) }
}

/// Serves the broker, and whoever else shows that it is the broker.
async fn admit_broker(
    listener: tokio::net::TcpListener,
    door: Arc<Mutex<Door>>,
    relay: Handle,
) -> io::Result<()> {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // It is never closed.
        let Ok(seat) = Arc::clone(&handshakes).acquire_owned().await else { return Ok(()) };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting the broker failed, trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let door = door.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let relay = relay.clone();
        tokio::spawn(async move {
            match handshake(&door, stream).await {
                Ok(link) => {
                    drop(seat);
                    tracing::info!(%remote, "the broker is here");
                    let ended = control::serve(link, &relay).await;
                    tracing::info!(%remote, error = ?ended.err(), "the broker is gone");
                }
                Err(error) => tracing::warn!(%remote, %error, "somebody else than the broker"),
            }
        });
    }
}

async fn handshake(
    door: &Door,
    stream: TcpStream,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(HANDSHAKE_TIME, door.admit(stream)).await.map_err(late)?
}

/// A relay, as probes see it.
#[derive(Clone)]
struct Counted(Handle);

impl Administered for Counted {
    async fn admin(&self, _: AdminRequest) -> Option<Result<AdminReply, AdminError>> {
        None
    }

    async fn figures(&self) -> Vec<Figure> {
        of_relay(&self.0)
    }
}
