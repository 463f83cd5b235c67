//! Devices that have joined a real broker in this process, over TLS on loopback, and meet at its
//! relay.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod house;
mod joining;
mod linking;
mod staying;
