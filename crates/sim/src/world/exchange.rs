//! Bytes both ways at once, every one of them compared.

use simopen_packet::Timestamp;
use simopen_scenario::pattern::Pattern;

use crate::host::{Host, SocketId};

/// Bytes of a stream that are made at a time.
const CHUNK: usize = 4 * 1024;

/// One end of an exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    own: Pattern,
    other: Pattern,
    unsent: Vec<u8>,
    /// Room for what is read.
    received: Vec<u8>,
    /// Bytes that have not been made yet.
    to_make: usize,
    to_receive: usize,
    state: Exchanged,
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchanged {
    /// Something has not come yet.
    Waiting,
    /// All bytes came as they were sent.
    Whole,
    /// The connection broke.
    Broken,
    /// A byte is another than the one that was sent.
    Differs,
}

impl Exchange {
    /// Sends `bytes` bytes of the stream that `own` seeds, and expects as many of the other's.
    /// `rest` came in before.
    pub(crate) fn new(bytes: usize, own: u64, other: u64, rest: &[u8]) -> Self {
        let mut exchange = Self {
            own: Pattern::new(own),
            other: Pattern::new(other),
            unsent: Vec::new(),
            received: Vec::new(),
            to_make: bytes,
            to_receive: bytes,
            state: Exchanged::Waiting,
        };
        exchange.compare(rest);
        exchange
    }

    pub(crate) const fn state(&self) -> Exchanged {
        self.state
    }

    /// The connection is gone.
    pub(crate) fn broken(&mut self) {
        if self.state == Exchanged::Waiting {
            self.state = Exchanged::Broken;
        }
    }

    /// Reads and writes what goes. Whether that was anything.
    pub(crate) fn turn(&mut self, socket: SocketId, host: &mut Host, now: Timestamp) -> bool {
        if self.state != Exchanged::Waiting {
            return false;
        }
        let mut is_quiet = true;
        loop {
            if self.unsent.is_empty() {
                let length = self.to_make.min(CHUNK);
                self.own.fill(length, &mut self.unsent);
                self.to_make -= length;
            }
            if self.unsent.is_empty() {
                break;
            }
            let written = host.write(socket, &self.unsent, now);
            self.unsent.drain(..written);
            is_quiet &= written == 0;
            if written == 0 {
                break;
            }
        }
        self.received.clear();
        let mut received = std::mem::take(&mut self.received);
        host.read(socket, &mut received);
        is_quiet &= received.is_empty();
        self.compare(&received);
        self.received = received;
        if self.state == Exchanged::Waiting
            && self.to_receive + self.to_make + self.unsent.len() == 0
        {
            self.state = Exchanged::Whole;
        }
        !is_quiet
    }

    fn compare(&mut self, received: &[u8]) {
        let is_same = received.len() <= self.to_receive && self.other.presents(received);
        if is_same {
            self.to_receive -= received.len();
        } else {
            self.state = Exchanged::Differs;
        }
    }
}
