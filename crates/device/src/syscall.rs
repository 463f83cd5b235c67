//! The system calls that neither `std` nor `socket2` nor `nix` wraps: all `unsafe` is here.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Data that the kernel may read and write as bytes.
///
/// # Safety
///
/// The type has no padding, no pointers and no invalid bit patterns.
pub(crate) unsafe trait PlainData: Copy {}

// SAFETY: every bit pattern of 32 bits is an integer.
unsafe impl PlainData for i32 {}
// SAFETY: every bit pattern of 32 bits is an integer.
unsafe impl PlainData for u32 {}
// SAFETY: every bit pattern of 64 bits is an integer.
unsafe impl PlainData for u64 {}
// SAFETY: two 32-bit integers lie side by side without padding.
unsafe impl PlainData for [RepairOption; 4] {}
// SAFETY: five 32-bit integers lie side by side without padding.
unsafe impl PlainData for RepairWindow {}
// SAFETY: all fields are integers (bit fields are kept as bytes); padding is never read.
unsafe impl PlainData for libc::tcp_info {}

/// `struct tcp_repair_opt` of linux/tcp.h.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct RepairOption {
    pub(crate) code: u32,
    pub(crate) value: u32,
}

/// `struct tcp_repair_window` of linux/tcp.h.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RepairWindow {
    pub(crate) snd_wl1: u32,
    pub(crate) snd_wnd: u32,
    pub(crate) max_window: u32,
    pub(crate) rcv_wnd: u32,
    pub(crate) rcv_wup: u32,
}

/// Sets the calling thread's effective and permitted capabilities; none are inherited.
pub(crate) fn set_capabilities(kept: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words of 32 capabilities each.
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let (low, high) = (kept as u32, (kept >> 32) as u32);
    let data = [[low, low, 0], [high, high, 0]];
    // SAFETY: capset(2) reads a header of two 32-bit integers and, in this version, two records of
    // three; both live to the end of the call, and process number 0 names the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(io::Error::other)?;
    // SAFETY: close_range(2) takes numbers only. Descriptors that the process owns are the caller's
    // business: nothing in memory is touched.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0 as libc::c_uint)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts the calling thread into the real-time class SCHED_RR.
pub(crate) fn round_robin_scheduling(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is valid for the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a socket option to the value's bytes.
pub(crate) fn set_option<T: PlainData>(
    fd: &impl AsFd,
    level: i32,
    name: i32,
    value: T,
) -> io::Result<()> {
    set_option_prefix(fd, level, name, &value, size_of::<T>())
}

/// Sets a TCP_REPAIR_OPTIONS list to its first `count` entries.
pub(crate) fn set_repair_options(
    fd: &impl AsFd,
    options: &[RepairOption; 4],
    count: usize,
) -> io::Result<()> {
    let length = count.min(options.len()) * size_of::<RepairOption>();
    set_option_prefix(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR_OPTIONS, options, length)
}

fn set_option_prefix<T: PlainData>(
    fd: &impl AsFd,
    level: i32,
    name: i32,
    value: &T,
    length: usize,
) -> io::Result<()> {
    debug_assert!(length <= size_of::<T>());
    // SAFETY: `value` is valid for reads of `length` bytes, which is at most its own size, and
    // the kernel keeps no reference to it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads a socket option; bytes that the kernel does not fill are zero.
pub(crate) fn option<T: PlainData>(fd: &impl AsFd, level: i32, name: i32) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is valid for writes of `length` bytes, its whole size.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes were zeroed or written by the kernel, and `PlainData` has no invalid
    // bit pattern.
    Ok(unsafe { value.assume_init() })
}

/// Reads a socket option of variable length into `buffer` and returns how many bytes it has.
pub(crate) fn option_bytes(
    fd: &impl AsFd,
    level: i32,
    name: i32,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: `buffer` is valid for writes of `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(length as usize) } else { Err(io::Error::last_os_error()) }
}

/// Binds a packet socket to every protocol on one interface, or on all where `index` is 0.
pub(crate) fn bind_packet(fd: &impl AsFd, index: u32) -> io::Result<()> {
    // SAFETY: zero is a valid value of every field of `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: `address` is a whole `sockaddr_ll`, and its size is given.
    let result = unsafe {
        libc::bind(
            fd.as_fd().as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a packet socket says of one packet.
pub(crate) struct Received {
    /// Length of the whole packet in bytes, also where the buffer was shorter.
    pub(crate) length: usize,
    /// PACKET_HOST, PACKET_OUTGOING and the like.
    pub(crate) packet_type: u8,
}

/// Receives one packet from a packet socket.
pub(crate) fn receive_packet(fd: &impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: zero is a valid value of every field of `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `buffer` and `address` are valid for writes of the lengths given with them.
    let result = unsafe {
        libc::recvfrom(
            fd.as_fd().as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Received { length: result as usize, packet_type: address.sll_pkttype })
}

/// Makes an open `/dev/net/tun` the device of that name, with `flags` of linux/if_tun.h, and
/// returns the name that it got. `name` is shorter than `IFNAMSIZ`.
pub(crate) fn attach_tun(fd: &impl AsFd, name: &str, flags: i32) -> io::Result<String> {
    // SAFETY: zero is a valid value of every field of `ifreq`.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives to the end of the call.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let given = request.ifr_name.iter().take_while(|letter| **letter != 0);
    Ok(given.map(|letter| char::from(letter.cast_unsigned())).collect())
}
