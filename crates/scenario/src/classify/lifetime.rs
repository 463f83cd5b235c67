//! How long something lasts when nobody speaks, found by bisection.

use std::time::Duration;

use super::probe::Probe;
use super::reading::{NotSeen, Reading};

/// The longest silence that is tried: what lasts longer lasts for ever.
const LONGEST: Duration = Duration::from_secs(40 * 24 * 3600);
/// The shortest silence that is tried.
const SHORTEST: Duration = Duration::from_secs(1);
/// Each first guess is so many times the one before.
const STRIDE: u32 = 4;
/// A time is known when its bounds are apart by less than one part in so many.
const PRECISION: u32 = 500;

/// What became of it after a silence.
enum Trial {
    /// It lasts longer than this.
    Alive(Duration),
    /// It lasts no longer than this.
    Dead(Duration),
}

/// Reads how long something lasts. `prepare` brings it about, its last packet last; `is_alive` asks
/// once whether it is still there.
pub(super) fn lifetime<T>(
    probe: &mut Probe<'_>,
    prepare: impl Fn(&mut Probe<'_>) -> Option<T>,
    is_alive: impl Fn(&mut Probe<'_>, &T) -> bool,
) -> Reading {
    let mut search = Search { longer_than: Duration::ZERO, at_most: None };
    let mut guess = SHORTEST;
    loop {
        match attempt(probe, guess, &prepare, &is_alive) {
            Ok(trial) => search.learn(&trial),
            Err(why) => return Reading::NotSeen(why),
        }
        let Some(next) = search.next_guess(guess) else { return search.reading() };
        guess = next;
    }
}

fn attempt<T>(
    probe: &mut Probe<'_>,
    silence: Duration,
    prepare: impl Fn(&mut Probe<'_>) -> Option<T>,
    is_alive: impl Fn(&mut Probe<'_>, &T) -> bool,
) -> Result<Trial, NotSeen> {
    probe.restart();
    let prepared = prepare(probe).ok_or(NotSeen::LeavesNoTrace)?;
    // The box saw the last packet somewhen between its leaving and now, and sees the question
    // likewise: both bounds are kept on the safe side.
    let (earliest, latest) = (probe.sent_at(), probe.now());
    if !probe.wait(silence) {
        return Err(NotSeen::TakesTooLong);
    }
    probe.arrivals();
    let asked = probe.now();
    if is_alive(probe, &prepared) {
        return Ok(Trial::Alive(asked - latest));
    }
    Ok(Trial::Dead(probe.now() - earliest))
}

struct Search {
    longer_than: Duration,
    at_most: Option<Duration>,
}

impl Search {
    fn learn(&mut self, trial: &Trial) {
        match trial {
            Trial::Alive(time) => self.longer_than = self.longer_than.max(*time),
            Trial::Dead(time) => {
                self.at_most = Some(self.at_most.map_or(*time, |known| known.min(*time)));
            }
        }
    }

    /// The silence to try next; none if enough is known.
    fn next_guess(&self, last: Duration) -> Option<Duration> {
        let Some(at_most) = self.at_most else {
            return (last < LONGEST).then_some(last * STRIDE);
        };
        let middle = self.longer_than + (at_most.saturating_sub(self.longer_than)) / 2;
        let is_known = at_most.saturating_sub(self.longer_than) * PRECISION <= at_most;
        // Where the bench's own delays are as long as the time, it gets no better.
        (!is_known && middle != last).then_some(middle)
    }

    fn reading(&self) -> Reading {
        Reading::Lasts { longer_than: self.longer_than, at_most: self.at_most }
    }
}
