//! The device crate on a real kernel, in namespaces that each test makes for itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod coalescing;
mod handover;
mod interface;
mod process;
mod requires;
mod silence;
mod support;
mod tun_route;
