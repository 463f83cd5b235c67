//! Scenarios from files, on real kernels: each run in a topology of its own.

mod tunnel;

use std::path::{Path, PathBuf};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_fabric::GraphError;
use simopen_packet::Timestamp;
use simopen_peer::IcmpShield;
use simopen_scenario::cell::Way;
use simopen_scenario::file::{Attempt, Scenario, Tunnel, World};
use simopen_scenario::incident;
use simopen_scenario::network::{Executor, Network};
use simopen_scenario::result::{Kind, Results};
use simopen_scenario::run::RunRecord;
use simopen_scenario::scenario_results::{ScenarioResults, Wanted, held_as_expected};
use simopen_scenario::seed::entropy_of;

use crate::attempt::Trial;
use crate::cancel::Cancel;
use crate::captures;
use crate::error::LabError;
use crate::exec::{ProgramTrial, Puncher};
use crate::host::PORT;
use crate::pump::{Packets, Report};
use crate::topology::{RATED, Topology, TopologyOptions};

/// Bytes that go each way before, and after the broker has been cut off.
const BYTES: [usize; 2] = [64 * 1024, 16 * 1024];

/// How long a login may take: three SYNs are sent in it.
const LOGIN: Duration = Duration::from_secs(4);

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who turns the boxes.
    pub executor: Executor,
    /// What all chance follows from.
    pub seed: u64,
    /// How often each attempt is made, if not as often as the file says.
    pub runs: Option<u32>,
    /// Where to write captures, a directory for each run.
    pub captures: Option<PathBuf>,
    /// Where programs are started: the file's directory.
    pub directory: PathBuf,
    /// The command line that repeats it, for the report.
    pub command: String,
}

/// Runs all attempts of a scenario, then all its tunnels. `done` is told of each run as it ends.
///
/// # Errors
///
/// [`LabError`] where an experiment could not be made. What fails is a result.
pub fn run(
    scenario: &Scenario,
    options: &Options,
    cancel: &Cancel,
    done: &dyn Fn(&str, &RunRecord),
) -> Result<ScenarioResults, LabError> {
    let results = Results::new(Kind::Run, options.executor, options.seed, options.command.clone());
    // Hosts stand from one run to the next: taking them down would delay the next run's packets.
    let mut standing = None;
    ScenarioResults::gather(scenario, results, options.runs, |wanted| {
        let seed = wanted.seed();
        let mut one = Run { scenario, options, cancel, seed, standing: &mut standing };
        let record = match wanted {
            Wanted::Attempt(attempt, way, job) => one.attempt(attempt, way, job.nth)?,
            Wanted::Tunnel(tunnel, _) => one.tunnel(tunnel)?,
        };
        done(&wanted.label(), &record);
        Ok(record)
    })
}

/// One run of a scenario.
struct Run<'run> {
    scenario: &'run Scenario,
    options: &'run Options,
    cancel: &'run Cancel,
    seed: u64,
    /// The topology of the run before.
    standing: &'run mut Option<Topology>,
}

impl Run<'_> {
    fn attempt(&mut self, attempt: &Attempt, way: &Way, nth: u32) -> Result<RunRecord, LabError> {
        let Self { scenario, cancel, seed, .. } = *self;
        let hosts = [attempt.from, attempt.to, attempt.broker];
        let topology = self.stand(&hosts)?;
        let hosts = hosts.map(|host| scenario.plan.hosts[host].name.clone());
        let leg = scenario.leg(attempt);
        // Links have the same numbers whoever turns the boxes.
        let links = network(scenario, Executor::Model, seed, topology.clock().now())?.links;
        let (record, report) = match way {
            Way::Own(technique) => {
                let trial = Trial {
                    forging: attempt.forging,
                    hosts: hosts.clone(),
                    leg,
                    bound: leg / 4,
                    login_timeout: LOGIN,
                    icmp_shield: IcmpShield::TunRoute { interface: PORT.into() },
                    start_skew: attempt.skew,
                    bytes: BYTES[0],
                    bytes_after_cut: BYTES[1],
                    meanwhile: incident::of(scenario, attempt, &links, seed)?,
                    hold: attempt.hold.map(|hold| hold.until),
                    ..Trial::new(*technique)
                };
                let (result, report) = trial.make(&topology, seed, cancel)?;
                (held_as_expected(attempt, result.record, result.held), report)
            }
            Way::Program(name) => {
                let directory = self.options.directory.clone();
                let puncher = Puncher::of(scenario, attempt.from, attempt.to, directory)
                    .ok_or_else(|| LabError::NoSuchHost(name.clone()))?;
                let bytes = BYTES[1].try_into().unwrap_or(u64::MAX);
                let trial = ProgramTrial {
                    puncher: &puncher,
                    hosts: hosts.clone(),
                    leg,
                    bound: leg / 4,
                    bytes,
                };
                trial.make(&topology, seed, cancel)?
            }
        };
        if let Some(directory) = &self.options.captures {
            let directory = directory.join(file_name(&format!("{}-{way}-{nth}", attempt.name)));
            self.capture(&directory, &report, &topology, &hosts)?;
        }
        *self.standing = Some(topology);
        Ok(record)
    }

    fn tunnel(&mut self, tunnel: &Tunnel) -> Result<RunRecord, LabError> {
        let hosts = [tunnel.from, tunnel.through, tunnel.to];
        let topology = self.stand(&hosts)?;
        let (record, report) = tunnel::make(self.scenario, tunnel, &topology, self.seed)?;
        if let Some(directory) = &self.options.captures {
            let names = hosts.map(|host| self.scenario.plan.hosts[host].name.clone());
            self.capture(&directory.join(file_name(&tunnel.name)), &report, &topology, &names)?;
        }
        *self.standing = Some(topology);
        Ok(record)
    }

    /// The topology with this run's network, on the hosts of the run before where they fit.
    fn stand(&mut self, hosts: &[usize]) -> Result<Topology, LabError> {
        if self.cancel.is_cancelled() {
            return Err(LabError::Cancelled);
        }
        let packets =
            if self.options.captures.is_some() { Packets::Kept } else { Packets::Forgotten };
        let is_ipv4 = self.scenario.speak_ipv4(hosts);
        let Some(mut topology) = self.standing.take() else {
            return stand(self.scenario, self.options.executor, self.seed, is_ipv4, packets);
        };
        let now = topology.clock().now();
        let network = network_for(self.scenario, self.options.executor, self.seed, is_ipv4, now)?;
        topology.load(network, entropy_of(self.seed), packets)?;
        Ok(topology)
    }

    fn capture(
        &self,
        directory: &Path,
        report: &Report,
        topology: &Topology,
        hosts: &[String; 3],
    ) -> Result<(), LabError> {
        captures::write(directory, report, topology.layout(), hosts)
    }
}

/// Builds the network of a scenario in namespaces of its own. Hosts with addresses of both families
/// are known by those of the chosen one.
pub(crate) fn stand(
    scenario: &Scenario,
    executor: Executor,
    seed: u64,
    is_ipv4: bool,
    packets: Packets,
) -> Result<Topology, LabError> {
    let clock = Clock::start();
    let network = network_for(scenario, executor, seed, is_ipv4, clock.now())?;
    Topology::build(network, entropy_of(seed), packets, &TopologyOptions::default(), clock)
}

fn network_for(
    scenario: &Scenario,
    executor: Executor,
    seed: u64,
    is_ipv4: bool,
    now: Timestamp,
) -> Result<Network, GraphError> {
    let mut network = network(scenario, executor, seed, now)?;
    network.put_first(is_ipv4);
    Ok(network)
}

fn network(
    scenario: &Scenario,
    executor: Executor,
    seed: u64,
    now: Timestamp,
) -> Result<Network, GraphError> {
    scenario.network(&World { executor, link: RATED, entropy: entropy_of(seed), now })
}

fn file_name(text: &str) -> String {
    let proper = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    text.chars().map(proper).collect()
}
