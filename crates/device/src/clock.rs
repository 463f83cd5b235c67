//! The kernel's monotonic clock as the machines' time.

use std::time::Instant;

use simopen_packet::Timestamp;

/// Counts nanoseconds from its origin. All parts of one world share one clock, so that their
/// timelines fit together.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Returns the time since the origin.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// Returns the time from the origin to `instant`; zero for earlier ones.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        let elapsed = instant.saturating_duration_since(self.origin);
        Timestamp::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the instant of `at`, for a runtime's timers.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.origin + (at - Timestamp::ZERO)
    }
}
