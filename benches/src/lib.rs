//! What the benches of the services and the tests of what they survive share: a broker with joined
//! devices, their clients, attackers in processes of their own, and latencies.
#![forbid(unsafe_code)]

pub mod apart;
pub mod attack;
pub mod client;
pub mod latency;
pub mod memory;
pub mod processor;
pub mod stand;
