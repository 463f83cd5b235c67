//! The numbers of the system calls that a confined process is left with, for its filter.

macro_rules! numbers {
    ($($name:ident = $number:ident;)*) => {$(
        #[doc = concat!("`", stringify!($number), "` of this architecture.")]
        pub const $name: i64 = libc::$number;
    )*};
}

numbers! {
    RECVMSG = SYS_recvmsg;
    SENDMSG = SYS_sendmsg;
    SENDTO = SYS_sendto;
    GETSOCKOPT = SYS_getsockopt;
    GETSOCKNAME = SYS_getsockname;
    GETPEERNAME = SYS_getpeername;
    CLOSE = SYS_close;
    FCNTL = SYS_fcntl;
    CLOCK_GETTIME = SYS_clock_gettime;
    BRK = SYS_brk;
    MMAP = SYS_mmap;
    MREMAP = SYS_mremap;
    MUNMAP = SYS_munmap;
    SIGALTSTACK = SYS_sigaltstack;
    EXIT_GROUP = SYS_exit_group;
}

/// PROT_EXEC, the bit of mmap's third argument that makes memory executable.
pub const EXECUTABLE: u64 = libc::PROT_EXEC as u64;

/// The command of fcntl by which a build with assertions looks whether what it closes is open.
pub const IS_OPEN: u64 = libc::F_GETFD as u64;

/// What [`crate::socket`] asks a socket in `saved_syn_bytes`, `tcp_info`, `cookie`,
/// `namespace_cookie` and `endpoints`: level and name of each option.
pub const SOCKET_QUESTIONS: [(u64, u64); 5] = [
    (libc::IPPROTO_TCP as u64, libc::TCP_SAVED_SYN as u64),
    (libc::IPPROTO_TCP as u64, libc::TCP_INFO as u64),
    (libc::SOL_SOCKET as u64, libc::SO_COOKIE as u64),
    (libc::SOL_SOCKET as u64, libc::SO_NETNS_COOKIE as u64),
    (libc::SOL_SOCKET as u64, libc::SO_PROTOCOL as u64),
];
