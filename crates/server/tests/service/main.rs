//! The broker as a service: joining, certificates, links, stores, and what it survives.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod certificates;
mod client;
mod joining;
mod killed;
mod killed_midway;
mod links;
mod process;
mod returning;
mod scratch;
mod stand;
mod store;
