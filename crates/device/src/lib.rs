//! All contact with the Linux kernel: TUN devices, capture, raw sending, TCP_REPAIR hand-over,
//! silent ports, namespaces, capabilities.
//!
//! The only crate of the workspace with `unsafe`: in the private module of system calls, and where
//! a descriptor is registered with tokio. It decides nothing; descriptors are nonblocking and
//! closed on exec, and implement `AsFd` and `AsRawFd` so that any poller can wait for them. The only threads are
//! those of [`namespace`].
//!
//! Sockets and TUN devices belong for life to the network namespace of the thread that opened
//! them, and may then be used from any thread.
//!
//! How a peer opens a connection with a SYN of its own:
//!
//! ```no_run
//! use std::os::fd::AsFd;
//!
//! use simopen_device::capture::{PacketSocketCapture, SynCapture};
//! use simopen_device::filter::{Scope, Selection};
//! use simopen_device::handover::{Installation, install};
//! use simopen_device::raw::RawSender;
//! use simopen_device::swallow::SwallowingPort;
//! use simopen_packet::{MAX_SYN_LEN, Syn, SynAck};
//!
//! # fn wait_readable(_: std::os::fd::BorrowedFd<'_>) {}
//! fn open(own: &Syn) -> Result<std::net::TcpStream, Box<dyn std::error::Error>> {
//!     let swallower = SwallowingPort::bind(own.source)?;
//!     let mut capture = PacketSocketCapture::open(
//!         &Selection {
//!             local_port: own.source.port(),
//!             remote: Some(own.destination),
//!             scope: Scope::OwnSynsAndIncoming,
//!         },
//!         None,
//!     )?;
//!     let mut buffer = [0; MAX_SYN_LEN];
//!     let length = own.emit(&mut buffer)?;
//!     RawSender::for_endpoint(own.destination)?.send(&buffer[..length])?;
//!     let mut buffer = [0; 2048];
//!     loop {
//!         wait_readable(capture.as_fd());
//!         let Some(captured) = capture.poll_packet(&mut buffer)? else { continue };
//!         let Ok(answer) = SynAck::parse(&buffer[..captured.length]) else { continue };
//!         let stream = install(&Installation::from_handshake(own, &answer)?)?;
//!         drop(swallower);
//!         return Ok(stream);
//!     }
//! }
//! ```
//!
//! Built on RFC 9293 (TCP), RFC 7323 (window scale and timestamps) and RFC 2018 (SACK), and on
//! tcp(7), raw(7), packet(7), netlink(7), network_namespaces(7), user_namespaces(7).

pub mod capability;
pub mod capture;
pub mod carried;
pub mod clock;
pub mod confinement;
pub mod conntrack;
pub mod descriptors;
mod error;
pub mod filter;
pub mod gateway;
pub mod handover;
pub mod interface;
pub mod namespace;
mod netlink;
pub mod process;
pub mod raw;
pub mod rights;
pub mod socket;
pub mod socket_diagnosis;
pub mod splice;
pub mod swallow;
mod syscall;
pub mod system_call;
pub mod tun;
pub mod user_namespace;
pub mod wait;

pub use error::{Advice, DeviceError};
