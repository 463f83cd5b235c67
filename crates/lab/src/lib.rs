//! Experiments on real kernels: hosts in network namespaces, the network in between as one machine.
//!
//! A [`topology::Topology`] is a [`simopen_scenario::network::Network`] that runs: each host a
//! network namespace with a kernel TCP stack of its own and one TUN port into the fabric, which one
//! thread turns on the monotonic clock. Peers and broker in the hosts are the real ones. An
//! [`attempt`] runs one technique through it and gives a [`result::AttemptResult`] whose timeline
//! and counts come from the fabric's own journal. [`demo`] is a set of attempts with the outcome
//! that each must have.
//!
//! ```no_run
//! use simopen_lab::{attempt::{self, AttemptSpec}, cancel::Cancel};
//! use simopen_protocol::technique::{SynOwner, Technique};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = AttemptSpec::new(Technique::ForgedSynAck(SynOwner::Kernel));
//! let result = attempt::run(&spec, &Cancel::never())?;
//! assert!(result.connected());
//! # Ok(()) }
//! ```
//!
//! What it needs: network namespaces, TUN, packet and raw sockets; [`simopen_device::capability`]
//! says what is missing and what to do about it. It leaves nothing behind: namespaces and devices
//! have no names outside the process and go with their threads.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod cancel;
pub mod captures;
pub mod classify_kernel;
pub mod demo;
mod error;
mod exchange;
pub mod exec;
pub mod host;
pub mod kernel_router;
pub mod lateness;
pub mod matrix;
pub mod nft;
mod pcap;
pub mod programs;
pub mod proxy;
pub mod pump;
pub mod report;
pub mod result;
pub mod scenario_run;
mod scratch;
pub mod shell;
pub mod topology;

pub use error::LabError;
