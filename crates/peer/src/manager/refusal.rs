//! Why something was not done, as commands tell it.

use core::fmt;

use super::words::{Refusal, RefusalKind, Tried};

impl Refusal {
    /// It was tried, and it failed.
    #[must_use]
    pub fn failed(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), kind: RefusalKind::Failed, tried: Vec::new() }
    }

    /// It could not be tried.
    #[must_use]
    pub fn not_tried(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), kind: RefusalKind::NotTried, tried: Vec::new() }
    }

    /// What was tried before it failed.
    #[must_use]
    pub fn after(self, tried: Vec<Tried>) -> Self {
        Self { tried, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl core::error::Error for Refusal {}
