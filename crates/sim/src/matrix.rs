//! Many cells, each run until its schedule says enough.
//!
//! A run follows from its seed, which follows from cell, number and the seed of the matrix: what
//! comes of it depends neither on how many threads there are nor on which of them was quicker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use simopen_fabric::GraphError;
use simopen_packet::Timestamp;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::classify::self_check::{check_machine, objection};
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::result::{BoxCheck, CellResult, Kind, Results};
use simopen_scenario::run::RunRecord;
use simopen_scenario::schedule::{Job, Schedule};
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;
use thiserror::Error;

use crate::parallel::spread;
use crate::stack::Stack;
use crate::trial::{Carriage, Detail, Run, Trial, Violation};

/// What is compared with what, and how.
#[derive(Debug, Clone)]
pub struct MatrixSpec {
    /// The boxes: each before `a` and each before `b`, but no pair twice.
    pub boxes: Vec<NamedBox>,
    /// The ways to open a connection.
    pub ways: Vec<Way>,
    /// Runs of a cell that must end one way.
    pub runs: u32,
    /// What all chance follows from.
    pub seed: u64,
    /// Under which conditions.
    pub conditions: Conditions,
    /// Whose TCP the hosts have.
    pub stack: Stack,
    /// What carries control documents.
    pub carriage: Carriage,
    /// How many threads make runs.
    pub jobs: usize,
    /// The command line that repeats it, for the report.
    pub command: String,
}

/// What came of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In the documented schema. Two matrices with one seed give the same.
    pub results: Results,
    /// What must never happen and did, each with the cell and the seed of its run.
    pub violations: Vec<(Cell, u64, Violation)>,
    /// Attempts that were made, those that were made again for their timeline too.
    pub attempts: u64,
}

/// How far a matrix has come. Told after each cell, from the thread that made it, while no other
/// tells anything.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'sim> {
    /// Runs that are settled.
    pub done: u32,
    /// Runs that are planned by now; surprises and probabilities may add some.
    pub planned: u32,
    /// The place of the cell that is done, in the list of cells.
    pub cell: usize,
    /// What came of it.
    pub result: &'sim CellResult,
}

/// Why a matrix cannot be run. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MatrixError {
    /// Somebody else's program.
    #[error("the program {0:?} needs real hosts: `simopen lab` runs it")]
    Program(String),
    /// The star cannot be planned.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl MatrixSpec {
    /// The cells, as [`Cell::of_matrix`] has them.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        Cell::of_matrix(&self.boxes, &self.ways, self.conditions)
    }
}

/// Runs a matrix. Once `cancel` is set, no more runs are begun: the results hold what was run, and
/// say that they are not complete.
///
/// # Errors
///
/// [`MatrixError`] for somebody else's program, and for conditions that no link can have.
pub fn run(
    spec: &MatrixSpec,
    cancel: &AtomicBool,
    observer: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<Outcome, MatrixError> {
    let program = spec.ways.iter().find_map(|way| match way {
        Way::Program(name) => Some(name.clone()),
        Way::Own(_) => None,
    });
    if let Some(name) = program {
        return Err(MatrixError::Program(name));
    }
    let mut results = Results::new(Kind::Matrix, Executor::Model, spec.seed, spec.command.clone());
    results.stack = Some(spec.stack.name().to_owned());
    results.boxes.clone_from(&spec.boxes);
    results.ways.clone_from(&spec.ways);
    let checks = spread(spec.jobs, spec.boxes.len(), &|place| check_machine(&spec.boxes[place]));
    results.classification = checks.into_iter().collect::<Result<_, _>>()?;

    let cells = spec.cells();
    let shared = Shared {
        spec,
        cells: &cells,
        checks: &results.classification,
        cancel,
        observer,
        settled: Mutex::new(Settled::default()),
    };
    let made = spread(spec.jobs, cells.len(), &|place| shared.run_cell(place));
    let mut outcome = Outcome { results, violations: Vec::new(), attempts: 0 };
    outcome.results.complete = true;
    for cell in made {
        let cell = cell?;
        outcome.results.complete &= cell.is_done;
        outcome.attempts += cell.attempts;
        let named = cell.violations.into_iter();
        let of_cell = &cell.result.cell;
        outcome.violations.extend(named.map(|(seed, found)| (of_cell.clone(), seed, found)));
        outcome.results.cells.push(cell.result);
    }
    Ok(outcome)
}

/// What the threads share.
struct Shared<'sim> {
    spec: &'sim MatrixSpec,
    cells: &'sim [Cell],
    /// What was found out about the boxes.
    checks: &'sim [BoxCheck],
    cancel: &'sim AtomicBool,
    observer: &'sim (dyn Fn(&Progress<'_>) + Sync),
    settled: Mutex<Settled>,
}

#[derive(Default)]
struct Settled {
    cells: usize,
    runs: usize,
}

/// What came of one cell.
struct Made {
    result: CellResult,
    violations: Vec<(u64, Violation)>,
    attempts: u64,
    is_done: bool,
}

impl Shared<'_> {
    fn run_cell(&self, place: usize) -> Result<Made, MatrixError> {
        let cell = &self.cells[place];
        if self.is_cancelled() {
            let result = CellResult::pending(cell.clone(), None);
            return Ok(Made { result, violations: Vec::new(), attempts: 0, is_done: false });
        }
        let mut schedule = Schedule::new(vec![cell.clone()], self.spec.runs, self.spec.seed);
        let mut runs = CellRuns::new(self.spec, cell, schedule.result(0))?;
        let objection = objection(self.checks, &cell.boxes);
        while !self.is_cancelled() {
            let Some(job) = schedule.next_job() else { break };
            let mut record = runs.make(job)?;
            record.void.clone_from(&objection);
            schedule.handle(job, record);
        }
        let is_done = schedule.is_done();
        let result = schedule.finish().remove(0);
        self.tell(place, &result);
        let CellRuns { violations, attempts, .. } = runs;
        Ok(Made { result, violations, attempts, is_done })
    }

    fn tell(&self, cell: usize, result: &CellResult) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.cells += 1;
        settled.runs += result.runs.len();
        let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
        let left = (self.cells.len() - settled.cells) * self.spec.runs as usize;
        let (done, planned) = (count(settled.runs), count(settled.runs + left));
        (self.observer)(&Progress { done, planned, cell, result });
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// The runs of one cell.
struct CellRuns {
    star: Star,
    trial: Trial,
    /// What must come of it.
    planned: Option<CellResult>,
    /// Whether a run that failed, and one that connected, has been told in full.
    told: [bool; 2],
    violations: Vec<(u64, Violation)>,
    attempts: u64,
}

impl CellRuns {
    fn new(
        spec: &MatrixSpec,
        cell: &Cell,
        planned: Option<CellResult>,
    ) -> Result<Self, MatrixError> {
        let trial =
            Trial::of_cell(cell).ok_or_else(|| MatrixError::Program(cell.way.to_string()))?;
        Ok(Self {
            star: Star::of_cell(cell, Executor::Model),
            trial: Trial { stack: spec.stack, carriage: spec.carriage, ..trial },
            planned,
            told: [false; 2],
            violations: Vec::new(),
            attempts: 0,
        })
    }

    /// Makes a run. Those that a report shows are told in full: the first of either outcome, and
    /// all that ended otherwise than they must. The seed makes any other again.
    fn make(&mut self, job: Job) -> Result<RunRecord, GraphError> {
        let first = self.told == [false; 2];
        let mut run = self.run(job.seed, if first { Detail::Timeline } else { Detail::Record })?;
        let told = &mut self.told[usize::from(run.record.is_success())];
        let is_first_of_its_kind = !std::mem::replace(told, true);
        let surprises = |planned: &CellResult| planned.is_surprised_by(&run.record);
        if !first && (is_first_of_its_kind || self.planned.as_ref().is_some_and(surprises)) {
            run = self.run(job.seed, Detail::Timeline)?;
        }
        self.violations.extend(run.violations.into_iter().map(|found| (job.seed, found)));
        Ok(run.record)
    }

    fn run(&mut self, seed: u64, detail: Detail) -> Result<Run, GraphError> {
        self.attempts += 1;
        let network = self.star.network(&entropy_of(seed), Timestamp::ZERO)?;
        self.trial.detail = detail;
        Ok(self.trial.make(network, seed))
    }
}
