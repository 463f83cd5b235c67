//! `simopen broker`.

mod introduction;
mod relay_apart;
mod telling;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::Directory;
use simopen_broker::{BrokerConfig, Forging};
use simopen_device::capability::keep_only;
use simopen_device::descriptors;
use simopen_device::interface::reachable_addresses;
use simopen_device::socket::service_listener;
use simopen_server::admin::{AdminSocket, Attendant};
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, ServiceLimits};
use simopen_server::data_directory::DataDirectory;
use simopen_server::figures::{Exposition, Readiness, ReadinessWatch, router};
use simopen_server::forger::{Forger, Policy, Spawn};
use simopen_server::relay::{self, authentication::Dialler};
use simopen_server::store::{Sqlite, Timed};
use simopen_server::wall_clock::WallClock;
use toml::Spanned;

use self::introduction::{first_invitation, introduce};
use self::relay_apart::{Later, Whole, relay_apart};
use self::telling::Telling;
use crate::broker_arguments::BrokerArguments;
use crate::broker_settings::{BrokerFile, RelayPlace};
use crate::descriptor_budget::{DescriptorBudget, Wanted};
use crate::ending::Ending;
use crate::settings::{self, Written};
use crate::{FAILED, places, service_manager};

/// The port that everything goes to.
pub(crate) const PORT: u16 = 7443;
/// Of the operator's socket, in the data directory.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
/// Of the store, in the data directory.
const STORE: &str = "broker.sqlite";

pub(crate) fn run(arguments: &BrokerArguments) -> Result<ExitCode> {
    let Some(file) = arguments.service.configuration(BrokerFile::read)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let data = arguments.data.as_deref().or(file.data.as_deref());
    let data = DataDirectory::open(&places::data(data, places::BROKER)?)?;
    let broker = Prepared::new(arguments, &file, data)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the broker")?;
    runtime.block_on(broker.serve(arguments, &file))
}

/// What a broker needs of the system, before anything of it runs.
struct Prepared {
    data: DataDirectory,
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
    consent: ConsentPolicy,
    forger: Option<Forger>,
    budget: DescriptorBudget,
}

impl Prepared {
    fn new(arguments: &BrokerArguments, file: &BrokerFile, data: DataDirectory) -> Result<Self> {
        let descriptors = descriptors::raise_limit().context("the limit of descriptors")?;
        let listeners = listeners(&arguments.listen, &file.listen)?;
        let metrics = file.metrics.listener()?;
        let mut policy = file.forging();
        let here = listeners.iter().map(TcpListener::local_addr);
        let here = here.collect::<io::Result<Vec<SocketAddr>>>()?;
        policy.consent.own.extend(here.iter().map(SocketAddr::ip));
        policy.consent.own.extend(reachable_addresses()?);
        let consent = policy.consent.clone();
        let forger = match consent.forging {
            Forging::Dangerous => Some(start_forger(policy)?),
            Forging::Off | Forging::Withheld => None,
        };
        // Nothing that comes later needs a capability.
        keep_only(&[])?;
        let budget = DescriptorBudget::new(descriptors, wanted(file, forger.is_some()));
        anyhow::ensure!(
            budget.links > 0 && budget.newcomers > 0,
            "{descriptors} descriptors are too few (LimitNOFILE, ulimit -n)"
        );
        Ok(Self { data, listeners, metrics, consent, forger, budget })
    }

    async fn serve(self, arguments: &BrokerArguments, file: &BrokerFile) -> Result<ExitCode> {
        let mut ending = Ending::listen().context("no signals")?;
        let clock = WallClock::system();
        let mut store = Sqlite::open(self.data.file(STORE))?;
        let authority = Authority::open_beside(&mut store, self.data.path(), clock.seconds())?;
        let introduction = introduce(arguments, file, &self.listeners, &authority)?;
        let socket = AdminSocket::bind(&self.data.file(ADMIN_SOCKET))?;
        let exposition = Arc::new(Exposition::new());
        let latency = exposition.latency(
            "simopen_persist_seconds",
            "Time that the store takes to keep changes, in seconds",
        );
        let store = Timed::new(store, latency);
        let metrics = self.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        let mut builder = Builder::new(Directory::default())
            .config(BrokerConfig {
                consent: self.consent,
                name: introduction.name.clone(),
                alive: Some(file.alive.interval()),
                rendezvous: file.rendezvous(),
                limits: file.limits(),
                ..BrokerConfig::default()
            })
            .service_limits(bounded(file.service_limits(), self.budget))
            .authority(authority.clone())
            .store(store);
        for listener in self.listeners {
            builder = builder.listen(listener);
        }
        if let Some(forger) = self.forger {
            builder = builder.forger(forger);
        }
        let addresses = file.relay.addresses().unwrap_or(introduction.addresses.clone());
        let desk = Later::default();
        let mut inside = None;
        match (file.relay.place(), &file.relay.control) {
            (RelayPlace::Inside, _) => {
                let relay = relay::Builder::new()
                    .limits(relay::Limits { pairs: self.budget.pairs, ..file.relay_limits() })
                    .start()?;
                inside = Some(relay.clone());
                builder = builder.relay(addresses, relay);
            }
            (RelayPlace::Apart, Some(control)) => {
                let dialler = Dialler::new(authority, clock, control.as_ref().0.clone());
                builder = relay_apart(builder, addresses, dialler, Arc::clone(&desk));
            }
            // The file was refused without `control`.
            (RelayPlace::Apart, None) | (RelayPlace::Nowhere, _) => {}
        }
        let handle = builder.start()?;
        // It is set here only.
        let _ = desk.set(handle.desk());
        let whole = Whole { desk: handle.desk(), relay: inside };
        let readiness = ReadinessWatch::new();
        let attendant = Attendant::new(whole.clone(), introduction.clone());
        let probes = self.metrics.map(|listener| {
            let routes = router(whole, Arc::clone(&exposition), &readiness);
            tokio::spawn(serve_probes(listener, routes))
        });
        let telling = Telling { is_json: arguments.json };
        telling.ready(&introduction, handle.local_addrs(), metrics, socket.path(), &self.budget)?;
        if !arguments.no_invitation && file.first_user.invite.unwrap_or(true) {
            first_invitation(&attendant, file, telling).await?;
        }
        service_manager::tell_ready();
        let mut served = pin!(socket.serve(attendant));
        let broke = tokio::select! {
            served = &mut served => served.err(),
            () = ending.told() => None,
        };
        readiness.set(Readiness::Draining);
        service_manager::tell_stopping();
        let within = settings::drain(&file.drain);
        telling.draining(within)?;
        let drained = async {
            let mut drained = pin!(handle.drain(within));
            tokio::select! {
                () = &mut drained => {}
                // An operator is answered to the last.
                _ = &mut served, if broke.is_none() => drained.await,
            }
        };
        ending.tidy(drained).await;
        if let Some(probes) = probes {
            probes.abort();
        }
        Ok(match broke {
            Some(error) => {
                tracing::error!(%error, "the operator's socket broke");
                ExitCode::from(FAILED)
            }
            None => ExitCode::SUCCESS,
        })
    }
}

/// By flags, by file, or on all addresses.
pub(crate) fn listeners(
    flags: &[SocketAddr],
    file: &[Spanned<Written<SocketAddr>>],
) -> Result<Vec<TcpListener>> {
    let named: Vec<SocketAddr> = if flags.is_empty() {
        file.iter().map(|written| written.as_ref().0).collect()
    } else {
        flags.to_vec()
    };
    if !named.is_empty() {
        let listeners = named.into_iter().map(service_listener);
        return Ok(listeners.collect::<Result<_, _>>()?);
    }
    let mut listeners = vec![service_listener((Ipv4Addr::UNSPECIFIED, PORT).into())?];
    match service_listener((Ipv6Addr::UNSPECIFIED, PORT).into()) {
        Ok(listener) => listeners.push(listener),
        Err(error) => tracing::info!(%error, "not on IPv6"),
    }
    Ok(listeners)
}

/// This very program is its forger.
fn start_forger(policy: Policy) -> Result<Forger> {
    tracing::warn!("FORGING IS ON: packets in the names of peers leave this machine");
    let spawn = Spawn::program("/proc/self/exe").argument("forger").policy(policy);
    spawn.start().context("forging is on, and cannot be")
}

/// What the file wants descriptors for.
fn wanted(file: &BrokerFile, has_forger: bool) -> Wanted {
    let limits = file.service_limits();
    Wanted {
        links: limits.links,
        of_link: if has_forger { 2 } else { 1 },
        pairs: match file.relay.place() {
            RelayPlace::Inside => file.relay_limits().pairs,
            RelayPlace::Apart | RelayPlace::Nowhere => 0,
        },
        newcomers: limits.front.newcomers,
        carriers: limits.front.carriers,
    }
}

/// No more of anything than there are descriptors for.
const fn bounded(mut limits: ServiceLimits, budget: DescriptorBudget) -> ServiceLimits {
    limits.links = budget.links;
    limits.front.newcomers = budget.newcomers;
    limits.front.carriers = budget.carriers;
    limits
}

/// Answers probes until the process ends.
pub(crate) async fn serve_probes(listener: TcpListener, routes: axum::Router) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, routes).await
}
