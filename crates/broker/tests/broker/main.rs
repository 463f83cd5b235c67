//! The broker from outside: requests in, responses and forged packets out.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod consent;
mod desk;
mod forging;
mod properties;
mod signalling;
