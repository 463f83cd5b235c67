//! Packets against the RFCs, against two other implementations, and against hostile bytes.

#![expect(clippy::unwrap_used, reason = "what a test takes for granted ends it where it fails")]

mod closed_port;
#[path = "../corpus/exercise.rs"]
mod exercise;
mod forging;
mod hostile;
mod icmp_errors;
mod oracle;
mod printing;
mod rewriting;
mod round_trip;
mod strategy;
