//! Which run comes next, and when a cell has had enough of them.
//!
//! A cell is a row of **slots**, each with a seed of its own. A run that counts settles its slot; a
//! void one is repeated with the same seed, a few times at most. How many slots a cell gets depends
//! on what must come of it:
//!
//! - Where every run must end alike, as many as were asked for, and [`AFTER_SURPRISE`] more once one
//!   of them ended otherwise.
//! - Where there is a probability, until the observed rate is known to ± [`HALF_WIDTH`] (Wilson's
//!   interval at 95 %), at most [`MOST_RUNS`].
//! - Where nobody knows, as many as were asked for.
//!
//! Whether a cell gets more slots is decided only when all that it has are settled. So the same
//! seed and the same outcomes give the same runs, whatever the order in which they come in.

use std::collections::{BTreeSet, VecDeque};

use crate::cell::Cell;
use crate::oracle;
use crate::prediction::{Expect, Prediction};
use crate::result::{CellResult, PhaseQuantiles, Rate, Verdict};
use crate::run::{Phases, RunRecord};
use crate::seed::nth_seed;
use crate::statistics::{Z_95, clopper_pearson, quantiles, wilson};

/// How many more runs a cell gets after one that ended otherwise than it must.
pub const AFTER_SURPRISE: u32 = 20;
/// How well the rate of a cell with a probability has to be known.
pub const HALF_WIDTH: f64 = 0.1;
/// How many runs a cell with a probability gets at most, unless more were asked for.
pub const MOST_RUNS: u32 = 100;
/// How often a run is tried until it counts.
pub const MOST_TRIES: u32 = 5;
/// The confidence of the interval that the probability of a prediction has to lie in.
const CONFIDENCE: f64 = 0.99;

/// Which run comes next. Several may be out at once.
#[derive(Debug, Clone)]
pub struct Schedule {
    plans: Vec<Plan>,
    ready: VecDeque<Job>,
    out: BTreeSet<Job>,
}

/// One run to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    /// The place of its cell among those that were planned.
    pub cell: usize,
    /// Its slot in the cell, from 0.
    pub nth: u32,
    /// What all chance of the run follows from. It depends on the cell, the slot and the seed of
    /// the schedule, not on which other cells there are.
    pub seed: u64,
}

/// The seed of the [`Job`] for the nth slot of a cell, in a schedule of that seed.
#[must_use]
pub fn seed_of(cell: &Cell, nth: u32, seed: u64) -> u64 {
    seed_of_slot(seed_of_cell(cell, seed), nth)
}

fn seed_of_cell(cell: &Cell, seed: u64) -> u64 {
    nth_seed(seed ^ fingerprint(cell), 0)
}

const fn seed_of_slot(cell: u64, nth: u32) -> u64 {
    nth_seed(cell ^ nth_seed(nth as u64, 0), 0)
}

/// How far a schedule has come, in slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Settled, by a run that counts or by giving up.
    pub done: u32,
    /// Planned by now; surprises and probabilities may add some.
    pub planned: u32,
}

impl Schedule {
    /// Plans so many runs for each cell, or as many as its prediction asks for.
    #[must_use]
    pub fn new(cells: Vec<Cell>, runs: u32, seed: u64) -> Self {
        let predicted = cells.into_iter().map(|cell| {
            let [a, b] = &cell.boxes;
            let prediction =
                oracle::predict([&a.spec, &b.spec], &cell.way, cell.forging, &cell.conditions);
            (cell, prediction)
        });
        Self::with_predictions(predicted, runs, seed)
    }

    /// The same with predictions from elsewhere.
    #[must_use]
    pub fn with_predictions(
        cells: impl IntoIterator<Item = (Cell, Option<Prediction>)>,
        runs: u32,
        seed: u64,
    ) -> Self {
        let plans: Vec<_> = cells
            .into_iter()
            .map(|(cell, prediction)| Plan {
                seed: seed_of_cell(&cell, seed),
                cell,
                prediction,
                runs,
                slots: Vec::new(),
                voided: 0,
            })
            .collect();
        let mut schedule = Self { plans, ready: VecDeque::new(), out: BTreeSet::new() };
        for cell in 0..schedule.plans.len() {
            schedule.extend(cell);
        }
        schedule
    }

    /// Hands out a run. `None` means that there is none at present: what is out may bring more.
    pub fn next_job(&mut self) -> Option<Job> {
        let job = self.ready.pop_front()?;
        self.out.insert(job);
        Some(job)
    }

    /// Takes what came of a run that is out.
    pub fn handle(&mut self, job: Job, record: RunRecord) {
        self.settle(job, Some(record));
    }

    /// Takes note that a run could not be made. It counts as a void one.
    pub fn handle_abandoned(&mut self, job: Job) {
        self.settle(job, None);
    }

    fn settle(&mut self, job: Job, record: Option<RunRecord>) {
        if !self.out.remove(&job) {
            return;
        }
        let plan = &mut self.plans[job.cell];
        plan.handle(job.nth, record);
        if plan.slots[job.nth as usize].is_settled() {
            self.extend(job.cell);
        } else {
            self.ready.push_front(job);
        }
    }

    /// Gives a cell whose slots are all settled as many more as are certainly needed.
    fn extend(&mut self, cell: usize) {
        let plan = &mut self.plans[cell];
        if !plan.slots.iter().all(Slot::is_settled) {
            return;
        }
        let had = plan.slots.len();
        plan.slots.resize_with(plan.wanted().max(had), Slot::default);
        let new = (had..plan.slots.len()).map(|nth| {
            let nth = u32::try_from(nth).unwrap_or(u32::MAX);
            Job { cell, nth, seed: seed_of_slot(plan.seed, nth) }
        });
        self.ready.extend(new);
    }

    /// Whether every cell has had its runs.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ready.is_empty() && self.out.is_empty()
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let count = |slots: usize| u32::try_from(slots).unwrap_or(u32::MAX);
        let slots = || self.plans.iter().flat_map(|plan| &plan.slots);
        Progress {
            done: count(slots().filter(|slot| slot.is_settled()).count()),
            planned: count(slots().count()),
        }
    }

    /// What is known of a cell by now; `None` where there is no such cell.
    #[must_use]
    pub fn result(&self, cell: usize) -> Option<CellResult> {
        self.plans.get(cell).map(|plan| plan.clone().into_result())
    }

    /// What came of each cell, in the order in which they were planned. Those that have not had
    /// their runs are marked as pending.
    #[must_use]
    pub fn finish(self) -> Vec<CellResult> {
        self.plans.into_iter().map(Plan::into_result).collect()
    }
}

/// A cell and its slots.
#[derive(Debug, Clone)]
struct Plan {
    cell: Cell,
    prediction: Option<Prediction>,
    /// As many as were asked for.
    runs: u32,
    seed: u64,
    slots: Vec<Slot>,
    voided: u32,
}

#[derive(Debug, Clone)]
enum Slot {
    Open {
        tries: u32,
    },
    Counted(Box<RunRecord>),
    /// Tried too often; the last run, if it could be made.
    Void(Option<Box<RunRecord>>),
}

impl Default for Slot {
    fn default() -> Self {
        Self::Open { tries: 0 }
    }
}

impl Slot {
    const fn is_settled(&self) -> bool {
        !matches!(self, Self::Open { .. })
    }
}

impl Plan {
    fn handle(&mut self, nth: u32, record: Option<RunRecord>) {
        let slot = &mut self.slots[nth as usize];
        let record = record.map(Box::new);
        match (&mut *slot, record) {
            (_, Some(record)) if record.is_valid() => *slot = Slot::Counted(record),
            (Slot::Open { tries }, record) => {
                self.voided += 1;
                *tries += 1;
                if *tries >= MOST_TRIES {
                    *slot = Slot::Void(record);
                }
            }
            (Slot::Counted(_) | Slot::Void(_), _) => {}
        }
    }

    fn counted(&self) -> impl Iterator<Item = &RunRecord> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Counted(record) => Some(&**record),
            Slot::Open { .. } | Slot::Void(_) => None,
        })
    }

    fn rate(&self) -> Rate {
        let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
        let successes = count(self.counted().filter(|run| run.is_success()).count());
        let runs = count(self.counted().count());
        Rate::of(successes, runs)
    }

    /// Runs that ended otherwise than every run must.
    fn deviations(&self) -> u32 {
        let rate = self.rate();
        match self.prediction.as_ref().map(|prediction| &prediction.expect) {
            Some(Expect::MustSucceed) => rate.runs - rate.successes,
            Some(Expect::MustFail) => rate.successes,
            Some(Expect::Probability { .. }) | None => 0,
        }
    }

    /// How many slots are certainly needed, when all that there are have been settled.
    fn wanted(&self) -> usize {
        let wanted = match self.prediction.as_ref().map(|prediction| &prediction.expect) {
            Some(Expect::Probability { .. }) => {
                let rate = self.rate();
                let planned = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                (planned + runs_needed(rate.successes, rate.runs))
                    .max(self.runs)
                    .min(self.runs.max(MOST_RUNS))
            }
            Some(Expect::MustSucceed | Expect::MustFail) if self.deviations() > 0 => {
                self.runs + AFTER_SURPRISE
            }
            Some(Expect::MustSucceed | Expect::MustFail) | None => self.runs,
        };
        wanted as usize
    }

    fn verdict(&self) -> Verdict {
        let rate = self.rate();
        let complete = self.slots.iter().all(Slot::is_settled);
        if let Some(words) = self.surprise(rate, complete) {
            return Verdict::Surprise { words };
        }
        match (complete, &self.prediction) {
            (false, _) => Verdict::Pending,
            (true, _) if rate.runs < self.runs => Verdict::Void,
            (true, None) => Verdict::Unpredicted,
            (true, Some(_)) => Verdict::Agrees,
        }
    }

    fn surprise(&self, rate: Rate, complete: bool) -> Option<String> {
        let Rate { successes, runs, .. } = rate;
        match &self.prediction.as_ref()?.expect {
            Expect::MustSucceed if successes < runs => {
                Some(format!("must succeed, and {} of {runs} failed", runs - successes))
            }
            Expect::MustFail if successes > 0 => {
                Some(format!("must fail, and {successes} of {runs} succeeded"))
            }
            // Before its end a sample that grows until its interval is short enough says nothing.
            Expect::Probability { p, .. } if complete => {
                let interval = clopper_pearson(successes, runs, CONFIDENCE);
                (!interval.contains(*p)).then(|| {
                    format!(
                        "expected with probability {p:.3}, and {successes} of {runs} succeeded: \
                         between {:.3} and {:.3} at 99 %",
                        interval.low, interval.high
                    )
                })
            }
            Expect::MustSucceed | Expect::MustFail | Expect::Probability { .. } => None,
        }
    }

    fn into_result(self) -> CellResult {
        let successes: Vec<_> = self.counted().filter(|run| run.is_success()).collect();
        let over = |value: &dyn Fn(&RunRecord) -> Option<f64>| {
            quantiles(&mut successes.iter().filter_map(|run| value(run)).collect::<Vec<_>>())
        };
        let phase = |value: fn(&Phases) -> Option<f64>| over(&|run| value(&run.phases));
        CellResult {
            verdict: self.verdict(),
            explained: None,
            success: self.rate(),
            voided: self.voided,
            legs: over(&|run| run.legs),
            phases: PhaseQuantiles {
                gather_ms: phase(|phases| phases.gather_ms),
                signal_ms: phase(|phases| phases.signal_ms),
                first_packet_ms: phase(|phases| phases.first_packet_ms),
                established_ms: phase(|phases| phases.established_ms),
                first_byte_ms: phase(|phases| phases.first_byte_ms),
            },
            runs: self
                .slots
                .into_iter()
                .filter_map(|slot| match slot {
                    Slot::Counted(record) | Slot::Void(Some(record)) => Some(*record),
                    Slot::Open { .. } | Slot::Void(None) => None,
                })
                .collect(),
            cell: self.cell,
            prediction: self.prediction,
        }
    }
}

/// How many more runs a rate certainly needs until it is known to ± [`HALF_WIDTH`]: the interval
/// is shortest where all of them end alike.
fn runs_needed(successes: u32, runs: u32) -> u32 {
    let known = |successes, runs| wilson(successes, runs, Z_95).half_width() <= HALF_WIDTH;
    (0..MOST_RUNS)
        .find(|more| known(successes, runs + more) || known(successes + more, runs + more))
        .unwrap_or(MOST_RUNS)
}

/// A number that tells cells apart: FNV-1a over what their document says.
fn fingerprint(cell: &Cell) -> u64 {
    let document = serde_json::to_vec(cell).unwrap_or_default();
    document.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
