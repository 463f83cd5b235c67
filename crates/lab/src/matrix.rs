//! Many cells, run beside each other in topologies that are used again and again.
//!
//! Whoever only wants boxes × boxes × ways takes [`MatrixSpec::cells`]; [`run`] takes any list of
//! cells. Which run comes next, and when a cell has had enough, says
//! [`simopen_scenario::schedule::Schedule`].

mod probe;
mod worker;

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use simopen_scenario::boxes::NamedBox;
use simopen_scenario::cell::{Cell, Way};
use simopen_scenario::classify::self_check::objection;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::network::Executor;
use simopen_scenario::proxies::Proxies;
use simopen_scenario::result::{BoxCheck, CellResult, Kind, LatenessNote, MachineNote, Results};
use simopen_scenario::run::RunRecord;
use simopen_scenario::schedule::{Job, Schedule};

use crate::cancel::Cancel;
use crate::error::LabError;
use crate::exec::Puncher;
use crate::lateness::LatenessMeter;

use self::worker::Worker;

/// What is compared with what, and how.
#[derive(Debug, Clone)]
pub struct MatrixSpec {
    /// The boxes: each before `a` and each before `b`, but no pair twice.
    pub boxes: Vec<NamedBox>,
    /// The ways to open a connection.
    pub ways: Vec<Way>,
    /// Runs of a cell that must end one way.
    pub runs: u32,
    /// What all chance of boxes and links follows from.
    pub seed: u64,
    /// Under which conditions.
    pub conditions: Conditions,
    /// How runs are made.
    pub how: How,
}

/// How the runs of an experiment are made.
#[derive(Debug, Clone)]
pub struct How {
    /// Who turns the boxes.
    pub executor: Executor,
    /// Runs beside each other, each in a topology of its own. Most of a run is waiting.
    pub jobs: usize,
    /// The part of a leg that a packet may be late before a run does not count: a quarter for
    /// outcomes, 5 % for latencies.
    pub bound: f64,
    /// Which runs leave captures.
    pub captures: Captures,
    /// The programs that ways name.
    pub programs: Vec<Puncher>,
    /// The command line that repeats it, for the report.
    pub command: String,
}

impl How {
    /// By the machines, eight runs beside each other, no captures.
    #[must_use]
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            executor: Executor::Model,
            jobs: 8,
            bound: 0.25,
            captures: Captures::None,
            programs: Vec::new(),
            command: command.into(),
        }
    }
}

/// Which runs leave captures, each in a directory of its own below this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captures {
    /// No run.
    None,
    /// Those that ended otherwise than they must.
    Surprises(PathBuf),
    /// All.
    All(PathBuf),
}

/// How far an experiment has come. Told after each run, from the thread that made it, while no
/// other goes on: whoever listens must not take long.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'lab> {
    /// Runs that are settled.
    pub done: u32,
    /// Runs that are planned by now; surprises and probabilities may add some.
    pub planned: u32,
    /// Since the first run began.
    pub elapsed: Duration,
    /// The place of the cell that has changed, in the list of cells.
    pub cell: usize,
    /// What is known of it by now.
    pub result: &'lab CellResult,
}

impl MatrixSpec {
    /// The cells, as [`Cell::of_matrix`] has them.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        Cell::of_matrix(&self.boxes, &self.ways, self.conditions)
    }
}

/// Runs a matrix. After a cancellation the results hold what was run, and say that they are not
/// complete.
///
/// # Errors
///
/// [`LabError`] where the experiment cannot be made here.
pub fn run(
    spec: &MatrixSpec,
    cancel: &Cancel,
    observer: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<Results, LabError> {
    let schedule = Schedule::new(spec.cells(), spec.runs, spec.seed);
    let mut results =
        Results::new(Kind::Matrix, spec.how.executor, spec.seed, spec.how.command.clone());
    results.boxes.clone_from(&spec.boxes);
    results.ways.clone_from(&spec.ways);
    run_schedule(schedule, &spec.how, results, cancel, observer)
}

/// Runs all that a schedule asks for, and puts it into `results`, whose boxes are those of its
/// cells.
///
/// # Errors
///
/// As [`run`].
pub fn run_schedule(
    schedule: Schedule,
    how: &How,
    mut results: Results,
    cancel: &Cancel,
    observer: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<Results, LabError> {
    // All topologies stand before the first run, and until after the last.
    let proxies = results.ways.iter().map(Proxies::for_way);
    let has_proxies = proxies.into_iter().any(|proxies| proxies != Proxies::None);
    let mut workers = build_workers(how, has_proxies)?;
    results.classification = match how.executor {
        Executor::Model => probe::machines(&results.boxes, cancel)?,
        Executor::Nft => probe::kernels(&results.boxes, cancel)?,
    };
    let begun = Instant::now();
    let shared = Shared {
        how,
        checks: &results.classification,
        cancel,
        observer,
        begun,
        state: Mutex::new(State { schedule, lateness: LatenessMeter::default(), failed: None }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(|| {
                if let Err(error) = shared.work(worker) {
                    shared.fail(error);
                }
            });
        }
    });
    drop(workers);
    let State { schedule, lateness, failed } =
        shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed {
        None | Some(LabError::Cancelled) => {}
        Some(error) => return Err(error),
    }
    results.complete = schedule.is_done();
    results.cells = schedule.finish();
    let voided = results.cells.iter().map(|cell| cell.voided).sum();
    results.machine = Some(note(&lateness, begun.elapsed(), voided));
    Ok(results)
}

fn build_workers(how: &How, has_proxies: bool) -> Result<Vec<Worker>, LabError> {
    (0..how.jobs.max(1)).map(|_| Worker::build(how.executor, has_proxies)).collect()
}

/// What the workers share.
struct Shared<'lab> {
    how: &'lab How,
    /// What was found out about the boxes.
    checks: &'lab [BoxCheck],
    cancel: &'lab Cancel,
    observer: &'lab (dyn Fn(&Progress<'_>) + Sync),
    begun: Instant,
    state: Mutex<State>,
    /// A run has come in, or all is over.
    changed: Condvar,
}

struct State {
    schedule: Schedule,
    lateness: LatenessMeter,
    /// Why all workers stop before the schedule is done.
    failed: Option<LabError>,
}

impl Shared<'_> {
    /// Makes one run after the other until there is none.
    fn work(&self, worker: &mut Worker) -> Result<(), LabError> {
        while let Some((job, planned)) = self.next() {
            let (mut record, lateness) = match worker.run(&planned, job.seed, self.how, self.cancel)
            {
                Ok(made) => made,
                Err(LabError::TimedOut(what)) => {
                    tracing::warn!(way = %planned.cell.way, what, "a run is given up");
                    self.abandon(job);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(objection) = objection(self.checks, &planned.cell.boxes) {
                record.void = Some(objection);
            }
            self.lock().lateness.merge(&lateness);
            self.settle(job, record);
        }
        Ok(())
    }

    /// The next run and its cell; waits while others may bring one.
    fn next(&self) -> Option<(Job, CellResult)> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.schedule.is_done() {
                return None;
            }
            if self.cancel.is_cancelled() {
                state.failed = Some(LabError::Cancelled);
                self.changed.notify_all();
                return None;
            }
            if let Some(job) = state.schedule.next_job() {
                let cell = state.schedule.result(job.cell)?;
                return Some((job, cell));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn settle(&self, job: Job, record: RunRecord) {
        let mut state = self.lock();
        state.schedule.handle(job, record);
        self.tell(&state, job);
    }

    /// A run that took longer than any honest one: it counts as void.
    fn abandon(&self, job: Job) {
        let mut state = self.lock();
        state.schedule.handle_abandoned(job);
        self.tell(&state, job);
    }

    fn tell(&self, state: &State, job: Job) {
        let progress = state.schedule.progress();
        if let Some(result) = state.schedule.result(job.cell) {
            (self.observer)(&Progress {
                done: progress.done,
                planned: progress.planned,
                elapsed: self.begun.elapsed(),
                cell: job.cell,
                result: &result,
            });
        }
        self.changed.notify_all();
    }

    fn fail(&self, error: LabError) {
        let mut state = self.lock();
        state.failed.get_or_insert(error);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(lateness: &LatenessMeter, took: Duration, voided: u32) -> MachineNote {
    let lateness = lateness.summary();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    MachineNote {
        kernel: release.trim().to_owned(),
        processors: thread::available_parallelism()
            .map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        took_s: (took.as_secs_f64() * 1e3).round() / 1e3,
        lateness: LatenessNote {
            packets: lateness.packets,
            p50_us: micros(lateness.p50),
            p99_us: micros(lateness.p99),
            p999_us: micros(lateness.p999),
            longest_stall_us: micros(lateness.max_stall),
        },
        voided,
    }
}
