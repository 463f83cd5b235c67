//! How long a connection's segments take, and when Linux sends one again.

use std::time::Duration;

use simopen_packet::{SeqNumber, Timestamp};

/// The least that Linux adds to the smoothed round trip (`TCP_RTO_MIN`).
const LEAST: Duration = Duration::from_millis(200);
/// What Linux waits for a first probe of a path that it has not measured (`TCP_TIMEOUT_INIT`).
const UNMEASURED_PROBE: Duration = Duration::from_secs(1);
/// What it waits after that (`TCP_TIMEOUT_FALLBACK`).
const UNMEASURED: Duration = Duration::from_secs(3);
/// What Linux adds to two round trips where more than one segment is on the way: two ticks.
const TICKS: Duration = Duration::from_millis(8);
/// The longest wait (`TCP_RTO_MAX`).
const LONGEST: Duration = Duration::from_secs(120);

/// The round trips of segments that were sent once (RFC 6298 §3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    pub(super) shortest: Option<Duration>,
    /// Smoothed, and how much it varies.
    smoothed: Option<[Duration; 2]>,
    timed: Option<(SeqNumber, Timestamp)>,
    /// How many segments left that had left before.
    pub(super) sent_again: u64,
    /// When the first unacknowledged segment is sent again, if nothing comes before.
    due: Option<Timestamp>,
    /// How often that was done since the last acknowledgment.
    repeats: u32,
}

impl RoundTrip {
    /// A segment that ends before `end` leaves for the first time.
    pub(super) fn sent(&mut self, end: SeqNumber, now: Timestamp) {
        self.timed.get_or_insert((end, now));
    }

    /// What leaves again is not timed.
    pub(super) fn repeated(&mut self) {
        self.sent_again += 1;
        self.timed = None;
    }

    /// Everything up to `acknowledgment` has arrived.
    pub(super) fn acknowledged(&mut self, acknowledgment: SeqNumber, now: Timestamp) {
        if let Some((end, sent)) = self.timed
            && end.at_or_precedes(acknowledgment)
        {
            self.measured(now - sent);
            self.timed = None;
        }
    }

    /// RFC 6298 §2.2 and §2.3.
    fn measured(&mut self, trip: Duration) {
        self.shortest = Some(self.shortest.map_or(trip, |shortest| shortest.min(trip)));
        self.smoothed = Some(match self.smoothed {
            None => [trip, trip / 2],
            Some([smoothed, variation]) => {
                [(smoothed * 7 + trip) / 8, (variation * 3 + smoothed.abs_diff(trip)) / 4]
            }
        });
    }

    /// When to send again what is not acknowledged.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Something was sent or acknowledged, and this much is on the way now.
    pub(super) fn rearm(&mut self, on_the_way: Flight, now: Timestamp) {
        self.repeats = 0;
        self.due = match on_the_way {
            Flight::Empty => None,
            Flight::One | Flight::More => Some(now + self.patience(on_the_way)),
        };
    }

    /// The first segment was sent again: the next time it is later.
    pub(super) fn back_off(&mut self, probes: bool, now: Timestamp) {
        // The probe stands for no timeout yet (RFC 8985 §7.3).
        let doublings = if probes { self.repeats } else { self.repeats + 1 };
        self.repeats += 1;
        let timeout = self.timeout().saturating_mul(1 << doublings.min(10));
        self.due = Some(now + timeout.min(LONGEST));
    }

    /// How long Linux waits before it sends a loss probe (RFC 8985 §7.2).
    fn patience(&self, on_the_way: Flight) -> Duration {
        let Some([smoothed, _]) = self.smoothed else {
            return UNMEASURED_PROBE;
        };
        let allowance = if on_the_way == Flight::One { LEAST } else { TICKS };
        self.timeout().min(smoothed * 2 + allowance)
    }

    /// RFC 6298 §2.3 with the least variation of Linux.
    fn timeout(&self) -> Duration {
        self.smoothed
            .map_or(UNMEASURED, |[smoothed, variation]| smoothed + (variation * 4).max(LEAST))
    }
}

/// How much is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// Nothing.
    Empty,
    /// One segment.
    One,
    /// More than one.
    More,
}
