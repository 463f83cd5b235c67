//! TCP sockets that share a port, and what the kernel tells about them.
//!
//! Several sockets on one local port (control connection, probe, dial, swallower) need
//! SO_REUSEADDR and SO_REUSEPORT on each of them, set before the bind, and a bind before the
//! connect.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use simopen_packet::{Syn, Ttl};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::error::{Context, DeviceError};
use crate::filter;
use crate::syscall;

/// Connections that wait to be accepted; the kernel's own bound (net.core.somaxconn) may be lower.
const BACKLOG: i32 = 4096;

/// What a dialling socket gets besides its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Time to live (hop limit) of what it sends; `None` leaves the system's own.
    pub ttl: Option<Ttl>,
    /// Congestion control by its name in the kernel, as `cubic`; `None` leaves the system's own.
    pub congestion_control: Option<String>,
    /// Longest pause between retransmissions, from 1 to 120 s; kernels without
    /// TCP_RTO_MAX_MS ignore it.
    pub longest_retransmission_timeout: Option<Duration>,
}

/// A bound TCP socket that has not dialled yet, nonblocking.
#[derive(Debug)]
pub struct Dialer {
    socket: Socket,
    local: SocketAddr,
}

impl Dialer {
    /// Returns the address and port that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends the SYN and returns at once; the stream becomes writable when the dial is over,
    /// and [`take_error`] then says how.
    ///
    /// # Errors
    ///
    /// Fails where the kernel refuses the dial itself: no route, or the same pair of endpoints
    /// in use (EADDRNOTAVAIL).
    pub fn connect(self, remote: SocketAddr) -> Result<TcpStream, DeviceError> {
        match self.socket.connect(&remote.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(DeviceError::system("connect", remote, error)),
        }
        Ok(TcpStream::from(self.socket))
    }
}

impl AsFd for Dialer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Dialer {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds a socket that will dial from a known port.
///
/// # Errors
///
/// Fails where a socket without SO_REUSEADDR and SO_REUSEPORT holds the port, and where the
/// kernel lacks the congestion control.
pub fn bind_dialer(local: SocketAddr, options: &DialOptions) -> Result<Dialer, DeviceError> {
    let socket = reusable(local)?;
    if let Some(name) = &options.congestion_control {
        // Before the bind: an installed socket takes it only then.
        socket.set_tcp_congestion(name.as_bytes()).on("setsockopt TCP_CONGESTION", name)?;
    }
    if let Some(timeout) = options.longest_retransmission_timeout {
        limit_retransmission_timeout(&socket, timeout)?;
    }
    if let Some(ttl) = options.ttl {
        set_ttl(&socket, ttl)?;
    }
    socket.bind(&local.into()).on("bind", local)?;
    let bound = socket.local_addr().on("getsockname", local)?;
    Ok(Dialer { socket, local: bound.as_socket().unwrap_or(local) })
}

/// Opens a listener that keeps each connection's SYN for [`saved_syn`], nonblocking.
///
/// # Errors
///
/// Fails where a socket without SO_REUSEADDR and SO_REUSEPORT holds the port.
pub fn listener_saving_syn(local: SocketAddr) -> Result<TcpListener, DeviceError> {
    let socket = reusable(local)?;
    syscall::set_option(&socket, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, 1)
        .on("setsockopt TCP_SAVE_SYN", local)?;
    socket.bind(&local.into()).on("bind", local)?;
    socket.listen(BACKLOG).on("listen", local)?;
    Ok(TcpListener::from(socket))
}

/// Opens the listener of a service: as [`listener_saving_syn`], but nobody else can listen on the
/// port beside it, and one for IPv6 takes no IPv4.
///
/// # Errors
///
/// Fails where the port is taken.
pub fn service_listener(local: SocketAddr) -> Result<TcpListener, DeviceError> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(local), kind, Some(Protocol::TCP));
    let socket = socket.on("socket SOCK_STREAM", local)?;
    // Without it a restart waits for connections of before to be forgotten.
    socket.set_reuse_address(true).on("setsockopt SO_REUSEADDR", local)?;
    if local.is_ipv6() {
        socket.set_only_v6(true).on("setsockopt IPV6_V6ONLY", local)?;
    }
    syscall::set_option(&socket, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, 1)
        .on("setsockopt TCP_SAVE_SYN", local)?;
    socket.bind(&local.into()).on("listen", local)?;
    socket.listen(BACKLOG).on("listen", local)?;
    Ok(TcpListener::from(socket))
}

/// Returns the SYN that opened an accepted connection, as it arrived: headers and options.
///
/// The kernel gives it once; a second call, and a socket that dialled, gives `None`. A SYN that
/// [`Syn`] cannot hold (it carried data, say) gives `None` too.
///
/// # Errors
///
/// Fails where the descriptor is no TCP socket.
pub fn saved_syn(stream: &impl AsFd) -> io::Result<Option<Syn>> {
    Ok(saved_syn_bytes(stream)?.and_then(|bytes| Syn::parse(&bytes).ok()))
}

/// Returns the bytes of that SYN, from its IP header to the end of its TCP options.
///
/// # Errors
///
/// Fails where the descriptor is no TCP socket.
pub fn saved_syn_bytes(stream: &impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 512];
    let length =
        syscall::option_bytes(stream, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut buffer)?;
    buffer.truncate(length);
    Ok(if length == 0 { None } else { Some(buffer) })
}

/// Sets the time to live (IPv4) or hop limit (IPv6) of what a socket sends from now on.
///
/// # Errors
///
/// Fails where the value is 0 or the descriptor is no socket.
pub fn set_ttl(socket: &impl AsFd, ttl: Ttl) -> Result<(), DeviceError> {
    let reference = SockRef::from(socket);
    if reference.domain().on("getsockopt SO_DOMAIN", "socket")? == Domain::IPV6 {
        reference.set_unicast_hops_v6(u32::from(ttl.0)).on("setsockopt IPV6_UNICAST_HOPS", ttl.0)
    } else {
        reference.set_ttl_v4(u32::from(ttl.0)).on("setsockopt IP_TTL", ttl.0)
    }
}

/// Gives a socket the system's time to live (hop limit) again.
///
/// # Errors
///
/// Fails where the descriptor is no socket.
pub fn reset_ttl(socket: &impl AsFd) -> Result<(), DeviceError> {
    // ip(7), ipv6(7): -1 is the system's own.
    if SockRef::from(socket).domain().on("getsockopt SO_DOMAIN", "socket")? == Domain::IPV6 {
        syscall::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, -1)
            .on("setsockopt IPV6_UNICAST_HOPS", -1)
    } else {
        syscall::set_option(socket, libc::IPPROTO_IP, libc::IP_TTL, -1).on("setsockopt IP_TTL", -1)
    }
}

/// Limits the pause between retransmissions; 1 s keeps the retries of an installed socket at
/// 1 s steps. Kernels without TCP_RTO_MAX_MS ignore it.
///
/// # Errors
///
/// Fails where the kernel refuses the value: it takes 1 to 120 s.
pub fn limit_retransmission_timeout(
    socket: &impl AsFd,
    timeout: Duration,
) -> Result<(), DeviceError> {
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    match syscall::set_option(socket, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, milliseconds) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
        other => other.on("setsockopt TCP_RTO_MAX_MS", milliseconds),
    }
}

/// Makes an established socket deaf to RST: a second line where a box answers early packets.
/// The box that saw the RST forgets the connection after about 10 s without traffic.
///
/// # Errors
///
/// Fails where the descriptor is no socket.
pub fn shield_from_resets(stream: &impl AsFd) -> Result<(), DeviceError> {
    let program = filter::drop_resets().to_filter();
    SockRef::from(stream).attach_filter(&program).on("setsockopt SO_ATTACH_FILTER", "stream")
}

/// Lets so many connections wait at a listener until they are accepted, as far as the system allows
/// (net.core.somaxconn). What waits beyond is dropped or reset by the kernel.
///
/// # Errors
///
/// Fails where the descriptor is no bound socket.
pub fn set_backlog(listener: &impl AsFd, connections: u16) -> io::Result<()> {
    SockRef::from(listener).listen(connections.into())
}

/// Closes a connection for writing: what was written is still sent, then a FIN.
///
/// # Errors
///
/// Fails where the connection is gone or the descriptor is no socket.
pub fn shut_down_writing(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).shutdown(Shutdown::Write)
}

/// Lets the kernel find out whether the other end of an idle connection is still there: the first
/// question after `idle`, six in as long again, and then the connection breaks. What a listener
/// accepts has it from the listener.
///
/// # Errors
///
/// Fails where the descriptor is no socket.
pub fn keep_alive(socket: &impl AsFd, idle: Duration) -> io::Result<()> {
    const QUESTIONS: u32 = 6;
    let pause = (idle / QUESTIONS).max(Duration::from_secs(1));
    let questions = TcpKeepalive::new().with_time(idle).with_interval(pause);
    SockRef::from(socket).set_tcp_keepalive(&questions.with_retries(QUESTIONS))
}

/// Sends what is written at once, however little it is (RFC 9293, 3.7.4 has what is switched off).
/// What a listener accepts has it from the listener.
///
/// # Errors
///
/// Fails where the descriptor is no TCP socket.
pub fn send_at_once(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Breaks a connection that has something to send, and for so long nobody who acknowledges it or has
/// room for it. Not for a connection whose other end may pause.
///
/// # Errors
///
/// Fails where the descriptor is no TCP socket.
pub fn limit_unacknowledged(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(Some(time))
}

/// Takes the pending error of a socket: what became of its dial.
///
/// # Errors
///
/// Fails where the descriptor is no socket.
pub fn take_error(socket: &impl AsFd) -> io::Result<Option<io::Error>> {
    SockRef::from(socket).take_error()
}

/// Returns the number by which the kernel tells this socket from all others since it started,
/// whoever holds a descriptor of it (SO_COOKIE).
///
/// # Errors
///
/// Fails where the descriptor is no socket.
pub fn cookie(socket: &impl AsFd) -> io::Result<u64> {
    syscall::option(socket, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// Returns the number of the network namespace that a socket lives in (SO_NETNS_COOKIE).
///
/// # Errors
///
/// Fails where the descriptor is no socket, and before Linux 5.14.
pub fn namespace_cookie(socket: &impl AsFd) -> io::Result<u64> {
    syscall::option(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE)
}

/// Returns both ends of a connected TCP socket, the own one first, each written in one way: IPv4
/// peers of a listener for both families as IPv4.
///
/// # Errors
///
/// `InvalidInput` where the descriptor is a socket of another kind, and whatever the kernel says.
pub fn endpoints(socket: &impl AsFd) -> io::Result<(SocketAddr, SocketAddr)> {
    let protocol: i32 = syscall::option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    let reference = SockRef::from(socket);
    let other_kind = || io::Error::from(io::ErrorKind::InvalidInput);
    if protocol != libc::IPPROTO_TCP {
        return Err(other_kind());
    }
    let canonical = |address: socket2::SockAddr| {
        let endpoint = address.as_socket().ok_or_else(other_kind)?;
        Ok::<_, io::Error>(SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port()))
    };
    Ok((canonical(reference.local_addr()?)?, canonical(reference.peer_addr()?)?))
}

/// Returns what the kernel knows about a TCP connection.
///
/// # Errors
///
/// Fails where the descriptor is no TCP socket.
pub fn tcp_info(socket: &impl AsFd) -> io::Result<TcpInfo> {
    let info: libc::tcp_info = syscall::option(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(TcpInfo {
        state: TcpState::from_kernel(info.tcpi_state),
        rtt: Duration::from_micros(u64::from(info.tcpi_rtt)),
        rtt_variation: Duration::from_micros(u64::from(info.tcpi_rttvar)),
        // Nothing measured yet is u32::MAX to the kernel.
        min_rtt: match info.tcpi_min_rtt {
            u32::MAX => Duration::ZERO,
            microseconds => Duration::from_micros(u64::from(microseconds)),
        },
        send_mss: info.tcpi_snd_mss,
        receive_mss: info.tcpi_rcv_mss,
        unacknowledged: info.tcpi_unacked,
        retransmissions: info.tcpi_total_retrans,
        has_timestamps: info.tcpi_options & 1 != 0,
        has_sack: info.tcpi_options & 2 != 0,
        has_window_scale: info.tcpi_options & 4 != 0,
        has_microsecond_timestamps: info.tcpi_options & 64 != 0,
        // Two bit fields of four bits each in one byte, the sender's the lower one.
        send_window_scale: low_bits(info.tcpi_snd_rcv_wscale),
        receive_window_scale: high_bits(info.tcpi_snd_rcv_wscale),
    })
}

/// A part of the kernel's `struct tcp_info`. May grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The connection's state.
    pub state: TcpState,
    /// Smoothed round trip; zero until something was acknowledged.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variation: Duration,
    /// Shortest round trip of the last minutes; unlike the smoothed one it holds no delayed
    /// acknowledgement; zero until one was measured.
    pub min_rtt: Duration,
    /// Bytes in the largest segment that it sends.
    pub send_mss: u32,
    /// Bytes in the largest segment that it has seen.
    pub receive_mss: u32,
    /// Segments in flight.
    pub unacknowledged: u32,
    /// Segments sent more than once, over the connection's life.
    pub retransmissions: u32,
    /// Whether timestamps are in use (RFC 7323).
    pub has_timestamps: bool,
    /// Whether selective acknowledgements are in use (RFC 2018).
    pub has_sack: bool,
    /// Whether window scaling is in use (RFC 7323).
    pub has_window_scale: bool,
    /// Whether its timestamps count microseconds instead of milliseconds.
    pub has_microsecond_timestamps: bool,
    /// The shift of windows that the peer announces.
    pub send_window_scale: u8,
    /// The shift of windows that this side announces.
    pub receive_window_scale: u8,
}

/// RFC 9293 §3.3.2: the states of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are RFC 9293's")]
pub enum TcpState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl TcpState {
    /// Reads the numbers of net/tcp_states.h.
    const fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            // 12 is TCP_NEW_SYN_RECV, which is the same to everyone outside the kernel.
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => Self::Closed,
        }
    }
}

const fn low_bits(byte: u8) -> u8 {
    byte & 0x0f
}

const fn high_bits(byte: u8) -> u8 {
    byte >> 4
}

/// Of linux/tcp.h since 6.15; in milliseconds.
const TCP_RTO_MAX_MS: i32 = 44;

/// Opens a nonblocking TCP socket that may share its port.
pub(crate) fn reusable(local: SocketAddr) -> Result<Socket, DeviceError> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(local), kind, Some(Protocol::TCP));
    let socket = socket.on("socket SOCK_STREAM", local)?;
    socket.set_reuse_address(true).on("setsockopt SO_REUSEADDR", local)?;
    socket.set_reuse_port(true).on("setsockopt SO_REUSEPORT", local)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens_beside_a_service() {
        let service = service_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = service.local_addr().unwrap();
        assert!(service_listener(taken).is_err());
        assert!(listener_saving_syn(taken).is_err());
    }

    #[test]
    fn who_is_accepted_is_as_the_listener_says() {
        let minute = Duration::from_secs(60);
        for is_asked in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            if is_asked {
                keep_alive(&listener, minute).unwrap();
                limit_unacknowledged(&listener, 2 * minute).unwrap();
                send_at_once(&listener).unwrap();
            }
            let _dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.keepalive().unwrap(), is_asked);
            assert_eq!(accepted.tcp_nodelay().unwrap(), is_asked);
            let limit = is_asked.then_some(2 * minute);
            assert_eq!(accepted.tcp_user_timeout().unwrap().filter(|it| !it.is_zero()), limit);
            if is_asked {
                assert_eq!(accepted.tcp_keepalive_time().unwrap(), minute);
                assert_eq!(accepted.tcp_keepalive_interval().unwrap(), minute / 6);
                assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 6);
            }
        }
    }

    #[test]
    fn a_ttl_that_was_set_gives_way_to_the_systems_own() {
        for (local, ttl) in [
            ("127.0.0.1:0", Socket::ttl_v4 as fn(&Socket) -> io::Result<u32>),
            ("[::1]:0", Socket::unicast_hops_v6),
        ] {
            let socket = reusable(local.parse().unwrap()).unwrap();
            let systems = ttl(&socket).unwrap();
            set_ttl(&socket, Ttl(2)).unwrap();
            assert_eq!(ttl(&socket).unwrap(), 2);
            reset_ttl(&socket).unwrap();
            assert_eq!(ttl(&socket).unwrap(), systems);
        }
    }
}
