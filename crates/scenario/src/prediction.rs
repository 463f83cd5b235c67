//! What must come of a cell, and why.

use serde::{Deserialize, Serialize};

/// What must come of a cell. Read from specifications, never from results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Prediction {
    /// How often it succeeds.
    pub expect: Expect,
    /// The rule that says so, in one clause.
    pub why: String,
}

/// How often a cell succeeds. Complete: it will not grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Every run connects.
    MustSucceed,
    /// No run connects.
    MustFail,
    /// A run connects with this probability.
    Probability {
        /// Between 0 and 1.
        p: f64,
        /// Where the number comes from.
        formula: String,
    },
}
