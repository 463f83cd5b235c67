//! Moving bytes from socket to socket without their coming into this process (splice(2)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// A pipe between two splices, nonblocking. It knows how much is in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    capacity: usize,
}

impl Pipe {
    /// Opens a pipe, of that many bytes where the system lets it grow so far.
    ///
    /// # Errors
    ///
    /// Fails where descriptors or the user's share of pipe memory (pipe(7)) are used up.
    pub fn open(capacity: usize) -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let wanted = i32::try_from(capacity).unwrap_or(i32::MAX);
        // Where it may not grow it does with what it has.
        let granted = fcntl(&write, FcntlArg::F_SETPIPE_SZ(wanted))
            .or_else(|_| fcntl(&write, FcntlArg::F_GETPIPE_SZ))?;
        let capacity = usize::try_from(granted).unwrap_or_default();
        Ok(Self { read, write, held: 0, capacity })
    }

    /// Bytes that are in it.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Moves what a socket has received into the pipe; 0 at the end of its stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] where there is nothing, or no room; the socket's own errors.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let room = self.capacity.saturating_sub(self.held).max(1);
        let length = splice(from, None, &self.write, None, room, flags())?;
        self.held += length;
        Ok(length)
    }

    /// Moves what is in the pipe to a socket, as far as it takes it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] where the socket takes nothing; the socket's own errors.
    pub fn drain(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let length = splice(&self.read, None, to, None, self.held, flags())?;
        self.held -= length.min(self.held);
        Ok(length)
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE
}
