//! Reports hold every cell, are well-formed, and do not let a name do harm.
#![expect(clippy::unwrap_used, reason = "a test")]

mod difference;
mod fixture;
mod hostile;
mod population;
mod structure;
