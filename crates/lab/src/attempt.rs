//! One attempt through one topology: real peers, a real broker, a verdict.

mod conduct;
mod judge;
mod meanwhile;
mod proxies;

use std::path::PathBuf;
use std::time::Duration;

use simopen_device::capability::Privilege;
use simopen_device::clock::Clock;
use simopen_fabric::HOST_LINK_DELAY;
use simopen_packet::{Entropy, Ttl};
use simopen_peer::IcmpShield;
use simopen_protocol::technique::Technique;
use simopen_scenario::incident::Incident;
use simopen_scenario::proxies::{Path, Proxies};
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::{NAMES, Star};
use simopen_server::forger::Spawn;
use tokio::time::timeout;

use crate::cancel::Cancel;
use crate::captures;
use crate::error::LabError;
use crate::pump::{Packets, Report};
use crate::result::AttemptResult;
use crate::topology::{Topology, TopologyOptions, with_rates};

/// No honest attempt takes longer: it would void the run, not decide it.
const LIMIT: Duration = Duration::from_secs(30);

/// What is tried between two hosts of a network that stands.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The way to open the connection.
    pub technique: Technique,
    /// Whether the broker sends its forged packets. Without, it judges and logs them only: the
    /// failing control of a technique that needs them.
    pub forging: bool,
    /// The process that sends the broker's forged packets; without, the broker does.
    pub forger: Option<Spawn>,
    /// The names of the hosts of originator, responder and broker.
    pub hosts: [String; 3],
    /// One way from originator to responder.
    pub leg: Duration,
    /// How late a packet may leave the network, until the verdict, before the run is void.
    pub bound: Duration,
    /// The least and the most that the ways from originator and responder to the broker and back
    /// take as configured; `None` where that is not compared with what is measured.
    pub round_trips: [Option<[Duration; 2]>; 2],
    /// Which HTTP proxies the peers are set up to use; their hosts stand in the network.
    pub proxies: Proxies,
    /// How long a login may take.
    pub login_timeout: Duration,
    /// TTL of the SYNs that kernel sockets make.
    pub kernel_ttl: Option<Ttl>,
    /// Whether kernel SYNs go by a TUN route whose owner gives them this TTL.
    pub tun_route_ttl: Option<Ttl>,
    /// What keeps ICMP time-exceeded away from sockets that dial with a low TTL.
    pub icmp_shield: IcmpShield,
    /// How much later than agreed originator and responder send their first SYN.
    pub start_skew: [Duration; 2],
    /// Bytes that go each way, and are compared, once the connection is confirmed.
    pub bytes: usize,
    /// Bytes that go each way after the broker has been cut off.
    pub bytes_after_cut: usize,
    /// What happens to the network meanwhile, in the order of time.
    pub meanwhile: Vec<Incident>,
    /// When, since the request, a connection that was proven direct has to carry bytes once more.
    pub hold: Option<Duration>,
}

impl Trial {
    /// A technique from `a` to `b` with the broker `c`, legs of 10 ms, 1 MiB and then 64 KiB.
    #[must_use]
    pub fn new(technique: Technique) -> Self {
        let leg = Duration::from_millis(10);
        Self {
            technique,
            forging: true,
            forger: None,
            hosts: NAMES.map(str::to_owned),
            leg,
            bound: leg / 4,
            round_trips: [None; 2],
            proxies: Proxies::for_technique(technique),
            login_timeout: Duration::from_secs(10),
            kernel_ttl: None,
            tun_route_ttl: None,
            icmp_shield: IcmpShield::Off,
            start_skew: [Duration::ZERO; 2],
            bytes: 1024 * 1024,
            bytes_after_cut: 64 * 1024,
            meanwhile: Vec::new(),
            hold: None,
        }
    }

    /// Makes the attempt in a network that has just been loaded, and ends that network. `seed` is
    /// what the network was made from, for the record.
    ///
    /// # Errors
    ///
    /// [`LabError`] where the attempt could not be made. A failed technique is a result.
    pub fn make(
        &self,
        topology: &Topology,
        seed: u64,
        cancel: &Cancel,
    ) -> Result<(AttemptResult, Report), LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| LabError::System { what: "a runtime", source })?;
        // They end with this call, after the network that they are in.
        let _running = proxies::start(self.proxies, topology)?;
        let mut cancel = cancel.clone();
        let limit = LIMIT + self.hold.unwrap_or_default();
        let conducted = runtime.block_on(async {
            tokio::select! {
                conducted = timeout(limit, conduct::conduct(self, topology)) => {
                    conducted.unwrap_or(Err(LabError::TimedOut("the end of the attempt")))
                }
                () = cancel.cancelled() => Err(LabError::Cancelled),
            }
        });
        let report = topology.unload()?;
        let result = judge::judge(self, &conducted?, &report, topology, seed)?;
        Ok((result, report))
    }

    /// Takes over how far and how late the hosts of a star are.
    pub fn measure_by(&mut self, star: &Star) {
        self.leg = star.leg();
        self.bound = self.leg / 4;
        let [a, b, c] = star.links;
        self.round_trips = [(a, star.boxes[0]), (b, star.boxes[1])].map(|(link, placed)| {
            let behind_box = if placed.is_some() { 2 * HOST_LINK_DELAY } else { Duration::ZERO };
            let least = 2 * (link.delay + c.delay) + behind_box;
            // A packet that is lost is sent again, a second later.
            let jitter = 2 * (link.jitter + c.jitter);
            // Through a proxy a kernel measures the way to the proxy.
            let is_straight = self.proxies.path(self.technique) == Path::Straight;
            (is_straight && link.loss + c.loss == 0.0).then_some([least, least + jitter])
        });
    }
}

/// A trial and the star that it is made in.
#[derive(Debug, Clone)]
pub struct AttemptSpec {
    /// What is tried. What it says of legs and bounds is taken from the star.
    pub trial: Trial,
    /// The network.
    pub star: Star,
    /// What all chance in the network follows from.
    pub seed: u64,
    /// The capabilities that `a` and `b` have; `None` leaves all.
    pub privileges: Option<Vec<Privilege>>,
    /// Where to write a capture of each port.
    pub captures: Option<PathBuf>,
}

impl AttemptSpec {
    /// As [`Trial::new`], through the star without boxes.
    #[must_use]
    pub fn new(technique: Technique) -> Self {
        let trial = Trial::new(technique);
        let star = Star::with_leg(trial.leg);
        Self { trial, star, seed: 0, privileges: None, captures: None }
    }

    fn packets(&self) -> Packets {
        if self.captures.is_some() { Packets::Kept } else { Packets::Forgotten }
    }

    fn entropy(&self) -> Entropy {
        entropy_of(self.seed)
    }
}

/// How often a void run is repeated.
const REPEATS: u32 = 4;

/// As [`run`], and repeats a run that was void because the machine was late, a few times. Whether
/// a run is void does not depend on its outcome.
///
/// # Errors
///
/// As [`run`].
pub fn run_valid(spec: &AttemptSpec, cancel: &Cancel) -> Result<AttemptResult, LabError> {
    Prepared::build(spec)?.run_valid(cancel)
}

/// Builds the topology, makes the attempt and takes everything down again.
///
/// # Errors
///
/// [`LabError`] where the experiment could not be made. A failed technique is a result.
pub fn run(spec: &AttemptSpec, cancel: &Cancel) -> Result<AttemptResult, LabError> {
    Prepared::build(spec)?.run(cancel)
}

/// An attempt whose topology stands. Whoever makes attempts beside each other builds all of them
/// before the first, and drops them after the last.
pub struct Prepared<'spec> {
    spec: &'spec AttemptSpec,
    topology: Topology,
}

impl<'spec> Prepared<'spec> {
    /// Builds the topology.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn build(spec: &'spec AttemptSpec) -> Result<Self, LabError> {
        if let Some(directory) = &spec.captures {
            captures::prepare(directory)?;
        }
        let clock = Clock::start();
        let network = with_rates(&spec.star).network(&spec.entropy(), clock.now())?;
        let mut options = TopologyOptions::default();
        if let Some(privileges) = &spec.privileges {
            let limited = NAMES[..2].iter().map(|name| ((*name).to_owned(), privileges.clone()));
            options.privileges = limited.collect();
        }
        let topology = Topology::build(network, spec.entropy(), spec.packets(), &options, clock)?;
        Ok(Self { spec, topology })
    }

    /// As [`run_valid`], in the topology that stands.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn run_valid(&mut self, cancel: &Cancel) -> Result<AttemptResult, LabError> {
        let mut voided = 0;
        loop {
            let result = self.run(cancel)?;
            if result.is_valid() || voided == REPEATS {
                return Ok(AttemptResult { voided, ..result });
            }
            tracing::debug!(void = ?result.record.void, "a void run is repeated");
            voided += 1;
            self.renew()?;
        }
    }

    /// Makes the attempt, once.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn run(&mut self, cancel: &Cancel) -> Result<AttemptResult, LabError> {
        let mut trial = self.spec.trial.clone();
        trial.measure_by(&self.spec.star);
        let (result, report) = trial.make(&self.topology, self.spec.seed, cancel)?;
        if let Some(directory) = &self.spec.captures {
            captures::write(directory, &report, self.topology.layout(), &trial.hosts)?;
        }
        Ok(result)
    }

    fn renew(&mut self) -> Result<(), LabError> {
        let spec = self.spec;
        if spec.privileges.is_some() {
            // Hosts without privileges cannot end what the kernel keeps of them.
            *self = Self::build(spec)?;
            return Ok(());
        }
        let now = self.topology.clock().now();
        let network = with_rates(&spec.star).network(&spec.entropy(), now)?;
        self.topology.load(network, spec.entropy(), spec.packets())
    }
}
