//! How long to wait before the next login.

use std::time::Duration;

/// The first wait is up to this long: a broker that was killed is back soon.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Whoever was online for so long begins anew.
const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// Waits that double, each drawn between half and the whole, so that the peers of a broker that
/// comes back do not come all at once.
#[derive(Debug, Clone)]
pub(super) struct BackOff {
    ceiling: Duration,
    random: fn() -> u32,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { ceiling: FIRST, random: drawn }
    }
}

impl BackOff {
    /// The wait after another failure.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(LONGEST);
        // The first may be nothing at all: it spreads over the whole second.
        let floor = if ceiling == FIRST { Duration::ZERO } else { ceiling / 2 };
        floor + (ceiling - floor).mul_f64(self.fraction())
    }

    /// The wait that a broker has asked for, which says when it will be there again: up to half as
    /// long again, so that not all come at that moment.
    pub(super) fn restart(&mut self, within: Duration) -> Duration {
        self.ceiling = FIRST;
        let within = within.min(LONGEST * 10);
        within + (within / 2).max(FIRST).mul_f64(self.fraction())
    }

    /// Takes note that the last login lasted so long.
    pub(super) fn was_online(&mut self, lasted: Duration) {
        if lasted >= LONG_ENOUGH {
            self.ceiling = FIRST;
        }
    }

    fn fraction(&self) -> f64 {
        f64::from((self.random)()) / f64::from(u32::MAX)
    }
}

/// Where the system gives no random bytes the middle is as good as anything.
fn drawn() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(random: fn() -> u32) -> BackOff {
        BackOff { random, ..BackOff::default() }
    }

    fn waits(back_off: &mut BackOff) -> Vec<u64> {
        (0..9).map(|_| back_off.next().as_millis() as u64).collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_and_are_drawn_from_their_upper_half() {
        let shortest = waits(&mut with(|| 0));
        let longest = waits(&mut with(|| u32::MAX));
        assert_eq!(shortest, [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(longest, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn who_was_online_for_long_begins_anew_and_who_was_not_does_not() {
        let mut back_off = with(|| u32::MAX);
        for _ in 0..5 {
            back_off.next();
        }
        back_off.was_online(LONG_ENOUGH / 2);
        assert_eq!(back_off.next(), Duration::from_secs(32));
        back_off.was_online(LONG_ENOUGH);
        assert_eq!(back_off.next(), FIRST);
    }

    #[test]
    fn a_broker_that_restarts_is_not_tried_before_it_said() {
        for (random, seconds) in [(0, 4), (u32::MAX, 6)] {
            let mut back_off = with(if random == 0 { || 0 } else { || u32::MAX });
            assert_eq!(back_off.restart(Duration::from_secs(4)), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn two_peers_do_not_wait_alike() {
        let mut back_off = BackOff::default();
        let first: Vec<Duration> = (0..20).map(|_| back_off.restart(Duration::ZERO)).collect();
        assert!(first.iter().any(|wait| *wait != first[0]), "{first:?}");
    }
}
