//! Figures of a relay.

/// Why a connection was closed without being joined. May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It presented nothing within its time.
    Late,
    /// It had presented nothing, and newer connections took its place.
    Crowded,
    /// Nobody announced this value, or it is long over.
    Unknown,
    /// The value was announced over 30 s ago.
    Expired,
    /// The value, or this direction of it, was presented before.
    Used,
    /// The two directions of a carrier belong to different sides, or a value and a digest were
    /// mixed.
    Mixed,
    /// The other side did not come while the values lived.
    Alone,
    /// The pair was ended by its number.
    Ended,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::Crowded,
        Self::Unknown,
        Self::Expired,
        Self::Used,
        Self::Mixed,
        Self::Alone,
        Self::Ended,
    ];

    /// The word for it in figures and logs; whoever is refused never hears it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Crowded => "crowded",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Mixed => "mixed",
            Self::Alone => "alone",
            Self::Ended => "ended",
        }
    }
}

/// What happened since the start. May grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Pairings that were announced.
    pub opened: u64,
    /// Announcements that were refused: a limit, or a number or value that is in use.
    pub not_opened: u64,
    /// Pairs that were joined.
    pub joined: u64,
    /// Pairings that went without being joined.
    pub expired: u64,
    /// Joined pairs that were closed because one side was closed for over 30 s.
    pub half_closed: u64,
    /// Pairs and pairings that were ended by their number.
    pub ended: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Stats {
    /// Connections that were refused for this reason.
    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused.get(why as usize).copied().unwrap_or_default()
    }

    pub(crate) fn count(&mut self, why: Refusal) {
        if let Some(count) = self.refused.get_mut(why as usize) {
            *count += 1;
        }
    }
}
