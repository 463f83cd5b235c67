//! Two connections at one host that are joined to one.

use crate::host::SocketId;
use crate::world::Context;

/// Two connections of which each gets what comes from the other.
#[derive(Debug)]
pub(crate) struct Splice {
    ends: [SocketId; 2],
    /// What has come from an end and is not written to the other yet.
    held: [Vec<u8>; 2],
    halves: [Half; 2],
}

/// One direction, named for the end that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// The end has closed; what came before may be held still.
    Ending,
    /// The other end has been told.
    Over,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spliced {
    BothOpen,
    /// One side has ended, and what came from it is delivered.
    HalfClosed,
    /// Both have.
    Over,
}

impl Splice {
    /// Joins two connections. What was read of each already goes first.
    pub(crate) fn new(ends: [SocketId; 2], held: [Vec<u8>; 2]) -> Self {
        Self { ends, held, halves: [Half::Open; 2] }
    }

    pub(crate) fn has(&self, socket: SocketId) -> bool {
        self.ends.contains(&socket)
    }

    /// One of the two has closed its half, and all before that has been read.
    pub(crate) fn closed(&mut self, socket: SocketId) {
        for (end, half) in self.ends.iter().zip(&mut self.halves) {
            if *end == socket && *half == Half::Open {
                *half = Half::Ending;
            }
        }
    }

    /// Reads and writes what goes.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Spliced {
        for from in [0, 1] {
            let to = self.ends[1 - from];
            let held = &mut self.held[from];
            loop {
                if held.is_empty() {
                    context.host.read(self.ends[from], held);
                }
                if held.is_empty() {
                    break;
                }
                let written = context.host.write(to, held, context.now);
                if written == 0 {
                    break;
                }
                held.drain(..written.min(held.len()));
            }
            if self.halves[from] == Half::Ending && held.is_empty() {
                context.host.close(to, context.now);
                self.halves[from] = Half::Over;
            }
        }
        match self.halves.iter().filter(|half| **half == Half::Over).count() {
            0 => Spliced::BothOpen,
            1 => Spliced::HalfClosed,
            _ => Spliced::Over,
        }
    }

    /// Lets go of both connections.
    pub(crate) fn drop_both(&self, context: &mut Context<'_>) {
        for end in self.ends {
            context.host.drop_socket(end);
        }
    }
}
