//! What an operator runs, as processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod relay;
mod running;
mod units;
