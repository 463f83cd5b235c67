//! The attempt from outside: messages, packets and outcomes in; messages, commands and events out.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod consent;
mod hostile;
mod listening;
mod order;
mod properties;
mod relay;
mod side;
mod verdict;
