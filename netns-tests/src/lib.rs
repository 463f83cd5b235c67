//! What the tests on real kernels share: cells of a table, how they run beside each other, what
//! counts as their outcome, and how a test says that it cannot run here. And real proxies on
//! loopback, which tests of other crates start too.
//!
//! The tests themselves stand in `tests/`. Each attempt is made in a topology of its own
//! ([`simopen_lab::topology`]): hosts in network namespaces, the boxes as machines in between.
#![forbid(unsafe_code)]

mod cell;
pub mod differential;
mod loopback_proxy;
mod requires;
mod traces;

pub use self::cell::{Cell, Expected, Ran, leg, run_all, told};
pub use self::loopback_proxy::{LoopbackProxy, Rule};
pub use self::requires::{not_run, requires, requires_programs};
pub use self::traces::{
    MachineTraces, ProcessTraces, is_dialling, namespaces_of, processes_with, wait_for,
    wait_until_restored,
};
