//! A topology that makes one run after the other.

use std::path::Path;
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_nat::MiddleboxSpec;
use simopen_peer::IcmpShield;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::network::Executor;
use simopen_scenario::result::CellResult;
use simopen_scenario::run::RunRecord;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::{NAMES, Star};

use super::{Captures, How};
use crate::attempt::Trial;
use crate::cancel::Cancel;
use crate::captures;
use crate::error::LabError;
use crate::exec::ProgramTrial;
use crate::host::PORT;
use crate::lateness::LatenessMeter;
use crate::pump::{Packets, Report};
use crate::topology::{Topology, TopologyOptions, with_rates};

/// Bytes each way, before the broker is cut off and after.
const BYTES: [usize; 2] = [64 * 1024, 16 * 1024];

/// The same where packets are lost: what is sent again costs a second and more each time.
const BYTES_WITH_LOSS: [usize; 2] = [4 * 1024, 1024];

/// What is void at 100 µs on the grain of the lateness meter is void below it too.
const LEAST_BOUND: Duration = Duration::from_micros(100);

pub(super) struct Worker {
    pub(super) topology: Topology,
    executor: Executor,
    has_proxies: bool,
}

impl Worker {
    /// Builds the topology, with boxes that stand for those to come.
    pub(super) fn build(executor: Executor, has_proxies: bool) -> Result<Self, LabError> {
        let placeholder = Some(MiddleboxSpec::no_box());
        let leg = Duration::from_millis(10);
        let boxes = [placeholder; 2];
        let star = Star { boxes, executor, has_proxies, ..Star::with_leg(leg) };
        let clock = Clock::start();
        let entropy = entropy_of(0);
        let network = star.network(&entropy, clock.now())?;
        let options = TopologyOptions::default();
        let topology = Topology::build(network, entropy, Packets::Forgotten, &options, clock)?;
        Ok(Self { topology, executor, has_proxies })
    }

    /// Makes one run of a cell.
    pub(super) fn run(
        &mut self,
        planned: &CellResult,
        seed: u64,
        how: &How,
        cancel: &Cancel,
    ) -> Result<(RunRecord, LatenessMeter), LabError> {
        let cell = &planned.cell;
        // The same hosts for all cells, whether a cell uses them or not.
        let star = Star { has_proxies: self.has_proxies, ..Star::of_cell(cell, self.executor) };
        let entropy = entropy_of(seed);
        let network = with_rates(&star).network(&entropy, self.topology.clock().now())?;
        let packets = match how.captures {
            Captures::None => Packets::Forgotten,
            Captures::Surprises(_) | Captures::All(_) => Packets::Kept,
        };
        self.topology.load(network, entropy, packets)?;

        let technique = match &cell.way {
            Way::Own(technique) => *technique,
            Way::Program(name) => return self.run_program(planned, name, seed, how, cancel),
        };
        let mut trial = Trial::new(technique);
        trial.measure_by(&star);
        trial.bound = trial.leg.mul_f64(how.bound).max(LEAST_BOUND);
        trial.forging = cell.forging;
        trial.icmp_shield = IcmpShield::TunRoute { interface: PORT.into() };
        trial.start_skew = [cell.conditions.skew_a, cell.conditions.skew_b];
        trial.login_timeout = cell.conditions.login_timeout();
        [trial.bytes, trial.bytes_after_cut] =
            if cell.conditions.loss > 0.0 { BYTES_WITH_LOSS } else { BYTES };
        let (result, report) = trial.make(&self.topology, seed, cancel)?;
        self.capture(planned, &result.record, &report, how, &trial.hosts)?;
        Ok((result.record, result.lateness))
    }

    fn run_program(
        &self,
        planned: &CellResult,
        name: &str,
        seed: u64,
        how: &How,
        cancel: &Cancel,
    ) -> Result<(RunRecord, LatenessMeter), LabError> {
        let puncher = how.programs.iter().find(|puncher| puncher.name == name);
        let puncher = puncher.ok_or_else(|| LabError::NoSuchProgram(name.to_owned()))?;
        let leg = planned.cell.conditions.leg;
        let trial = ProgramTrial {
            puncher,
            hosts: NAMES.map(str::to_owned),
            leg,
            bound: leg.mul_f64(how.bound).max(LEAST_BOUND),
            bytes: BYTES[1].try_into().unwrap_or(u64::MAX),
        };
        let (record, report) = trial.make(&self.topology, seed, cancel)?;
        self.capture(planned, &record, &report, how, &trial.hosts)?;
        Ok((record, report.lateness))
    }

    fn capture(
        &self,
        planned: &CellResult,
        record: &RunRecord,
        report: &Report,
        how: &How,
        hosts: &[String; 3],
    ) -> Result<(), LabError> {
        let directory: &Path = match &how.captures {
            Captures::None => return Ok(()),
            Captures::Surprises(_) if !planned.is_surprised_by(record) => return Ok(()),
            Captures::Surprises(directory) | Captures::All(directory) => directory,
        };
        let name = directory_of(&planned.cell, record.seed);
        captures::write(&directory.join(name), report, self.topology.layout(), hosts)
    }
}

/// A name for the files of a run: what a reader looks for first comes first.
fn directory_of(cell: &Cell, seed: u64) -> String {
    let [a, b] = &cell.boxes;
    let control = if cell.forging { "" } else { "-withheld" };
    let name = format!("{}--{}--{}{control}-{seed:016x}", a.name, b.name, cell.way);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect()
}
