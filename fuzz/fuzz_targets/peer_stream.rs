//! Everything in `simopen-protocol` that takes bytes from a link between two peers.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/protocol/tests/corpus/exercise_peer.rs"]
mod exercise_peer;

fuzz_target!(|bytes: &[u8]| exercise_peer::exercise(bytes));
