//! The middlebox from outside: packets in, packets and verdicts out.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../corpus/axes.rs"]
mod axes;
mod exchange;
mod icmp;
mod linux_selftests;
mod linux_windows;
mod policy;
mod properties;
mod rfc5382;
mod translation;
mod traversal;
