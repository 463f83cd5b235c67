//! What is counted of a broker and a relay: for `simopen admin stats`, and for Prometheus.
//!
//! Machines and services count in plain numbers; here each gets the one name and the sentence by
//! which it is known. [`router`] answers `/metrics`, `/healthz` and `/readyz` over HTTP, for a
//! listener of its own or as a part of a program's.

mod exposition;
mod health;
mod of_broker;
mod of_relay;

pub use self::exposition::Exposition;
pub use self::health::{Readiness, ReadinessWatch, router};
pub use self::of_broker::of_broker;
pub use self::of_relay::{of_front, of_relay};

/// One number, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The name.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What is told apart, and which of it this is.
    pub label: Option<(&'static str, String)>,
    /// How many.
    pub value: u64,
}

/// How a number moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Figure {
    /// A number that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: Kind::Counter, label: None, value }
    }

    /// A number that goes up and down.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: usize) -> Self {
        let value = value.try_into().unwrap_or(u64::MAX);
        Self { name, help, kind: Kind::Gauge, label: None, value }
    }

    /// One of several that are told apart by `key`.
    #[must_use]
    pub fn labelled(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.label = Some((key, value.into()));
        self
    }
}
