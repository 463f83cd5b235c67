//! The broker from outside: requests in, responses and forged packets out.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod admin;
mod changes;
mod consent;
mod desk;
mod entering;
mod forging;
mod listing;
mod meeting;
mod presence;
mod properties;
mod revoking;
mod secrecy;
mod signalling;
mod teams;
mod words;
