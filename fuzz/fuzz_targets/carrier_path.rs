//! What tells at the front to which carrier, or to which value, an HTTP request belongs.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/protocol/tests/corpus/exercise_carrier.rs"]
mod exercise_carrier;

fuzz_target!(|bytes: &[u8]| exercise_carrier::exercise(bytes));
