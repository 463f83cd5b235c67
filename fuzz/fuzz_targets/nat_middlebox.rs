//! A middlebox of any preset under any packets.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/nat/tests/corpus/axes.rs"]
mod axes;
#[path = "../../crates/nat/tests/corpus/exercise.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
