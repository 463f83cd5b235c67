//! The relay machine: its times, what is joined, and what never is.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod bench;
mod directions;
mod properties;
mod times;
