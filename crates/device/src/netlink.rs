//! Just enough of netlink to set up links, addresses, routes and rules, and to forget connections.
//!
//! A netlink socket keeps the network namespace that it was opened in, whichever thread uses it
//! later.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

/// A request under construction.
pub(crate) struct Request(Vec<u8>);

/// Length of `struct nlmsghdr` in bytes.
const HEADER: usize = 16;

impl Request {
    /// Begins a request with its fixed part.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = flags as u16 | libc::NLM_F_REQUEST as u16;
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    /// Appends one attribute.
    #[must_use]
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() as u32).to_ne_bytes();
        self.0[0..4].copy_from_slice(&length);
        self.0
    }
}

/// One message of the kernel's answer, without its header.
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Returns the fixed part, where it is as long as said.
    pub(crate) fn fixed(&self, length: usize) -> Option<&[u8]> {
        self.0.get(..length)
    }

    /// Returns the value of the first attribute of a kind, after a fixed part of that length.
    pub(crate) fn attribute(&self, fixed: usize, kind: u16) -> Option<&[u8]> {
        let mut rest = self.0.get(fixed..)?;
        loop {
            let (length, found) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
            // The two highest bits flag nesting and byte order.
            if found & 0x3fff == kind {
                return rest.get(4..usize::from(length));
            }
            rest = rest.get(usize::from(length.max(4)).next_multiple_of(4)..)?;
        }
    }
}

/// A netlink socket of one network namespace.
#[derive(Debug)]
pub(crate) struct Netlink(Mutex<Socket>);

impl Netlink {
    /// Opens a socket to one of the kernel's families (NETLINK_ROUTE or another) in the calling
    /// thread's namespace.
    pub(crate) fn open(family: i32) -> io::Result<Self> {
        let protocol = Protocol::from(family);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        Ok(Self(Mutex::new(socket)))
    }

    /// Sends a request that changes something and waits for the kernel's acknowledgement.
    pub(crate) fn change(&self, mut request: Request) -> io::Result<()> {
        let flags = u16_at(&request.0, 6).unwrap_or(0) | libc::NLM_F_ACK as u16;
        request.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.exchange(request).map(|_| ())
    }

    /// Sends a request that asks for one object or, with NLM_F_DUMP, for a list.
    pub(crate) fn ask(&self, request: Request) -> io::Result<Vec<Message>> {
        self.exchange(request)
    }

    fn exchange(&self, request: Request) -> io::Result<Vec<Message>> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (&*socket).write_all(&request.finish())?;
        let mut messages = Vec::new();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = (&*socket).read(&mut buffer)?;
            if collect(&buffer[..length], &mut messages)? {
                return Ok(messages);
            }
        }
    }
}

/// Takes a datagram apart; returns whether the answer is complete.
fn collect(mut datagram: &[u8], messages: &mut Vec<Message>) -> io::Result<bool> {
    while let (Some(length), Some(kind), Some(flags)) =
        (u32_at(datagram, 0), u16_at(datagram, 4), u16_at(datagram, 6))
    {
        let length = length as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        match i32::from(kind) {
            libc::NLMSG_ERROR => {
                let code = u32_at(body, 0).unwrap_or(0) as i32;
                return if code == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            libc::NLMSG_DONE => return Ok(true),
            _ => messages.push(Message(body.to_vec())),
        }
        if i32::from(flags) & libc::NLM_F_MULTI == 0 {
            return Ok(true);
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(false)
}

/// Returns the bytes of an address in network order.
pub(crate) fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Reads an address from its bytes in network order.
pub(crate) fn address_from(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Returns AF_INET or AF_INET6.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
