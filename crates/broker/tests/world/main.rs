//! Broker, two attempts and the network between them, on one virtual clock.
//!
//! The hosts are as small as they can be: they carry out what an attempt commands, and their TCP
//! does just what the arrival of forged packets is about.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod arrival;
mod delays;
mod host;
mod listening;
mod network;
mod opening;
mod world;
