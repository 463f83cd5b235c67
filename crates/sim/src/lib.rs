//! The world of the virtual clock.
//!
//! The same machines that the lab and the services turn, between hosts whose TCP is smoltcp's: a
//! whole attempt, from the logins to bytes that flow without the broker, takes microseconds and
//! follows from one seed to the byte. Nothing here reads a clock, sleeps, or draws by chance that
//! is not the seed's.
#![forbid(unsafe_code)]

mod carriers;
pub mod explore;
pub mod host;
mod lines;
pub mod matrix;
mod parallel;
mod peer;
pub mod population;
mod proxy;
mod relay;
pub mod scenario_run;
pub mod search;
mod server;
mod splice;
pub mod stack;
pub mod trial;
mod world;

pub use explore::{Exploration, Explored, Script};
pub use host::{DialOptions, Host, HostEvent, SocketId, Synchronized};
pub use stack::Stack;
pub use trial::{Carriage, Detail, Run, Slowness, Trial, Violation};
