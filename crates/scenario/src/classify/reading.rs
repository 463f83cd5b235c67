//! What was read of one axis.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use simopen_nat::{IdleKill, IdleKiller};

use super::axis::Axis;
use crate::milliseconds;

/// What was read of one axis. May grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reading {
    /// This value.
    Is(Value),
    /// One of these, which look alike here.
    OneOf(Vec<Value>),
    /// A number, or none at all, beyond this one.
    Above(u64),
    /// A time between these bounds.
    Lasts {
        /// It lasts longer than this.
        #[serde(rename = "longer-than-ms", with = "milliseconds")]
        longer_than: Duration,
        /// And not longer than this; `None` where nobody waited long enough.
        #[serde(rename = "at-most-ms", with = "optional_milliseconds")]
        at_most: Option<Duration>,
    },
    /// Connections that nobody used were ended after a time between these bounds.
    EndsIdle {
        /// What their ends heard.
        how: IdleKill,
        /// It took longer than this.
        #[serde(rename = "longer-than-ms", with = "milliseconds")]
        longer_than: Duration,
        /// And not longer than this.
        #[serde(rename = "at-most-ms", with = "milliseconds")]
        at_most: Duration,
    },
    /// Nothing.
    NotSeen(NotSeen),
}

/// Why an axis was not seen. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NotSeen {
    /// What another axis does hides it.
    MaskedBy(Axis),
    /// It would take longer than the bench can wait.
    TakesTooLong,
    /// Nothing that comes out of the box depends on it.
    LeavesNoTrace,
}

impl Reading {
    /// The reading of one value.
    pub(super) fn is(value: impl Serialize) -> Self {
        Self::Is(in_text(value))
    }

    /// The reading of several values that look alike.
    pub(super) fn one_of<T: Serialize>(values: impl IntoIterator<Item = T>) -> Self {
        Self::OneOf(values.into_iter().map(in_text).collect())
    }

    /// Whether a box that is specified so can look like this.
    #[must_use]
    pub fn agrees(&self, says: &Value) -> bool {
        match self {
            Self::Is(value) => value == says,
            Self::OneOf(values) => values.contains(says),
            Self::Above(number) => says.as_u64().is_none_or(|says| says > *number),
            Self::Lasts { longer_than, at_most } => {
                serde_json::from_value(says.clone()).is_ok_and(|says: Duration| {
                    *longer_than < says && at_most.is_none_or(|at_most| says <= at_most)
                })
            }
            Self::EndsIdle { how, longer_than, at_most } => serde_json::from_value(says.clone())
                .is_ok_and(|says: IdleKiller| {
                    says.how == *how && *longer_than < says.after && says.after <= *at_most
                }),
            Self::NotSeen(_) => true,
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => formatter.write_str(&in_words(value)),
            Self::OneOf(values) => {
                let words: Vec<_> = values.iter().map(in_words).collect();
                formatter.write_str(&words.join(" or "))
            }
            Self::Above(number) => write!(formatter, "none up to {number}"),
            Self::Lasts { longer_than, at_most: Some(at_most) } => {
                write!(
                    formatter,
                    "{:.1} to {:.1} s",
                    longer_than.as_secs_f64(),
                    at_most.as_secs_f64()
                )
            }
            Self::Lasts { longer_than, at_most: None } => {
                write!(formatter, "over {:.1} s", longer_than.as_secs_f64())
            }
            Self::EndsIdle { how, longer_than, at_most } => write!(
                formatter,
                "{} after {:.1} to {:.1} s",
                in_words(&in_text(how)),
                longer_than.as_secs_f64(),
                at_most.as_secs_f64()
            ),
            Self::NotSeen(why) => write!(formatter, "not seen: {why}"),
        }
    }
}

impl fmt::Display for NotSeen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaskedBy(axis) => write!(formatter, "masked by {axis}"),
            Self::TakesTooLong => formatter.write_str("takes longer than this bench can wait"),
            Self::LeavesNoTrace => formatter.write_str("leaves no trace here"),
        }
    }
}

/// A value in the words of a specification's text, times in seconds.
pub(super) fn in_words(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return match value {
            Value::String(text) => text.clone(),
            Value::Null => "none".to_owned(),
            Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        };
    };
    if let Ok(time) = serde_json::from_value::<Duration>(value.clone()) {
        return format!("{} s", time.as_secs_f64());
    }
    let words = fields.iter().map(|(name, value)| format!("{name} {}", in_words(value)));
    words.collect::<Vec<_>>().join(", ")
}

/// A value as the text of a specification has it.
pub(super) fn in_text(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value of an axis is plain data")
}

/// As [`milliseconds`], or nothing.
mod optional_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::milliseconds;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Milliseconds(#[serde(with = "milliseconds")] Duration);

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Milliseconds).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(from)?.map(|Milliseconds(time)| time))
    }
}
