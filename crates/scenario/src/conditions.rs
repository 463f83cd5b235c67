//! The conditions of a run, apart from its boxes: how far, how reliable, how punctual.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::milliseconds;

/// How long a login may take beside its round trips: two SYNs of a Linux kernel leave before that.
const LOGIN: Duration = Duration::from_millis(2200);

/// The same where packets are lost: five SYNs.
const LOGIN_WITH_LOSS: Duration = Duration::from_secs(8);

/// The conditions of a run. Delay, jitter, loss and rate are those of each link to the core of the
/// star: a packet between two hosts crosses two of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Conditions {
    /// One way between any two of `a`, `b` and `c`; half of it on each link to the core.
    #[serde(rename = "leg-ms", with = "milliseconds")]
    pub leg: Duration,
    /// Added to each packet's delay on each link, uniform between zero and this.
    #[serde(rename = "jitter-ms", with = "milliseconds")]
    pub jitter: Duration,
    /// Probability between 0 and 1 that a link loses a packet.
    pub loss: f64,
    /// Bits per second of each link; `None` leaves the world's own.
    pub rate: Option<u64>,
    /// How much later than agreed `a` sends its first SYN.
    #[serde(rename = "skew-a-ms", with = "milliseconds")]
    pub skew_a: Duration,
    /// The same for `b`.
    #[serde(rename = "skew-b-ms", with = "milliseconds")]
    pub skew_b: Duration,
    /// Whether the core drops packets whose source address does not belong where they come from
    /// (RFC 3704 §2.2), as most networks of brokers do.
    pub source_validation: bool,
}

impl Conditions {
    /// Legs of that length; nothing is lost, nobody is late, sources are not checked.
    #[must_use]
    pub const fn with_leg(leg: Duration) -> Self {
        Self {
            leg,
            jitter: Duration::ZERO,
            loss: 0.0,
            rate: None,
            skew_a: Duration::ZERO,
            skew_b: Duration::ZERO,
            source_validation: false,
        }
    }

    /// How long a login may take.
    #[must_use]
    pub fn login_timeout(&self) -> Duration {
        let patience = if self.loss > 0.0 { LOGIN_WITH_LOSS } else { LOGIN };
        patience + 4 * (self.leg + 2 * self.jitter)
    }
}
