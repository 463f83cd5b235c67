//! Waiting on many descriptors with an absolute deadline, for a thread that keeps time.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use crate::error::{Context, DeviceError};
use crate::syscall;

/// Lets the calling thread's timers fire within 1 ns of their time instead of 50 µs.
///
/// # Errors
///
/// Fails where the kernel has no PR_SET_TIMERSLACK.
pub fn sharpen_timers() -> Result<(), DeviceError> {
    prctl::set_timerslack(1).map_err(io::Error::from).on("prctl PR_SET_TIMERSLACK", "thread")
}

/// How urgent a thread is among those that run before ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Yields to [`Urgency::Timekeeper`].
    Worker,
    /// Its wake-ups are what others are measured by.
    Timekeeper,
}

/// Lets the calling thread run before ordinary ones, so that a busy machine does not falsify what
/// it measures. To be used by threads that mostly sleep.
///
/// # Errors
///
/// Fails without CAP_SYS_NICE in the initial user namespace; the thread then runs as before.
pub fn run_before_others(urgency: Urgency) -> Result<(), DeviceError> {
    let priority = match urgency {
        Urgency::Worker => 1,
        Urgency::Timekeeper => 2,
    };
    syscall::round_robin_scheduling(priority).on("sched_setscheduler SCHED_RR", "thread")
}

/// Descriptors that are waited for together.
#[derive(Debug)]
pub struct ReadableSet<'fd> {
    polled: Vec<PollFd<'fd>>,
}

impl<'fd> ReadableSet<'fd> {
    /// A set of descriptors, known by their place in it.
    pub fn new(descriptors: impl IntoIterator<Item = BorrowedFd<'fd>>) -> Self {
        let polled = descriptors.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        Self { polled: polled.collect() }
    }

    /// Waits until one is readable or `deadline` has come. `false` says that the deadline came.
    ///
    /// # Errors
    ///
    /// Fails where a descriptor cannot be polled; a signal is no failure.
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = TimeSpec::from_duration(left.min(Duration::from_secs(3600)));
        match ppoll(&mut self.polled, Some(timeout), None) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the descriptor at that place was readable, or in error, after the last wait.
    #[must_use]
    pub fn is_readable(&self, place: usize) -> bool {
        self.polled.get(place).and_then(PollFd::any).unwrap_or(false)
    }
}
