//! What came of an experiment, beside what must come of it.

use std::fmt;

use super::experiment::Experiment;
use crate::trial::Violation;

/// What came of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether bytes went both ways, with the broker and without.
    pub connected: bool,
    /// Why not, in words; empty where it connected.
    pub words: String,
    /// What must never happen and did.
    pub violations: Vec<Violation>,
}

/// An outcome that must not be. May grow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Surprise {
    /// It connected where no run may.
    Connected {
        /// Why not, by the oracle.
        why_not: String,
    },
    /// It failed where every run must connect.
    Failed {
        /// Why it must, by the oracle.
        why: String,
        /// What came.
        words: String,
    },
    /// A rule was broken that holds whatever the boxes are.
    Violated(Violation),
}

/// How an outcome compares. Complete: it will not grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// As it must.
    AsForetold,
    /// Nobody said what must come of it, and no rule was broken.
    Unforetold,
    /// As it must not.
    Otherwise(Surprise),
}

/// Holds an outcome against the oracle, and against the rules.
#[must_use]
pub fn compare(experiment: &Experiment, outcome: &Outcome) -> Compared {
    if let Some(violation) = outcome.violations.first() {
        return Compared::Otherwise(Surprise::Violated(violation.clone()));
    }
    match experiment.must() {
        None => Compared::Unforetold,
        Some((must, _)) if must == outcome.connected => Compared::AsForetold,
        Some((true, why)) => {
            Compared::Otherwise(Surprise::Failed { why, words: outcome.words.clone() })
        }
        Some((false, why_not)) => Compared::Otherwise(Surprise::Connected { why_not }),
    }
}

impl Surprise {
    /// Whether two are of one kind, whatever the words.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connected { .. }, Self::Connected { .. })
            | (Self::Failed { .. }, Self::Failed { .. }) => true,
            (Self::Violated(own), Self::Violated(other)) => own.rule == other.rule,
            (Self::Connected { .. } | Self::Failed { .. } | Self::Violated(_), _) => false,
        }
    }
}

impl fmt::Display for Surprise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { why_not } => {
                write!(formatter, "connects, and must not: {why_not}")
            }
            Self::Failed { why, words } => {
                write!(formatter, "fails ({words}), and must connect: {why}")
            }
            Self::Violated(Violation { rule, words }) => {
                write!(formatter, "breaks a rule, {rule}: {words}")
            }
        }
    }
}
