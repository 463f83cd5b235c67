//! What must come of a cell, by reasoning from the specifications of its boxes.

use simopen_nat::MiddleboxSpec;

use crate::cell::Way;
use crate::conditions::Conditions;
use crate::prediction::Prediction;

/// Says what must come of a cell; `None` where nothing can be said.
#[must_use]
pub const fn predict(
    _boxes: [&MiddleboxSpec; 2],
    _way: &Way,
    _forging: bool,
    _conditions: &Conditions,
) -> Option<Prediction> {
    None
}
