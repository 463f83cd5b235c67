//! The middlebox from outside: packets in, packets and verdicts out.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../corpus/axes.rs"]
mod axes;
mod datagrams;
mod exchange;
mod hairpin;
mod icmp;
mod linux_selftests;
mod linux_windows;
mod policy;
mod port_sharing;
mod properties;
mod rewriting;
mod rfc5382;
mod rules;
mod translation;
mod traversal;
