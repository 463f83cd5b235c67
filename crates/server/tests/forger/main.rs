//! The forger as a broker that somebody has taken over sees it: the test speaks to its process
//! directly, asks for what it may not have, and looks on at what leaves.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![forbid(unsafe_code)]

mod asking;
mod packets;
mod place;
mod proving;
mod totals;
