//! Messages between two processes of one machine, with descriptors in them (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

/// SCM_MAX_FD of linux/net/scm.h: the most descriptors that one message carries.
const MAX_DESCRIPTORS: usize = 253;

/// One end of a pair of connected Unix sockets that keep messages apart (SOCK_SEQPACKET).
///
/// Blocking, unless somebody made the descriptor otherwise.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// A message that arrived.
#[derive(Debug)]
pub struct Received {
    /// How many bytes it had; more than the buffer holds where it was cut off.
    pub length: usize,
    /// The descriptors that came with it, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

impl MessageSocket {
    /// Makes two ends that are connected to each other.
    ///
    /// # Errors
    ///
    /// Where descriptors are used up.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends one message with descriptors, which stay open here.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        let parts = [IoSlice::new(message)];
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for one message. `None` where the other end is gone.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` after the time of [`MessageSocket::set_patience`].
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut space = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_TRUNC;
        let mut parts = [IoSliceMut::new(buffer)];
        let received = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Ok(received) => break received,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let mut descriptors = Vec::new();
        for part in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = part {
                // SAFETY: the kernel has just made these descriptors for this process, and nobody
                // else knows them.
                descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let length = received.bytes;
        Ok(if length == 0 && descriptors.is_empty() {
            None
        } else {
            Some(Received { length, descriptors })
        })
    }

    /// Bounds how long [`MessageSocket::receive`] waits.
    ///
    /// # Errors
    ///
    /// Where the time is zero.
    pub fn set_patience(&self, patience: std::time::Duration) -> io::Result<()> {
        let socket = socket2::SockRef::from(&self.0);
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))
    }
}

impl From<OwnedFd> for MessageSocket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<MessageSocket> for OwnedFd {
    fn from(socket: MessageSocket) -> Self {
        socket.0
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_descriptor_that_was_sent_is_the_same_file() {
        let (one, other) = MessageSocket::pair().unwrap();
        let mut file = File::open("/proc/self/status").unwrap();
        one.send(b"here", &[file.as_fd()]).unwrap();
        let mut buffer = [0; 16];
        let received = other.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..received.length], b"here");
        let [descriptor] = <[OwnedFd; 1]>::try_from(received.descriptors).unwrap();
        let mut again = File::from(descriptor);
        again.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(file.stream_position().unwrap(), 4, "they share one position");
    }

    #[test]
    fn a_message_that_is_too_long_says_so_and_the_next_one_is_whole() {
        let (one, other) = MessageSocket::pair().unwrap();
        one.send(&[7; 40], &[]).unwrap();
        one.send(b"next", &[]).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(other.receive(&mut buffer).unwrap().unwrap().length, 40);
        assert_eq!(other.receive(&mut buffer).unwrap().unwrap().length, 4);
        drop(one);
        assert!(other.receive(&mut buffer).unwrap().is_none(), "the other end is gone");
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_carries_arrive_and_none_is_lost() {
        let (one, other) = MessageSocket::pair().unwrap();
        let (mut writer, reader) = io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        one.send(b"x", &[writer.as_fd(); MAX_DESCRIPTORS]).unwrap();
        let received = other.receive(&mut [0; 4]).unwrap().unwrap();
        assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
        drop(received);
        writer.write_all(b"end").unwrap();
        drop(writer);
        let mut rest = Vec::new();
        let mut reader = reader;
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"end", "it ends, so no copy is left open");
    }
}
