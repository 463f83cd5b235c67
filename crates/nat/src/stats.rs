//! Figures of one box since it was made.

use crate::journal::DropReason;

/// What a box has done so far; all counts are packets or sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stats {
    /// Packets that went to the other side, translated where the box translates.
    pub forwarded: u64,
    /// Packets that left as they came because tracking called them invalid.
    pub untranslated: u64,
    /// Sessions that were opened.
    pub sessions_created: u64,
    /// Sessions that ended, for whatever cause.
    pub sessions_ended: u64,
    /// RSTs and ICMP errors of its own.
    pub answered: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Stats {
    pub(crate) const fn new() -> Self {
        Self {
            forwarded: 0,
            untranslated: 0,
            sessions_created: 0,
            sessions_ended: 0,
            answered: 0,
            dropped: [0; DropReason::COUNT],
        }
    }

    /// How many packets were dropped for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many packets were dropped.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) const fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}
