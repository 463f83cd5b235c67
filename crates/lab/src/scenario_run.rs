//! Scenarios from files, on real kernels: each run in a topology of its own.

mod tunnel;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_fabric::GraphError;
use simopen_packet::Timestamp;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::file::{Attempt, Expected, Scenario, Survival, Tunnel, World};
use simopen_scenario::incident;
use simopen_scenario::network::{Executor, Network};
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_scenario::result::{CellResult, Kind, Results, Verdict};
use simopen_scenario::run::{Outcome, RunRecord};
use simopen_scenario::schedule::{Job, Schedule};
use simopen_scenario::seed::entropy_of;

pub use self::words::told;

use crate::attempt::Trial;
use crate::cancel::Cancel;
use crate::captures;
use crate::error::LabError;
use crate::exec::{ProgramTrial, Puncher};
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

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct ScenarioResults {
    /// In the documented schema.
    pub results: Results,
    /// The name of the attempt or tunnel that each cell belongs to.
    pub names: Vec<String>,
}

impl ScenarioResults {
    /// Whether everything came out as the file expects. What is void did not.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        let fits =
            |cell: &CellResult| matches!(cell.verdict, Verdict::Agrees | Verdict::Unpredicted);
        self.results.complete && self.results.cells.iter().all(fits)
    }
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
    let mut all = ScenarioResults {
        results: Results::new(Kind::Run, options.executor, options.seed, options.command.clone()),
        names: Vec::new(),
    };
    // Hosts stand from one run to the next: taking them down would delay the next run's packets.
    let mut standing = None;
    for attempt in &scenario.attempts {
        let cells = attempt.ways.iter().map(|way| {
            let conditions = Conditions {
                skew_a: attempt.skew[0],
                skew_b: attempt.skew[1],
                ..Conditions::with_leg(scenario.leg(attempt))
            };
            let boxes = scenario.boxes(attempt);
            let cell = Cell { boxes, way: way.clone(), forging: attempt.forging, conditions };
            (cell, prediction(&attempt.name, attempt.expect))
        });
        let runs = options.runs.unwrap_or(attempt.runs);
        let mut make = |way: &Way, job: Job| {
            let mut one =
                Run { scenario, options, cancel, seed: job.seed, standing: &mut standing };
            let label = format!("{}, {way}", attempt.name);
            let record = one.attempt(attempt, way, job.nth)?;
            done(&label, &record);
            Ok(record)
        };
        all.add(&attempt.name, cells.collect(), runs, options.seed, &mut make)?;
    }
    for tunnel in &scenario.tunnels {
        let way = Way::Program("http-connect".to_owned());
        let boxes = scenario.boxes_of_tunnel(tunnel);
        let conditions = Conditions::with_leg(Duration::ZERO);
        let cell = Cell { boxes, way, forging: false, conditions };
        let mut make = |_: &Way, job: Job| {
            let mut one =
                Run { scenario, options, cancel, seed: job.seed, standing: &mut standing };
            let record = one.tunnel(tunnel)?;
            done(&tunnel.name, &record);
            Ok(record)
        };
        let cells = vec![(cell, prediction(&tunnel.name, tunnel.expect))];
        all.add(&tunnel.name, cells, options.runs.unwrap_or(1), options.seed, &mut make)?;
    }
    all.results.complete = true;
    Ok(all)
}

impl ScenarioResults {
    /// Runs cells until their schedule is done, and adds them.
    fn add(
        &mut self,
        name: &str,
        cells: Vec<(Cell, Option<Prediction>)>,
        runs: u32,
        seed: u64,
        make: &mut dyn FnMut(&Way, Job) -> Result<RunRecord, LabError>,
    ) -> Result<(), LabError> {
        let ways: Vec<Way> = cells.iter().map(|(cell, _)| cell.way.clone()).collect();
        for way in &ways {
            if !self.results.ways.contains(way) {
                self.results.ways.push(way.clone());
            }
        }
        for named in cells.iter().flat_map(|(cell, _)| &cell.boxes) {
            if !self.results.boxes.contains(named) {
                self.results.boxes.push(named.clone());
            }
        }
        let (cells, predictions): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
        // Without a prediction: a scenario that comes out otherwise is told of at once, and not
        // run twenty times more.
        let unpredicted = cells.into_iter().map(|cell| (cell, None));
        let mut schedule = Schedule::with_predictions(unpredicted, runs, seed);
        while let Some(job) = schedule.next_job() {
            let record = make(&ways[job.cell], job)?;
            schedule.handle(job, record);
        }
        for (mut cell, prediction) in schedule.finish().into_iter().zip(predictions) {
            judge(&mut cell, prediction);
            self.names.push(name.to_owned());
            self.results.cells.push(cell);
        }
        Ok(())
    }
}

/// Holds what came of a cell against what the file says.
fn judge(cell: &mut CellResult, prediction: Option<Prediction>) {
    let valid = || cell.runs.iter().filter(|run| run.is_valid());
    let wanted = match prediction.as_ref().map(|prediction| &prediction.expect) {
        Some(Expect::MustSucceed) => true,
        Some(Expect::MustFail) => false,
        Some(Expect::Probability { .. }) | None => return,
    };
    let otherwise = valid().filter(|run| run.is_success() != wanted).count();
    cell.verdict = if valid().next().is_none() {
        Verdict::Void
    } else if otherwise == 0 {
        Verdict::Agrees
    } else {
        let must = if wanted { "connect" } else { "fail" };
        let words = format!("the file says that it must {must}, and {otherwise} runs did not");
        Verdict::Surprise { words }
    };
    cell.prediction = prediction;
}

fn prediction(name: &str, expect: Option<Expected>) -> Option<Prediction> {
    let expect = match expect? {
        Expected::Connects => Expect::MustSucceed,
        Expected::Fails => Expect::MustFail,
    };
    Some(Prediction { expect, why: format!("the file says so of {name:?}") })
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
    for host in &mut network.hosts {
        host.addresses.sort_by_key(|(address, _)| address.is_ipv4() != is_ipv4);
    }
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

/// A connection that was held and came out otherwise than the file says is a failed run.
fn held_as_expected(attempt: &Attempt, mut record: RunRecord, held: Option<bool>) -> RunRecord {
    let words = match (attempt.hold.and_then(|hold| hold.expect), held) {
        (Some(Survival::Survives), Some(false)) => "it connected, but did not survive",
        (Some(Survival::Breaks), Some(true)) => "it connected, and survived what must break it",
        _ => return record,
    };
    record.outcome = Outcome::Failed { cause: "unspecified".to_owned(), words: words.to_owned() };
    record
}

fn file_name(text: &str) -> String {
    let proper = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    text.chars().map(proper).collect()
}
