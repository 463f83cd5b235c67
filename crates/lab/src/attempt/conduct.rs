//! What the hosts do in an attempt, and what they tell of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use simopen_broker::Event as BrokerEvent;
use simopen_device::socket::listener_saving_syn;
use simopen_packet::Timestamp;
use simopen_peer::carriage::Carriage;
use simopen_peer::{
    ConnectError, Connection, Incoming, LoginError, Peer, PeerConfig, SynCaptureWay,
};
use simopen_protocol::address::HostPort;
use simopen_scenario::judgement::Account;
use simopen_scenario::oracle::{BROKER_PORT, RELAY_PORT};
use simopen_scenario::participants::{PROOF, consent, directory, secret, user};
use simopen_scenario::pattern::{HELD_BYTES, PATIENCE, STREAMS};
use simopen_scenario::proxies::{PROXY_NAMES, PROXY_PORT, Proxies};
use simopen_server::ServerError;
use simopen_server::broker::{Builder, Handle, Observer};
use simopen_server::relay;
use simopen_traversal::{Event, Failure};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::Trial;
use super::meanwhile::play;
use crate::error::LabError;
use crate::exchange::exchange;
use crate::host::{Host, PORT, Spawned};
use crate::topology::Topology;

/// What the hosts have told.
pub(super) struct Conducted {
    pub(super) account: Account,
    /// What `a` and `b` measured between themselves and the broker.
    pub(super) round_trips: [Option<Duration>; 2],
    pub(super) held: Option<bool>,
}

/// A peer that is ready to open connections.
struct Ready {
    peer: Peer,
    incoming: Incoming,
    /// How long it took to prove a port, if one is needed.
    gather: Option<Duration>,
}

pub(super) async fn conduct(trial: &Trial, topology: &Topology) -> Result<Conducted, LabError> {
    let (broker, broker_events) = start_broker(trial, topology).await?;
    let (seen, mut observed) = mpsc::unbounded_channel();
    let logins = [login(trial, topology, 0, seen.clone())?, login(trial, topology, 1, seen)?];
    let [a, b] = logins;
    let (a, b) = (a.join().await?, b.join().await?);

    let requested = topology.clock().now();
    let mut conducted = Conducted {
        account: Account {
            relayed: trial.technique.meets_at_relay(),
            ..Account::beginning(requested, "lab")
        },
        round_trips: [&a, &b].map(|login| login.as_ref().ok().map(|ready| ready.peer.round_trip())),
        held: None,
    };
    conducted.account.gather = a.as_ref().ok().and_then(|ready| ready.gather);
    match (a, b) {
        (Ok(a), Ok(b)) => attempt_meanwhile(trial, topology, a, b, &mut conducted).await?,
        (a, b) => {
            let errors = [(0, a.err()), (1, b.err())];
            let words = errors.into_iter().filter_map(|(place, error)| {
                Some(format!("{} did not log in: {}", trial.hosts[place], error?))
            });
            let words: Vec<String> = words.collect();
            conducted.account.not_begun = Some(words.join("; "));
            conducted.account.ended = topology.clock().now();
        }
    }
    broker.stop().await;
    while let Ok(event) = observed.try_recv() {
        conducted.account.events.push(event);
    }
    conducted.account.broker =
        std::mem::take(&mut *broker_events.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(conducted)
}

/// Makes the attempt while the network changes as it was asked to.
async fn attempt_meanwhile(
    trial: &Trial,
    topology: &Topology,
    a: Ready,
    b: Ready,
    conducted: &mut Conducted,
) -> Result<(), LabError> {
    conducted.account.requested = topology.clock().now();
    let steps = RefCell::new(Vec::new());
    let incidents = play(&trial.meanwhile, topology, conducted.account.requested, &steps);
    tokio::select! {
        made = attempt(trial, topology, a, b, conducted) => made?,
        failed = incidents => match failed? {},
    }
    conducted.account.steps.append(&mut steps.into_inner());
    Ok(())
}

/// Dials and answers; where there is a connection, proves that it is direct.
async fn attempt(
    trial: &Trial,
    topology: &Topology,
    Ready { peer: peer_a, .. }: Ready,
    Ready { peer: peer_b, mut incoming, .. }: Ready,
    conducted: &mut Conducted,
) -> Result<(), LabError> {
    let [host_a, host_b] = ends(trial, topology)?;
    let technique = trial.technique;
    let dial = host_a.spawn(move || async move {
        let connection = peer_a.connect(&user(1), technique).await;
        (connection, peer_a)
    })?;
    let answer = host_b.spawn(move || async move {
        let connection = incoming.next().await;
        (connection, incoming)
    })?;
    let (dialled, peer_a) = dial.join().await?;
    let (answered, incoming) = match &dialled {
        // A responder that was never asked has nothing to say.
        Err(error) if error.failure().is_some_and(|failure| failure.syns == 0) => {
            match timeout(Duration::from_secs(1), answer.join()).await {
                Ok(answered) => {
                    answered.map(|(connection, incoming)| (connection, Some(incoming)))?
                }
                Err(_) => (None, None),
            }
        }
        _ => answer.join().await.map(|(connection, incoming)| (connection, Some(incoming)))?,
    };
    match (dialled, answered) {
        (Ok(a), Some(Ok(b))) => {
            conducted.account.ends = [Ok(a.established_at), Ok(b.established_at)];
            conducted.account.direct = if conducted.account.relayed {
                prove_relayed(trial, topology, (a, b), conducted).await?
            } else {
                Some(prove_direct(trial, topology, a, b, conducted).await?)
            };
        }
        (a, b) => conducted.account.ends = [end_of(Some(a)), end_of(b)],
    }
    conducted.account.ended = topology.clock().now();
    drop((peer_a, peer_b, incoming));
    Ok(())
}

fn end_of(
    connection: Option<Result<Connection, ConnectError>>,
) -> Result<Timestamp, Option<Failure>> {
    match connection {
        Some(Ok(connection)) => Ok(connection.established_at),
        Some(Err(error)) => {
            tracing::debug!(%error, "a side failed");
            Err(error.failure().copied())
        }
        None => Err(None),
    }
}

/// Bytes both ways; then without the broker, bytes both ways again; and once more where the
/// connection is held.
async fn prove_direct(
    trial: &Trial,
    topology: &Topology,
    mut a: Connection,
    mut b: Connection,
    conducted: &mut Conducted,
) -> Result<bool, LabError> {
    for (bytes, cut) in [(trial.bytes, false), (trial.bytes_after_cut, true)] {
        if cut {
            cut_off_broker(trial, topology, conducted)?;
        }
        let done;
        (a, b, done) =
            both_ways(trial, topology, (a, b), bytes, &mut conducted.account.steps).await?;
        if !done {
            return Ok(false);
        }
    }
    if let Some(until) = trial.hold {
        sleep_until(topology.clock().instant(conducted.account.requested + until).into()).await;
        let last = within_patience(trial, topology, (a, b), HELD_BYTES, conducted).await?;
        conducted.held = Some(last.is_some());
    }
    Ok(true)
}

/// Bytes both ways, and once more where the connection is held; then without broker and relay,
/// where none may come. `None` where none came before.
async fn prove_relayed(
    trial: &Trial,
    topology: &Topology,
    ends: (Connection, Connection),
    conducted: &mut Conducted,
) -> Result<Option<bool>, LabError> {
    let steps = &mut conducted.account.steps;
    let (a, b, done) = both_ways(trial, topology, ends, trial.bytes, steps).await?;
    if !done {
        return Ok(None);
    }
    let mut ends = (a, b);
    if let Some(until) = trial.hold {
        sleep_until(topology.clock().instant(conducted.account.requested + until).into()).await;
        let held = within_patience(trial, topology, ends, HELD_BYTES, conducted).await?;
        conducted.held = Some(held.is_some());
        match held {
            Some(held) => ends = held,
            None => return Ok(Some(false)),
        }
    }
    cut_off_broker(trial, topology, conducted)?;
    let after = within_patience(trial, topology, ends, trial.bytes_after_cut, conducted).await?;
    Ok(Some(after.is_some()))
}

/// Cuts off the broker's host, and the relay with it.
fn cut_off_broker(
    trial: &Trial,
    topology: &Topology,
    conducted: &mut Conducted,
) -> Result<(), LabError> {
    let broker = topology.layout().host(&trial.hosts[2])?.port;
    topology.alter(move |fabric, _| fabric.set_port_enabled(broker, false))?;
    let words = "cuts the broker off from the network".to_owned();
    conducted.account.steps.push((topology.clock().now(), words));
    Ok(())
}

/// As [`both_ways`]; `None` where not all came within [`PATIENCE`].
async fn within_patience(
    trial: &Trial,
    topology: &Topology,
    ends: (Connection, Connection),
    bytes: usize,
    conducted: &mut Conducted,
) -> Result<Option<(Connection, Connection)>, LabError> {
    let exchanging = both_ways(trial, topology, ends, bytes, &mut conducted.account.steps);
    let Ok(exchanged) = timeout(PATIENCE, exchanging).await else {
        let words = format!("no bytes came through within {} s", PATIENCE.as_secs());
        conducted.account.steps.push((topology.clock().now(), words));
        return Ok(None);
    };
    let (a, b, done) = exchanged?;
    Ok(done.then_some((a, b)))
}

/// Sends so many bytes each way and says whether each came as it was sent.
async fn both_ways(
    trial: &Trial,
    topology: &Topology,
    (mut a, mut b): (Connection, Connection),
    bytes: usize,
    steps: &mut Vec<(Timestamp, String)>,
) -> Result<(Connection, Connection, bool), LabError> {
    let [host_a, host_b] = ends(trial, topology)?;
    let (from_a, from_b) = (
        host_a.spawn(move || async move {
            let done = exchange(&mut a.stream, bytes, STREAMS[0], STREAMS[1]).await;
            (a, done)
        })?,
        host_b.spawn(move || async move {
            let done = exchange(&mut b.stream, bytes, STREAMS[1], STREAMS[0]).await;
            (b, done)
        })?,
    );
    let (a, done_a) = from_a.join().await?;
    let (b, done_b) = from_b.join().await?;
    let kib = bytes / 1024;
    let (words, done) = match done_a.and(done_b) {
        Ok(()) => (format!("{kib} KiB went each way, every byte as sent"), true),
        Err(error) => (format!("{kib} KiB each way failed: {error}"), false),
    };
    steps.push((topology.clock().now(), words));
    Ok((a, b, done))
}

type BrokerEvents = Arc<Mutex<Vec<BrokerEvent>>>;

async fn start_broker(
    trial: &Trial,
    topology: &Topology,
) -> Result<(Handle, BrokerEvents), LabError> {
    let own = topology.layout().address(&trial.hosts[2])?;
    let policy = consent(trial.forging, own);
    let clock = topology.clock();
    let events = BrokerEvents::default();
    let sink = Arc::clone(&events);
    let forger = trial.forger.clone().map(|spawn| spawn.consent(policy.clone()));
    let relays = trial.technique.meets_at_relay();
    let started = named(topology, &trial.hosts[2])?.spawn(move || async move {
        let listener = listener_saving_syn(SocketAddr::new(own, BROKER_PORT))?;
        let observer: Observer = Box::new(move |event| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        });
        let builder = Builder::new(directory()).listen(listener).consent(policy).clock(clock);
        let mut builder = builder.observe(observer);
        if let Some(spawn) = forger {
            builder = builder.forger(spawn.start().map_err(ServerError::from)?);
        }
        if relays {
            // At a port of its own, so that the journal tells the two apart.
            let at = SocketAddr::new(own, RELAY_PORT);
            let broken = |source| LabError::System { what: "the relay's listener", source };
            let listener = std::net::TcpListener::bind(at).map_err(broken)?;
            let relay = relay::Builder::new().listen(listener).start().map_err(broken)?;
            builder = builder.relay(vec![HostPort::from(at)], relay);
        }
        Ok::<_, LabError>(builder.start()?)
    })?;
    Ok((started.join().await??, events))
}

/// Begins to log in the peer of the host at that place in the trial.
fn login(
    trial: &Trial,
    topology: &Topology,
    place: usize,
    seen: mpsc::UnboundedSender<(usize, Event)>,
) -> Result<Spawned<Result<Ready, NotReady>>, LabError> {
    let broker = SocketAddr::new(topology.layout().address(&trial.hosts[2])?, BROKER_PORT);
    let proves = !trial.technique.meets_at_relay();
    let (observer, mut observations) = mpsc::unbounded_channel();
    let clock = topology.clock();
    let config = PeerConfig {
        kernel_ttl: trial.kernel_ttl,
        start_skew: trial.start_skew[place],
        capture: trial.tun_route_ttl.map_or(SynCaptureWay::PacketSocket, |syn_ttl| {
            SynCaptureWay::TunRoute { interface: PORT.into(), syn_ttl }
        }),
        icmp_shield: trial.icmp_shield.clone(),
        login_timeout: trial.login_timeout,
        clock,
        observer: Some(observer),
        carriage: carriage(trial, topology, place)?,
        ports: usize::from(proves),
        ..PeerConfig::new(broker, user(place), secret(place))
    };
    named(topology, &trial.hosts[place])?.spawn(move || async move {
        tokio::spawn(async move {
            while let Some(observation) = observations.recv().await {
                // The experiment is over.
                let _ = seen.send((place, observation.event));
            }
        });
        let (peer, incoming) = Peer::login(config).await?;
        let begun = clock.now();
        // So that the attempt costs no extra round trip: a port is proven beforehand.
        if proves {
            let ready = timeout(PROOF, peer.ready()).await;
            ready.ok().and_then(Result::ok).ok_or(NotReady::NoProof)?;
        }
        let gather = proves.then(|| clock.now() - begun);
        Ok(Ready { peer, incoming, gather })
    })
}

/// How a peer reaches broker and relay.
fn carriage(trial: &Trial, topology: &Topology, place: usize) -> Result<Carriage, LabError> {
    if trial.proxies == Proxies::None {
        return Ok(Carriage::default());
    }
    let address = topology.layout().address(PROXY_NAMES[place])?;
    let proxy = format!("http://{}", SocketAddr::new(address, PROXY_PORT));
    Ok(Carriage { proxy: proxy.parse().ok(), ..Carriage::default() })
}

/// Why a peer cannot begin.
#[derive(Debug, thiserror::Error)]
enum NotReady {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("no port could be proven to the broker")]
    NoProof,
}

fn ends<'lab>(trial: &Trial, topology: &'lab Topology) -> Result<[&'lab Host; 2], LabError> {
    Ok([named(topology, &trial.hosts[0])?, named(topology, &trial.hosts[1])?])
}

fn named<'lab>(topology: &'lab Topology, name: &str) -> Result<&'lab Host, LabError> {
    topology.host(name).ok_or_else(|| LabError::NoSuchHost(name.to_owned()))
}
