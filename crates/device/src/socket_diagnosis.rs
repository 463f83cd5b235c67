//! Ending the TCP sockets of a network namespace, whoever holds them.

use std::io;

use crate::error::{Context, DeviceError};
use crate::netlink::{Netlink, Request};

/// Ends all TCP sockets of the calling thread's namespace that could still say something:
/// listening, dialling, connected, and those that the kernel keeps of closed ones (TIME-WAIT and
/// all that wait for a last acknowledgement). Each connected one says so by RST.
///
/// # Errors
///
/// Fails without CAP_NET_ADMIN in the namespace, and with EOPNOTSUPP on a kernel that was built
/// without CONFIG_INET_DIAG_DESTROY.
pub fn end_tcp_sockets() -> Result<(), DeviceError> {
    let netlink =
        Netlink::open(libc::NETLINK_SOCK_DIAG).on("socket NETLINK_SOCK_DIAG", "thread")?;
    // A socket may pass from one table to another while they are read, so they are read again.
    for _ in 0..PASSES {
        if end_those_found(&netlink)? == 0 {
            return Ok(());
        }
    }
    let source = io::Error::other("there are always more of them");
    Err(DeviceError::system("SOCK_DESTROY", "all TCP sockets", source))
}

fn end_those_found(netlink: &Netlink) -> Result<usize, DeviceError> {
    let mut found = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let everything = request(SOCK_DIAG_BY_FAMILY, libc::NLM_F_DUMP, family, &[0; ID]);
        let sockets = netlink.ask(everything).on("SOCK_DIAG_BY_FAMILY", "all TCP sockets")?;
        for socket in &sockets {
            let Some(id) = socket.fixed(4 + ID).and_then(|fixed| fixed.get(4..)) else { continue };
            found += 1;
            match netlink.change(request(SOCK_DESTROY, 0, family, id)) {
                // It has ended by itself meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                ended => ended.on("SOCK_DESTROY", "a TCP socket")?,
            }
        }
    }
    Ok(found)
}

/// A `struct inet_diag_req_v2`.
fn request(kind: u16, flags: i32, family: i32, id: &[u8]) -> Request {
    let mut fixed = vec![family as u8, libc::IPPROTO_TCP as u8, 0, 0];
    fixed.extend_from_slice(&SPEAKING.to_ne_bytes());
    fixed.extend_from_slice(id);
    Request::new(kind, flags, &fixed)
}

/// Of linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Of linux/sock_diag.h.
const SOCK_DESTROY: u16 = 21;
/// All states but CLOSE and that of a socket which is bound and nothing else (7 and 13 of
/// net/tcp_states.h): in these it says nothing, and stays for as long as somebody holds it, as a
/// child process does of all sockets until it executes its program.
const SPEAKING: u32 = ((1 << 13) - 2) & !(1 << 7);
/// Length of `struct inet_diag_sockid` in bytes.
const ID: usize = 48;
/// How often the sockets are looked for.
const PASSES: usize = 20;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;
    use crate::namespace::Namespace;

    #[test]
    fn no_socket_is_left_and_its_port_is_free_again() {
        let body = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let here = listener.local_addr().unwrap();
            let mut near = TcpStream::connect(here).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            // A closed one that is still in TIME-WAIT.
            let closed = TcpStream::connect(here).unwrap();
            drop(listener.accept().unwrap());
            drop(closed);

            end_tcp_sockets().unwrap();

            // Aborted here, or reset by the other end, whichever was ended first.
            assert!(near.read(&mut [0]).is_err() && far.read(&mut [0]).is_err());
            drop(listener);
            TcpListener::bind(here).unwrap();
        };
        match Namespace::spawn("sockets", body) {
            Ok(thread) => thread.join().unwrap(),
            Err(error) => {
                let _ = writeln!(io::stderr(), "NOT RUN: needs a namespace: {error}");
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI=true forbids that");
            }
        }
    }
}
