//! What a person does on a device, by the program itself: a broker and several devices on loopback,
//! each with a state directory of its own.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod broker;
mod community;
mod joining;
mod newcomer;
mod notes;
mod program;
mod proxies;
mod python;
mod ssh;
mod starved;
mod streams;
