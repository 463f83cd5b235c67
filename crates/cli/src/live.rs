//! Progress on standard error while an experiment runs.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use simopen_scenario::report::grid::{Grid, Mark, title};
use simopen_scenario::report::markup::plain;
use simopen_scenario::report::text::{self, Progress, Screen};
use simopen_scenario::result::{CellResult, Results};

use crate::output;

/// Between two pictures on a terminal.
const FRAME: Duration = Duration::from_millis(250);
/// Between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// The estimate of what is left needs so many runs.
const EARLY: u32 = 24;

/// Progress that some threads report and one thread shows.
pub(crate) struct Live {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    grid: Grid,
    progress: Progress,
    /// What is to be said beside the progress, such as surprises.
    lines: Vec<String>,
    surprised: Vec<usize>,
    is_over: bool,
}

impl Live {
    /// Nothing has been run yet of these.
    fn new(planned: &Results) -> Self {
        let progress = Progress { done: 0, planned: 0, elapsed: Duration::ZERO, left: None };
        let grid = Grid::of(planned);
        let state =
            State { grid, progress, lines: Vec::new(), surprised: Vec::new(), is_over: false };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }

    /// Shows the progress of an experiment until it is over.
    pub(crate) fn during<R>(planned: &Results, experiment: impl FnOnce(&Self) -> R) -> R {
        let live = Self::new(planned);
        thread::scope(|scope| {
            scope.spawn(|| live.show(output::progress_screen()));
            let outcome = experiment(&live);
            live.end();
            outcome
        })
    }

    /// Takes in what has changed. It draws nothing: whoever calls it has to go on.
    pub(crate) fn tell(
        &self,
        [done, planned]: [u32; 2],
        elapsed: Duration,
        cell: usize,
        result: &CellResult,
    ) {
        let mut state = self.lock();
        let left = (done >= EARLY)
            .then(|| elapsed.mul_f64(f64::from(planned.saturating_sub(done)) / f64::from(done)));
        state.progress = Progress { done, planned, elapsed, left };
        state.grid.update(cell, Mark::of(result));
        if result.is_surprise() && !state.surprised.contains(&cell) {
            state.surprised.push(cell);
            state.lines.push(format!("surprise: {}", plain(&title(&result.cell), 200)));
        }
    }

    /// Shows progress until [`Live::end`].
    fn show(&self, screen: Option<Screen>) {
        let mut drawn = 0;
        loop {
            let state = self.lock();
            let pause = if screen.is_some() { FRAME } else { LINE };
            let over = |state: &mut State| !state.is_over;
            let (mut state, _) = self
                .ended
                .wait_timeout_while(state, pause, over)
                .unwrap_or_else(PoisonError::into_inner);
            let lines = std::mem::take(&mut state.lines);
            let is_over = state.is_over;
            let picture = match screen {
                Some(_) if is_over => String::new(),
                Some(screen) => text::live(&state.grid, &state.progress, &screen),
                None if is_over => String::new(),
                None => text::progress_line(&state.progress, 100).trim_start().to_owned() + "\n",
            };
            drop(state);
            let mut frame = String::new();
            if drawn > 0 {
                // Up to where the last picture began, and away with it (ECMA-48: CPL, ED).
                frame.push_str(&format!("\x1b[{drawn}F\x1b[J"));
            }
            lines.iter().for_each(|line| frame.push_str(&format!("{line}\n")));
            frame.push_str(&picture);
            drawn = if screen.is_some() { picture.lines().count() } else { 0 };
            // Where nobody reads there is nobody to be told either.
            let _ = io::stderr().lock().write_all(frame.as_bytes());
            if is_over {
                return;
            }
        }
    }

    /// Takes the last picture away.
    fn end(&self) {
        self.lock().is_over = true;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
