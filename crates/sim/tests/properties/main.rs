//! What holds of every attempt, whatever stands between the hosts.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod attempts;
#[path = "../oracle/drawn.rs"]
mod drawn;
#[path = "../oracle/experiment.rs"]
mod experiment;
mod liars;
