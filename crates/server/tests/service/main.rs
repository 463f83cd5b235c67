//! The broker as a service: joining, certificates, links, stores, and what it survives.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod certificates;
mod client;
mod joining;
mod killed;
mod links;
mod process;
mod scratch;
mod stand;
mod store;
