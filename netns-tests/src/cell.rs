//! One cell of a table: an attempt, and what must come of it.

use std::fmt::Write;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use simopen_lab::attempt::{self, AttemptSpec};
use simopen_lab::cancel::Cancel;
use simopen_lab::result::AttemptResult;
use simopen_nat::MiddleboxSpec;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Technique;
use simopen_scenario::run::{Outcome, TimelineEntry};
use simopen_scenario::star::Star;

/// Attempts that one process makes at a time: they mostly wait.
const BESIDE: usize = 4;

/// One way between two hosts, unless a cell says otherwise. A run on which a packet was later than
/// a quarter of it is void, and on a busy machine 10 ms happen seldom.
const LEG: Duration = Duration::from_millis(40);

/// An attempt and what must come of it.
#[derive(Clone)]
pub struct Cell {
    /// Row and column, for a person.
    pub name: String,
    /// What is tried.
    pub attempt: AttemptSpec,
    /// What must come of it.
    pub expected: Expected,
}

/// What must come of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// It connects, and bytes still flow when the broker is gone.
    Connects,
    /// The same, and the journal proves that nothing but the forged packets did it: no bare SYN
    /// reached a host, and each host got one SYN-ACK, which came from the broker's port.
    ConnectsByForgery,
    /// It meets at the relay: bytes flow, none of them between the two hosts, and they stop with the
    /// relay.
    Meets,
    /// It fails with this cause; "no answer" only after two SYNs of each side that dials.
    Fails(Cause),
    /// It fails, and the sentence that says why has these words in it.
    FailsSaying(&'static str),
}

/// A cell that has run.
pub struct Ran {
    /// The cell.
    pub cell: Cell,
    /// What came of it.
    pub result: AttemptResult,
}

impl Cell {
    /// A cell with these boxes, alike on both sides, and 64 KiB each way where it connects.
    #[must_use]
    pub fn new(
        row: &str,
        middlebox: MiddleboxSpec,
        technique: Technique,
        expected: Expected,
    ) -> Self {
        let mut attempt = AttemptSpec {
            star: Star { boxes: [Some(middlebox); 2], ..Star::with_leg(LEG) },
            ..AttemptSpec::new(technique)
        };
        attempt.trial.bytes = 64 * 1024;
        attempt.trial.bytes_after_cut = 16 * 1024;
        Self { name: format!("{row}: {technique}"), attempt, expected }
    }

    /// The same attempt, changed, with another outcome.
    #[must_use]
    pub fn but(
        mut self,
        what: &str,
        change: impl FnOnce(&mut AttemptSpec),
        expected: Expected,
    ) -> Self {
        self.name = format!("{}, {what}", self.name);
        change(&mut self.attempt);
        self.expected = expected;
        self
    }

    /// The failing control: all the same, but the broker keeps its forged packets back.
    #[must_use]
    pub fn without_forging(self) -> Self {
        let silence = Expected::Fails(Cause::NoAnswer);
        self.but("forging withheld", |attempt| attempt.trial.forging = false, silence)
    }
}

impl Ran {
    /// What is wrong with the outcome, if anything is.
    fn complaint(&self) -> Option<String> {
        let result = &self.result;
        let cause = result.failures[0].or(result.failures[1]).map(|failure| failure.cause);
        let said = result.cause().unwrap_or_default();
        if !result.is_valid() {
            return Some(format!("void {} times: {:?}", result.voided + 1, result.record.void));
        }
        match self.cell.expected {
            Expected::Connects | Expected::ConnectsByForgery if !result.connected() => {
                Some(format!("must connect, but failed: {said}"))
            }
            Expected::Meets if !result.connected() => {
                Some(format!("must meet, but failed: {said}"))
            }
            Expected::Meets
                if result.record.outcome != Outcome::Relayed || !result.record.is_success() =>
            {
                Some(format!("bytes went past the relay: {:?}", result.record.direct))
            }
            Expected::Meets
                if result
                    .record
                    .delivered
                    .iter()
                    .any(|host| host.syns_sent + host.syn_acks > 0) =>
            {
                Some(format!("packets went between the two: {:?}", result.record.delivered))
            }
            Expected::Connects | Expected::ConnectsByForgery
                if result.record.direct != Some(true) =>
            {
                Some("connected, but not directly: nothing came through without the broker".into())
            }
            Expected::ConnectsByForgery if !result.proves_forged_open() => Some(format!(
                "connected, but not by the forged packets alone: {:?}",
                result.record.delivered
            )),
            Expected::Fails(_) | Expected::FailsSaying(_) if result.connected() => {
                Some("must fail, but connected".into())
            }
            Expected::Fails(expected) if cause != Some(expected) => {
                Some(format!("must fail as {expected}, but failed as {cause:?}: {said}"))
            }
            Expected::FailsSaying(words) if !said.contains(words) => {
                Some(format!("must fail saying \"{words}\", but said: {said}"))
            }
            _ if cause == Some(Cause::NoAnswer)
                && self.dialling().any(|place| result.record.delivered[place].syns_sent < 2) =>
            {
                Some(format!("gave up before two SYNs of who dials: {:?}", result.record.delivered))
            }
            Expected::Connects
            | Expected::ConnectsByForgery
            | Expected::Meets
            | Expected::Fails(_)
            | Expected::FailsSaying(_) => None,
        }
    }

    /// The places of the hosts that dial.
    fn dialling(&self) -> std::ops::Range<usize> {
        match self.cell.attempt.trial.technique {
            Technique::Relay(_) => 0..0,
            Technique::Direct | Technique::PunchAndListen => 0..1,
            Technique::SimultaneousOpen
            | Technique::SimultaneousOpenLowTtl
            | Technique::ForgedSynAck(_)
            | _ => 0..2,
        }
    }

    /// The cell and its outcome in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let result = &self.result;
        let outcome = match (result.record.legs, result.cause()) {
            (Some(legs), _) => format!("ok, {legs:.2} legs"),
            (None, Some(cause)) => format!("fails: {cause}"),
            (None, None) => "fails".to_owned(),
        };
        let voided = match result.voided {
            0 => String::new(),
            count => format!(" (after {count} void runs)"),
        };
        format!("{}: {outcome}{voided}", self.cell.name)
    }
}

/// One way between two hosts in a cell that says nothing else.
#[must_use]
pub const fn leg() -> Duration {
    LEG
}

/// Runs all cells, a few beside each other, and returns them in their order.
///
/// # Panics
///
/// Where an outcome is not as it must be: with the complaint and the timeline of each such cell.
#[must_use]
pub fn run_all(cells: Vec<Cell>) -> Vec<Ran> {
    let ran: Vec<Ran> = thread::scope(|scope| {
        let running: Vec<_> = cells.into_iter().map(|cell| scope.spawn(|| run(cell))).collect();
        running.into_iter().map(|thread| thread.join().expect("an attempt was made")).collect()
    });
    let mut complaints = String::new();
    for cell in &ran {
        println!("{}", cell.line());
        if let Some(complaint) = cell.complaint() {
            let story = told(&cell.result);
            write!(complaints, "\n{}: {complaint}\n{story}", cell.cell.name)
                .expect("a string takes all that is written");
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    ran
}

/// The timeline, a line for each entry.
#[must_use]
pub fn told(result: &AttemptResult) -> String {
    let line = |entry: &TimelineEntry| {
        let packet = entry.packet.as_deref().unwrap_or_default();
        format!("  {:9.3} ms {:6} {} {packet}\n", entry.at_ms, entry.host, entry.event)
    };
    result.record.timeline.iter().map(line).collect()
}

fn run(cell: Cell) -> Ran {
    let _place = Place::take();
    let result = attempt::run_valid(&cell.attempt, &Cancel::never());
    let result = result.unwrap_or_else(|error| panic!("{}: {error}", cell.name));
    Ran { cell, result }
}

/// One of the places in which attempts are made.
struct Place;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Place {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = FREED
            .wait_while(taken, |taken| *taken >= BESIDE)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}
