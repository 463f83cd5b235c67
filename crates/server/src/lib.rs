//! The broker as a tokio service that a program embeds.
//!
//! The decisions stand in [`simopen_broker`]; this crate listens, reads and writes frames, measures
//! round trips, sends forged packets from a raw socket and keeps the time.
//!
//! ```
//! use simopen_device::socket::listener_saving_syn;
//! use simopen_server::broker::Builder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let listener = listener_saving_syn("127.0.0.1:0".parse()?)?;
//! let broker = Builder::new(Default::default()).listen(listener).start()?;
//! println!("listening on {}", broker.local_addr());
//! broker.stop().await;
//! # Ok(()) })
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod admin;
pub mod authority;
pub mod broker;
pub mod data_directory;
mod error;
pub mod figures;
pub mod forger;
pub mod front;
pub mod relay;
mod seldom;
pub mod store;
pub mod tls;
pub mod wall_clock;

pub use error::ServerError;

/// The page, whose examples are compiled with this crate's.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
