//! One attempt through one topology: real peers, a real broker, a verdict.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::{Directory, User};
use simopen_broker::{Event as BrokerEvent, Forging};
use simopen_device::clock::Clock;
use simopen_device::socket::listener_saving_syn;
use simopen_packet::{Timestamp, Ttl};
use simopen_peer::{ConnectError, Connection, Observation, Peer, PeerConfig, SynCaptureWay};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;
use simopen_server::broker::{Builder, Handle};
use simopen_traversal::{Failure, What};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cancel::Cancel;
use crate::error::LabError;
use crate::evidence::{Flow, delivered, explain};
use crate::exchange::exchange;
use crate::host::Host;
use crate::pump::{PumpPort, Report};
use crate::result::AttemptResult;
use crate::timeline::Timeline;
use crate::topology::{Addresses, NAMES, Topology, TopologySpec};

/// Where the broker listens.
const BROKER_PORT: u16 = 7000;

/// No honest attempt takes longer: it would void the run, not decide it.
const LIMIT: Duration = Duration::from_secs(30);

/// Seeds of the two byte streams.
const STREAMS: [u64; 2] = [0xa, 0xb];

/// What to try, and through what.
#[derive(Clone)]
pub struct AttemptSpec {
    /// The way to open the connection.
    pub technique: Technique,
    /// Whether the broker sends its forged packets. Without, it judges and logs them only: the
    /// failing control of a technique that needs them.
    pub forging: bool,
    /// The network.
    pub topology: TopologySpec,
    /// TTL of the SYNs that kernel sockets make.
    pub kernel_ttl: Option<Ttl>,
    /// Whether kernel SYNs go by a TUN route whose owner gives them this TTL.
    pub tun_route_ttl: Option<Ttl>,
    /// How much later than agreed `a` and `b` send their first SYN.
    pub start_skew: [Duration; 2],
    /// Bytes that go each way, and are compared, once the connection is confirmed.
    pub bytes: usize,
    /// Bytes that go each way after the broker has been cut off.
    pub bytes_after_cut: usize,
}

impl AttemptSpec {
    /// A technique through the star without boxes, legs of 10 ms, 1 MiB and then 64 KiB.
    #[must_use]
    pub fn new(technique: Technique) -> Self {
        Self {
            technique,
            forging: true,
            topology: TopologySpec::star(Duration::from_millis(10)),
            kernel_ttl: None,
            tun_route_ttl: None,
            start_skew: [Duration::ZERO; 2],
            bytes: 1024 * 1024,
            bytes_after_cut: 64 * 1024,
        }
    }

    /// One leg: the way from `a` to `b`.
    #[must_use]
    pub fn leg(&self) -> Duration {
        self.topology.half_legs[0] + self.topology.half_legs[1]
    }
}

/// How often a void run is repeated.
const REPEATS: u32 = 4;

/// As [`run`], and repeats a run that was void because the machine was late, a few times. Whether
/// a run is void does not depend on its outcome ([`AttemptResult::is_valid`]).
///
/// # Errors
///
/// As [`run`].
pub fn run_valid(spec: &AttemptSpec, cancel: &Cancel) -> Result<AttemptResult, LabError> {
    Prepared::build(spec)?.run_valid(cancel).map(|(result, _)| result)
}

/// Builds the topology, makes the attempt and takes everything down again.
///
/// # Errors
///
/// [`LabError`] where the experiment could not be made. A failed technique is a result.
pub fn run(spec: &AttemptSpec, cancel: &Cancel) -> Result<AttemptResult, LabError> {
    Prepared::build(spec)?.run(cancel).map(|(result, _)| result)
}

/// An attempt whose topology stands. To build and to take down namespaces occupies the kernel for
/// milliseconds in which it lets nothing else run: whoever makes attempts beside each other builds
/// all of them before the first, and keeps what remains until after the last.
pub struct Prepared<'spec> {
    spec: &'spec AttemptSpec,
    topology: Topology,
}

/// The hosts and ports of attempts that have been made. They go when this is dropped.
pub struct Remains(Vec<([Host; 3], Vec<PumpPort>)>);

impl<'spec> Prepared<'spec> {
    /// Builds the topology.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn build(spec: &'spec AttemptSpec) -> Result<Self, LabError> {
        let topology = Topology::build(&spec.topology, Clock::start())?;
        Ok(Self { spec, topology })
    }

    /// As [`run_valid`], from the topology that stands.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn run_valid(self, cancel: &Cancel) -> Result<(AttemptResult, Remains), LabError> {
        let spec = self.spec;
        let mut next = self;
        let mut all = Remains(Vec::new());
        for voided in 0.. {
            let (result, Remains(remains)) = next.run(cancel)?;
            all.0.extend(remains);
            if result.is_valid() || voided == REPEATS {
                return Ok((AttemptResult { voided, ..result }, all));
            }
            tracing::debug!(lateness = ?result.worst_lateness, "a void run is repeated");
            next = Self::build(spec)?;
        }
        Err(LabError::TimedOut("a run that is not void"))
    }

    /// Makes the attempt.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn run(self, cancel: &Cancel) -> Result<(AttemptResult, Remains), LabError> {
        let Self { spec, topology } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| LabError::System { what: "a runtime", source })?;
        let mut cancel = cancel.clone();
        let conducted = runtime.block_on(async {
            tokio::select! {
                conducted = timeout(LIMIT, conduct(spec, &topology)) => {
                    conducted.unwrap_or(Err(LabError::TimedOut("the end of the attempt")))
                }
                () = cancel.cancelled() => Err(LabError::Cancelled),
            }
        });
        let Topology { hosts, pump, ports, addresses, built_in, .. } = topology;
        let report = pump.stop()?;
        let result = judge(spec, conducted?, &report, &ports, &addresses, built_in);
        Ok((result, Remains(vec![(hosts, report.ports)])))
    }
}

/// What the hosts have told.
struct Conducted {
    requested: Timestamp,
    ended: Timestamp,
    ends: [Result<Timestamp, Option<Failure>>; 2],
    direct: Option<bool>,
    steps: Vec<(Timestamp, String)>,
    observations: Vec<(&'static str, Observation)>,
    broker: Vec<BrokerEvent>,
}

async fn conduct(spec: &AttemptSpec, topology: &Topology) -> Result<Conducted, LabError> {
    let (broker, broker_events) = start_broker(spec, topology).await?;
    let (seen, mut observed) = mpsc::unbounded_channel();
    let (peer_b, mut incoming) = login(spec, topology, 1, seen.clone()).await?;
    let (peer_a, _) = login(spec, topology, 0, seen).await?;

    let requested = topology.clock.now();
    let technique = spec.technique;
    let dial = topology.hosts[0].spawn(move || async move {
        let connection = peer_a.connect(&user("b"), technique).await;
        (connection, peer_a)
    })?;
    let answer = topology.hosts[1].spawn(move || async move {
        let connection = incoming.next().await;
        (connection, incoming)
    })?;
    let (dialled, peer_a) = dial.join().await?;
    let (answered, incoming) = match &dialled {
        // A responder that was never asked has nothing to say.
        Err(ConnectError::Failed(failure)) if failure.syns == 0 => {
            match timeout(Duration::from_secs(1), answer.join()).await {
                Ok(answered) => {
                    answered.map(|(connection, incoming)| (connection, Some(incoming)))?
                }
                Err(_) => (None, None),
            }
        }
        _ => answer.join().await.map(|(connection, incoming)| (connection, Some(incoming)))?,
    };

    let mut steps = Vec::new();
    let (ends, direct) = match (dialled, answered) {
        (Ok(a), Some(Ok(b))) => {
            let ends = [Ok(a.established_at), Ok(b.established_at)];
            (ends, Some(prove_direct(spec, topology, a, b, &mut steps).await?))
        }
        (a, b) => ([end_of(Some(a)), end_of(b)], None),
    };
    let ended = topology.clock.now();
    drop((peer_a, peer_b, incoming));
    broker.stop().await;
    let mut observations = Vec::new();
    while let Ok(observation) = observed.try_recv() {
        observations.push(observation);
    }
    let broker = std::mem::take(&mut *broker_events.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Conducted { requested, ended, ends, direct, steps, observations, broker })
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

/// Bytes both ways; then without the broker, bytes both ways again.
async fn prove_direct(
    spec: &AttemptSpec,
    topology: &Topology,
    mut a: Connection,
    mut b: Connection,
    steps: &mut Vec<(Timestamp, String)>,
) -> Result<bool, LabError> {
    for (bytes, cut) in [(spec.bytes, false), (spec.bytes_after_cut, true)] {
        if cut {
            topology.pump.cut_off(topology.ports[2]);
            steps.push((topology.clock.now(), "cuts the broker off from the network".into()));
        }
        let (from_a, from_b) = (
            topology.hosts[0].spawn(move || async move {
                let done = exchange(&mut a.stream, bytes, STREAMS[0], STREAMS[1]).await;
                (a, done)
            })?,
            topology.hosts[1].spawn(move || async move {
                let done = exchange(&mut b.stream, bytes, STREAMS[1], STREAMS[0]).await;
                (b, done)
            })?,
        );
        let (done_a, done_b);
        (a, done_a) = from_a.join().await?;
        (b, done_b) = from_b.join().await?;
        let kib = bytes / 1024;
        let words = match done_a.and(done_b) {
            Ok(()) => format!("{kib} KiB went each way, every byte as sent"),
            Err(error) => {
                steps.push((topology.clock.now(), format!("{kib} KiB each way failed: {error}")));
                return Ok(false);
            }
        };
        steps.push((topology.clock.now(), words));
    }
    Ok(true)
}

type BrokerEvents = Arc<Mutex<Vec<BrokerEvent>>>;

async fn start_broker(
    spec: &AttemptSpec,
    topology: &Topology,
) -> Result<(Handle, BrokerEvents), LabError> {
    let mut directory = Directory::default();
    for name in ["a", "b"] {
        let communities = ["lab".to_owned()].into();
        directory.insert(user(name), User { secret: secret(name), communities });
    }
    let own = topology.addresses.hosts[2];
    let policy = ConsentPolicy {
        forging: if spec.forging { Forging::Dangerous } else { Forging::Withheld },
        own: vec![own],
        networks: Vec::new(),
    };
    let clock = topology.clock;
    let events = BrokerEvents::default();
    let sink = Arc::clone(&events);
    let started = topology.hosts[2].spawn(move || async move {
        let listener = listener_saving_syn(SocketAddr::new(own, BROKER_PORT))?;
        let builder =
            Builder::new(directory).listen(listener).consent(policy).clock(clock).observe(
                Box::new(move |event| {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
                }),
            );
        Ok::<_, LabError>(builder.start()?)
    })?;
    Ok((started.join().await??, events))
}

async fn login(
    spec: &AttemptSpec,
    topology: &Topology,
    place: usize,
    seen: mpsc::UnboundedSender<(&'static str, Observation)>,
) -> Result<(Peer, simopen_peer::Incoming), LabError> {
    let name = NAMES[place];
    let broker = SocketAddr::new(topology.addresses.hosts[2], BROKER_PORT);
    let (observer, mut observations) = mpsc::unbounded_channel();
    let config = PeerConfig {
        kernel_ttl: spec.kernel_ttl,
        start_skew: spec.start_skew[place],
        capture: spec.tun_route_ttl.map_or(SynCaptureWay::PacketSocket, |syn_ttl| {
            SynCaptureWay::TunRoute { interface: "port0".into(), syn_ttl }
        }),
        clock: topology.clock,
        observer: Some(observer),
        ..PeerConfig::new(broker, user(name), secret(name))
    };
    let login = topology.hosts[place].spawn(move || async move {
        tokio::spawn(async move {
            while let Some(observation) = observations.recv().await {
                // The experiment is over.
                let _ = seen.send((name, observation));
            }
        });
        let (peer, incoming) = Peer::login(config).await?;
        // So that the attempt costs no extra round trip: a port is proven beforehand.
        let ready = timeout(Duration::from_secs(5), peer.ready()).await;
        ready.ok().and_then(Result::ok).ok_or(LabError::TimedOut("a port proven to the broker"))?;
        Ok::<_, LabError>((peer, incoming))
    })?;
    login.join().await?
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("the hosts' names are proper names")
}

fn secret(name: &str) -> Token {
    Token::from_random([name.as_bytes()[0]; 32])
}

fn judge(
    spec: &AttemptSpec,
    conducted: Conducted,
    report: &Report,
    ports: &[simopen_fabric::PortId; 3],
    addresses: &Addresses,
    built_in: Duration,
) -> AttemptResult {
    let flow = Flow::of(addresses);
    let failures = conducted.ends.map(|end| end.err().flatten());
    let connected = conducted.direct.is_some();
    let established = match conducted.ends {
        [Ok(a), Ok(b)] => Some(a.max(b) - conducted.requested),
        _ => None,
    };
    let cause = (!connected).then(|| {
        explain(failures[0].or(failures[1]).as_ref(), &report.events, &flow, &report.fabric)
    });
    let leg = spec.leg();
    let decided =
        established.map_or_else(|| failed_at(&conducted), |time| conducted.requested + time);
    AttemptResult {
        technique: spec.technique,
        forging: spec.forging,
        connected,
        direct: conducted.direct,
        requested: conducted.requested,
        established,
        legs: established.map(|time| time.as_secs_f64() / leg.as_secs_f64()),
        failures,
        cause,
        delivered: delivered(&report.events, &flow, ports),
        timeline: tell(&conducted, report, &flow),
        worst_lateness: report.lateness.worst_between(conducted.requested, decided),
        leg,
        voided: 0,
        lateness: report.lateness.clone(),
        tun_drops: report.tun_drops,
        events_lost: report.events_lost,
        built_in,
    }
}

fn tell(
    conducted: &Conducted,
    report: &Report,
    flow: &Flow,
) -> Vec<crate::timeline::TimelineEntry> {
    let mut timeline = Timeline::default();
    for (host, observation) in &conducted.observations {
        timeline.add_observation(host, observation);
    }
    for event in &conducted.broker {
        timeline.add_broker(event);
    }
    for event in &report.events {
        timeline.add_packet(&report.fabric, flow, event);
    }
    for (at, words) in &conducted.steps {
        timeline.add(*at, "lab", words.clone());
    }
    timeline.finish(failed_at(conducted))
}

/// When the later side's attempt failed; the end, where none did.
fn failed_at(conducted: &Conducted) -> Timestamp {
    let failed = |(_, observation): &(_, Observation)| {
        matches!(observation.event.what, What::Failed(_)).then_some(observation.event.at)
    };
    conducted.observations.iter().filter_map(failed).max().unwrap_or(conducted.ended)
}
