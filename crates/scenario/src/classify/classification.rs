//! What was found out about one box.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use simopen_nat::{MiddleboxSpec, Role};

use super::axis::Axis;
use super::expectation::expected;
use super::reading::{NotSeen, Reading, in_words};
use crate::result::{Difference, Unseen};

/// What was found out about one box: a reading of each axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Classification {
    readings: BTreeMap<Axis, Reading>,
}

impl Classification {
    /// The reading of an axis.
    #[must_use]
    pub fn reading(&self, axis: Axis) -> &Reading {
        const NOTHING: &Reading = &Reading::NotSeen(NotSeen::LeavesNoTrace);
        self.readings.get(&axis).unwrap_or(NOTHING)
    }

    /// The axes that were not seen, and why.
    #[must_use]
    pub fn unseen(&self) -> Vec<Unseen> {
        let why = |axis: &Axis| match self.reading(*axis) {
            Reading::NotSeen(why) => Some(Unseen { axis: axis.to_string(), why: why.to_string() }),
            Reading::Is(_)
            | Reading::OneOf(_)
            | Reading::Above(_)
            | Reading::Lasts { .. }
            | Reading::EndsIdle { .. } => None,
        };
        Axis::ALL.iter().filter_map(why).collect()
    }

    /// Whether an axis has a reading.
    pub(super) fn has(&self, axis: Axis) -> bool {
        self.readings.contains_key(&axis)
    }

    /// Notes a value.
    pub(super) fn is(&mut self, axis: Axis, value: impl Serialize) {
        self.note(axis, Reading::is(value));
    }

    /// Notes that an axis is hidden.
    pub(super) fn masked(&mut self, axis: Axis, by: Axis) {
        self.note(axis, Reading::NotSeen(NotSeen::MaskedBy(by)));
    }

    /// Notes a reading.
    pub(super) fn note(&mut self, axis: Axis, reading: Reading) {
        self.readings.insert(axis, reading);
    }

    /// The value of an axis, if exactly one was read.
    pub(super) fn value<T: DeserializeOwned>(&self, axis: Axis) -> Option<T> {
        match self.reading(axis) {
            Reading::Is(value) => serde_json::from_value(value.clone()).ok(),
            Reading::OneOf(_)
            | Reading::Above(_)
            | Reading::Lasts { .. }
            | Reading::EndsIdle { .. }
            | Reading::NotSeen(_) => None,
        }
    }

    /// Whether the box translates.
    pub(super) fn translates(&self) -> bool {
        self.value(Axis::Role) == Some(Role::Nat)
    }
}

/// Where a box is not what a specification says. Axes that were not seen agree with everything.
#[must_use]
pub fn compare(found: &Classification, spec: &MiddleboxSpec) -> Vec<Difference> {
    let difference = |axis: &Axis| {
        let (says, reading) = (expected(*axis, spec), found.reading(*axis));
        (!reading.agrees(&says)).then(|| Difference {
            axis: axis.to_string(),
            specified: in_words(&says),
            measured: reading.to_string(),
        })
    };
    Axis::ALL.iter().filter_map(difference).collect()
}
