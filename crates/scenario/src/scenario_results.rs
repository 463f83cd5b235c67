//! What came of the scenario of a file: each attempt and tunnel held against what the file says.

mod words;

use std::time::Duration;

use crate::cell::{Cell, Way};
use crate::conditions::Conditions;
use crate::file::{Attempt, Expected, Scenario, Survival, Tunnel};
use crate::prediction::{Expect, Prediction};
use crate::result::{CellResult, Results, Verdict};
use crate::run::{Outcome, RunRecord};
use crate::schedule::{Job, Schedule};

pub use self::words::told;

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct ScenarioResults {
    /// In the documented schema.
    pub results: Results,
    /// The name of the attempt or tunnel that each cell belongs to.
    pub names: Vec<String>,
}

/// A run that has to be made. Complete: it will not grow.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'s> {
    /// Of an attempt, in one of its ways.
    Attempt(&'s Attempt, &'s Way, Job),
    /// Through a proxy.
    Tunnel(&'s Tunnel, Job),
}

impl Wanted<'_> {
    /// What all chance of the run follows from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        match self {
            Self::Attempt(_, _, job) | Self::Tunnel(_, job) => job.seed,
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Attempt(attempt, way, _) => format!("{}, {way}", attempt.name),
            Self::Tunnel(tunnel, _) => tunnel.name.clone(),
        }
    }
}

impl ScenarioResults {
    /// Makes all runs of all attempts of a scenario, then of all its tunnels. `results` hold
    /// nothing yet; their seed is that of all runs. `runs` is how often each attempt is made, if
    /// not as often as the file says.
    ///
    /// # Errors
    ///
    /// The first that `make` gives, which makes one run.
    pub fn gather<E>(
        scenario: &Scenario,
        results: Results,
        runs: Option<u32>,
        mut make: impl FnMut(Wanted<'_>) -> Result<RunRecord, E>,
    ) -> Result<Self, E> {
        let mut all = Self { results, names: Vec::new() };
        for attempt in &scenario.attempts {
            let cells = attempt.ways.iter().map(|way| {
                (scenario.cell(attempt, way), prediction(&attempt.name, attempt.expect))
            });
            let runs = runs.unwrap_or(attempt.runs);
            all.add(&attempt.name, cells.collect(), runs, &mut |way, job| {
                make(Wanted::Attempt(attempt, way, job))
            })?;
        }
        for tunnel in &scenario.tunnels {
            let cell = Cell {
                boxes: scenario.boxes_of_tunnel(tunnel),
                way: Way::Program("http-connect".to_owned()),
                forging: false,
                conditions: Conditions::with_leg(Duration::ZERO),
            };
            let cells = vec![(cell, prediction(&tunnel.name, tunnel.expect))];
            all.add(&tunnel.name, cells, runs.unwrap_or(1), &mut |_, job| {
                make(Wanted::Tunnel(tunnel, job))
            })?;
        }
        all.results.complete = true;
        Ok(all)
    }

    /// Whether everything came out as the file expects. What is void did not.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        let fits =
            |cell: &CellResult| matches!(cell.verdict, Verdict::Agrees | Verdict::Unpredicted);
        self.results.complete && self.results.cells.iter().all(fits)
    }

    /// Runs cells until their schedule is done, and adds them.
    fn add<E>(
        &mut self,
        name: &str,
        cells: Vec<(Cell, Option<Prediction>)>,
        runs: u32,
        make: &mut dyn FnMut(&Way, Job) -> Result<RunRecord, E>,
    ) -> Result<(), E> {
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
        let mut schedule = Schedule::with_predictions(unpredicted, runs, self.results.seed);
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

/// A connection that was held and came out otherwise than the file says is a failed run.
#[must_use]
pub fn held_as_expected(attempt: &Attempt, mut record: RunRecord, held: Option<bool>) -> RunRecord {
    let words = match (attempt.hold.and_then(|hold| hold.expect), held) {
        (Some(Survival::Survives), Some(false)) => "it connected, but did not survive",
        (Some(Survival::Breaks), Some(true)) => "it connected, and survived what must break it",
        _ => return record,
    };
    record.outcome = Outcome::Failed { cause: "unspecified".to_owned(), words: words.to_owned() };
    record
}
