//! Everything in `simopen-packet` that takes bytes from outside.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/packet/tests/corpus/exercise.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
