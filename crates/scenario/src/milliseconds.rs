//! Durations in documents: milliseconds as a number.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// The duration in milliseconds, to the microsecond.
#[must_use]
pub fn of(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(of(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let number = f64::deserialize(from)?;
    Duration::try_from_secs_f64(number / 1e3).map_err(D::Error::custom)
}
