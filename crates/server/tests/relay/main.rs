//! The relay on loopback, and the ways to it: straight, by CONNECT, inside bodies of HTTP, and
//! through proxies that the tests start.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod apart;
mod awkward;
mod bodies;
mod crowds;
mod pairs;
mod proxies;
mod silence;
mod support;
mod survival;
