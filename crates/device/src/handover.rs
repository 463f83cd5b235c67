//! Putting a connection that was opened outside the kernel into the kernel, by TCP_REPAIR.
//!
//! The peer sent its own SYN by [`crate::raw`] and saw the SYN-ACK by [`crate::capture`] while a
//! [`crate::swallow::SwallowingPort`] kept the kernel silent. Then [`install`] makes the socket
//! that the kernel would have now, and from there on it is an ordinary TCP socket.
//!
//! Installing sends nothing. Install when about to speak; then drop the swallowing port.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use libc::{IPPROTO_TCP, TCP_QUEUE_SEQ, TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_REPAIR_WINDOW};
use simopen_packet::{SeqNumber, Syn, SynAck, Timestamps};
use socket2::Socket;
use thiserror::Error;

use crate::error::{Context, DeviceError};
use crate::socket;
use crate::syscall::{self, RepairOption, RepairWindow};

/// Everything the kernel must know about a connection that it did not open itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The own endpoint as this host knows it, before any translation.
    pub local: SocketAddr,
    /// The other endpoint as this host sees it.
    pub remote: SocketAddr,
    /// The first sequence number to send: the own initial one plus 1.
    pub send_next: SeqNumber,
    /// The first sequence number to receive: the peer's initial one plus 1.
    pub receive_next: SeqNumber,
    /// The largest segment that the peer takes, as its SYN said, in bytes.
    pub mss: u16,
    /// RFC 7323 §2; `None` where not both SYNs carried it.
    pub window_scale: Option<WindowScale>,
    /// RFC 2018: whether both SYNs permitted selective acknowledgements.
    pub sack_permitted: bool,
    /// RFC 7323 §3: the TSval to go on from, at least the one in the own SYN; `None` where not
    /// both SYNs carried timestamps. Milliseconds; an odd value is raised by one, because the
    /// lowest bit would tell the kernel to count microseconds.
    pub timestamp: Option<u32>,
    /// What the peer's SYN lets us send, in bytes.
    pub send_window: u16,
    /// What the own SYN lets the peer send, in bytes.
    pub receive_window: u16,
    /// Congestion control by its name in the kernel; `None` leaves the system's own.
    pub congestion_control: Option<String>,
    /// Longest pause between retransmissions, see
    /// [`socket::limit_retransmission_timeout`].
    pub longest_retransmission_timeout: Option<Duration>,
}

/// The two shift counts of RFC 7323 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowScale {
    /// What the own SYN offered: the shift of windows that this host announces.
    pub own: u8,
    /// What the peer's SYN offered: the shift of windows that the peer announces.
    pub peer: u8,
}

impl Installation {
    /// Concludes from the own SYN and the SYN-ACK that answered it what both sides agreed on.
    ///
    /// # Errors
    ///
    /// [`HandoverError::NoAnswer`] where the SYN-ACK does not answer that SYN;
    /// [`HandoverError::Ecn`] where the own SYN asked for ECN, which cannot be installed.
    pub fn from_handshake(own: &Syn, answer: &SynAck) -> Result<Self, HandoverError> {
        let send_next = own.sequence + 1;
        if answer.acknowledgment != send_next || answer.source != own.destination {
            return Err(HandoverError::NoAnswer { remote: answer.source });
        }
        if own.ecn_setup {
            return Err(HandoverError::Ecn);
        }
        let (ours, theirs) = (&own.options, &answer.options);
        let window_scale = ours.window_scale.zip(theirs.window_scale);
        let timestamps = ours.timestamps.zip(theirs.timestamps);
        Ok(Self {
            local: own.source,
            remote: own.destination,
            send_next,
            receive_next: answer.sequence + 1,
            mss: theirs.mss.unwrap_or(default_mss(own.destination)),
            window_scale: window_scale.map(|(own, peer)| WindowScale { own, peer }),
            sack_permitted: ours.sack_permitted && theirs.sack_permitted,
            timestamp: timestamps.map(|(Timestamps { value, .. }, _)| value),
            send_window: answer.window,
            receive_window: own.window,
            congestion_control: None,
            longest_retransmission_timeout: None,
        })
    }
}

/// Installs a connection in the calling thread's namespace; the socket is nonblocking.
///
/// Nothing is sent. The order of the steps is the only one known to work (Linux 6.18): both
/// reuse options before repair, because SO_REUSEADDR after it cancels the reuse that repair
/// forces; the sequence numbers before the connect, which then establishes at once; options and
/// windows after it.
///
/// # Errors
///
/// Fails without CAP_NET_ADMIN in the user namespace that owns the network namespace, where a
/// socket that does not share the port holds it, and where the same pair of endpoints is in use.
pub fn install(installation: &Installation) -> Result<TcpStream, HandoverError> {
    let Installation { local, remote, .. } = *installation;
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(DeviceError::FamilyMismatch { local, remote }.into());
    }
    let socket = socket::reusable(local)?;
    if let Some(name) = &installation.congestion_control {
        socket.set_tcp_congestion(name.as_bytes()).on("setsockopt TCP_CONGESTION", name)?;
    }
    if let Some(timeout) = installation.longest_retransmission_timeout {
        socket::limit_retransmission_timeout(&socket, timeout)?;
    }
    set(&socket, TCP_REPAIR, REPAIR_ON).on("setsockopt TCP_REPAIR", local)?;
    socket.bind(&local.into()).on("bind", local)?;
    set_sequence(&socket, SEND_QUEUE, installation.send_next)?;
    set_sequence(&socket, RECEIVE_QUEUE, installation.receive_next)?;
    socket.connect(&remote.into()).on("connect", remote)?;
    set_agreed_options(&socket, installation)?;
    set_windows(&socket, installation)?;
    set(&socket, TCP_REPAIR, REPAIR_OFF_SILENTLY).on("setsockopt TCP_REPAIR", local)?;
    Ok(TcpStream::from(socket))
}

/// Returns the window shift that a SYN of this host offers: what its own kernel would offer, by
/// the larger of the third number of `net.ipv4.tcp_rmem` and `net.core.rmem_max`.
///
/// # Errors
///
/// Fails where /proc is not mounted.
pub fn own_window_scale() -> Result<u8, DeviceError> {
    const TCP_RMEM: &str = "/proc/sys/net/ipv4/tcp_rmem";
    let text = fs::read_to_string(TCP_RMEM).on("read", TCP_RMEM)?;
    let largest = text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or(0);
    let core = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    let space: u64 = core.trim().parse().unwrap_or(0).max(largest).max(1);
    // As tcp_select_initial_window: what is left above 16 bits, at most 14 (RFC 7323 §2.3).
    Ok(space.ilog2().saturating_sub(15).min(14) as u8)
}

/// Tries whether this process may use TCP_REPAIR in the calling thread's namespace.
///
/// # Errors
///
/// Fails with what the kernel refuses.
pub fn probe() -> Result<(), DeviceError> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = socket::reusable(anywhere)?;
    set(&socket, TCP_REPAIR, REPAIR_ON).on("setsockopt TCP_REPAIR", "a new socket")
}

/// Why a connection could not be handed over. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The SYN-ACK belongs to another SYN.
    #[error("the SYN-ACK of {remote} does not answer this SYN; wait for the one that does")]
    NoAnswer {
        /// Where the SYN-ACK came from.
        remote: SocketAddr,
    },
    /// The own SYN asked for ECN.
    #[error("a connection with ECN cannot be installed; send the SYN without ECE and CWR")]
    Ecn,
    /// The kernel refused a step.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Values of linux/tcp.h.
const REPAIR_ON: i32 = 1;
/// Leaves repair without the window probe that 0 would send.
const REPAIR_OFF_SILENTLY: i32 = -1;
const RECEIVE_QUEUE: i32 = 1;
const SEND_QUEUE: i32 = 2;

/// RFC 9293 §3.2: kinds of the TCP options that repair takes.
const MSS: u32 = 2;
const WINDOW_SCALE: u32 = 3;
const SACK_PERMITTED: u32 = 4;
const TIMESTAMPS: u32 = 8;

/// RFC 9293 §3.7.1: what is assumed where a SYN names no MSS.
const fn default_mss(remote: SocketAddr) -> u16 {
    if remote.is_ipv4() { 536 } else { 1220 }
}

fn set(socket: &Socket, name: i32, value: i32) -> std::io::Result<()> {
    syscall::set_option(socket, IPPROTO_TCP, name, value)
}

fn set_sequence(socket: &Socket, queue: i32, next: SeqNumber) -> Result<(), DeviceError> {
    set(socket, TCP_REPAIR_QUEUE, queue).on("setsockopt TCP_REPAIR_QUEUE", queue)?;
    syscall::set_option(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, next.0)
        .on("setsockopt TCP_QUEUE_SEQ", next)
}

fn set_agreed_options(socket: &Socket, agreed: &Installation) -> Result<(), DeviceError> {
    // Always with a window scale entry: where it is left out the kernel keeps its own shift and
    // announces windows of a few bytes to a peer that does not scale.
    let WindowScale { own, peer } = agreed.window_scale.unwrap_or_default();
    let mut options = [RepairOption::default(); 4];
    options[0] = RepairOption { code: MSS, value: u32::from(agreed.mss) };
    let shifts = u32::from(own) << 16 | u32::from(peer);
    options[1] = RepairOption { code: WINDOW_SCALE, value: shifts };
    let mut count = 2;
    if agreed.sack_permitted {
        options[count] = RepairOption { code: SACK_PERMITTED, value: 0 };
        count += 1;
    }
    if agreed.timestamp.is_some() {
        options[count] = RepairOption { code: TIMESTAMPS, value: 0 };
        count += 1;
    }
    syscall::set_repair_options(socket, &options, count)
        .on("setsockopt TCP_REPAIR_OPTIONS", agreed.remote)?;
    if let Some(value) = agreed.timestamp {
        let even = value.wrapping_add(value & 1);
        syscall::set_option(socket, IPPROTO_TCP, libc::TCP_TIMESTAMP, even)
            .on("setsockopt TCP_TIMESTAMP", even)?;
    }
    Ok(())
}

/// Without this the kernel's `snd_wl1` stays 0, every window update of a peer whose initial
/// sequence number is above 2^31 looks old, and the first data wait 3 s.
fn set_windows(socket: &Socket, agreed: &Installation) -> Result<(), DeviceError> {
    let window = RepairWindow {
        snd_wl1: agreed.receive_next.0,
        snd_wnd: u32::from(agreed.send_window),
        max_window: u32::from(agreed.send_window),
        rcv_wnd: u32::from(agreed.receive_window),
        rcv_wup: agreed.receive_next.0,
    };
    syscall::set_option(socket, IPPROTO_TCP, TCP_REPAIR_WINDOW, window)
        .on("setsockopt TCP_REPAIR_WINDOW", agreed.remote)
}
