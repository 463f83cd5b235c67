//! Packets that wait to leave, in memory that is used again.

use std::collections::VecDeque;

use super::engine::MTU;

/// Packets that may wait; what comes beyond is lost, as at a full device.
const WAITING: usize = 4096;
/// Empty buffers that are kept.
const SPARE: usize = 64;

/// Packets that wait to leave.
#[derive(Default)]
pub(super) struct Outbox {
    /// Room for the packet that is being written, as long as the longest.
    scratch: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Lets a packet wait that `write` writes; it returns the length, or `None` for none.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        self.scratch.resize(MTU, 0);
        let length = write(&mut self.scratch);
        let written = length.and_then(|length| self.scratch.get(..length));
        if let Some(written) = written.filter(|_| self.waiting.len() < WAITING) {
            let mut packet = self.spare.pop().unwrap_or_default();
            packet.clear();
            packet.extend_from_slice(written);
            self.waiting.push_back(packet);
        }
    }

    /// Lets a copy of a packet wait.
    pub(super) fn copy(&mut self, packet: &[u8]) {
        self.write(|into| {
            into.get_mut(..packet.len())?.copy_from_slice(packet);
            Some(packet.len())
        });
    }

    /// The packet that came last.
    pub(super) fn last(&self) -> &[u8] {
        self.waiting.back().map_or(&[], Vec::as_slice)
    }

    /// The packet that has waited longest, swapped into `into`.
    pub(super) fn take(&mut self, into: &mut Vec<u8>) -> bool {
        let Some(packet) = self.waiting.pop_front() else {
            return false;
        };
        let emptied = std::mem::replace(into, packet);
        if self.spare.len() < SPARE {
            self.spare.push(emptied);
        }
        true
    }
}
