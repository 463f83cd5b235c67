//! The line by which a device joins, as somebody pasted it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/protocol/tests/corpus/exercise_invitation.rs"]
mod exercise_invitation;

fuzz_target!(|bytes: &[u8]| exercise_invitation::exercise(bytes));
