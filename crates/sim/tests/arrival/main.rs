//! The arrival law, clause by clause: what the order of packets does to hosts and boxes.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod arrival;
mod delays;
mod experiment;
mod listening;
mod network;
mod opening;
