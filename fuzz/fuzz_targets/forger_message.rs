//! What a forger reads from its broker, and a broker from its forger. The modules are taken as they
//! are, below this root in place of `forger`: so nothing of them is public for this.
#![no_main]
#![allow(dead_code, reason = "what is not read from bytes is not used here")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/server/src/forger/exercise.rs"]
mod exercise;
#[path = "../../crates/server/src/forger/message.rs"]
mod message;
#[path = "../../crates/server/src/forger/packet.rs"]
mod packet;
#[path = "../../crates/server/src/forger/refusal.rs"]
mod refusal;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
