//! The timers of a specification, made ready for the path of every packet.

use core::time::Duration;

use simopen_packet::Timestamp;

use super::state::TcpState;
use crate::spec::{IdleKiller, TcpTimers};

/// How long a session lives without traffic, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Lifetime(u64);

impl Lifetime {
    /// For ever.
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// At least a nanosecond: a deadline lies behind the packet that set it.
    fn new(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1))
    }

    /// When a session ends that saw its last packet at `now`.
    #[inline]
    pub(crate) const fn from(self, now: Timestamp) -> Timestamp {
        Timestamp::from_nanos(now.as_nanos().saturating_add(self.0))
    }
}

/// The lifetime in each state, and its upper bounds.
#[derive(Clone, Debug)]
pub(crate) struct Lifetimes {
    by_state: [Lifetime; TcpState::ALL.len()],
    pub(crate) close: Lifetime,
    pub(crate) unacknowledged: Lifetime,
    pub(crate) retransmitting: Lifetime,
}

impl Lifetimes {
    /// The lifetimes that the timers say, and the idle killer of established connections.
    pub(crate) fn new(timers: &TcpTimers, killer: Option<IdleKiller>) -> Self {
        let of = |state: TcpState| {
            let timer = state.timer(timers);
            let killed = killer.filter(|_| state == TcpState::Established);
            Lifetime::new(killed.map_or(timer, |killer| killer.after.min(timer)))
        };
        Self {
            by_state: TcpState::ALL.map(of),
            close: Lifetime::new(timers.close),
            unacknowledged: Lifetime::new(timers.unacknowledged),
            retransmitting: Lifetime::new(timers.retransmitting),
        }
    }

    /// The lifetime in a state.
    #[inline]
    pub(crate) const fn of(&self, state: TcpState) -> Lifetime {
        self.by_state[state as usize]
    }
}
