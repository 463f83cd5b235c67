//! The bytes that prove a connection: one repeatable stream each way, compared byte by byte.

use std::time::Duration;

use crate::seed::nth_seed;

/// Seeds of the streams of originator and responder.
pub const STREAMS: [u64; 2] = [0xa, 0xb];

/// Bytes that go each way at the end of a hold.
pub const HELD_BYTES: usize = 16 * 1024;

/// How long those may take: longer than the first two retransmissions.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that are made and compared at a time.
const BLOCK: usize = 128;

/// A repeatable stream of bytes, the numbers of [`nth_seed`].
#[derive(Debug)]
pub struct Pattern {
    seed: u64,
    /// Numbers that were made.
    made: u64,
    bytes: [u8; BLOCK],
    used: usize,
}

impl Pattern {
    /// The stream that begins with `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, made: 0, bytes: [0; BLOCK], used: BLOCK }
    }

    /// Adds the next `length` bytes.
    pub fn fill(&mut self, mut length: usize, into: &mut Vec<u8>) {
        while length > 0 {
            let ready = self.ready(length);
            into.extend_from_slice(ready);
            length -= ready.len();
        }
    }

    /// Whether these are the next bytes.
    pub fn presents(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let ready = self.ready(bytes.len());
            let Some(rest) = bytes.strip_prefix(ready) else { return false };
            bytes = rest;
        }
        true
    }

    /// The next bytes that are made, at least one and at most `most`.
    fn ready(&mut self, most: usize) -> &[u8] {
        if self.used == self.bytes.len() {
            for number in self.bytes.as_chunks_mut().0 {
                *number = nth_seed(self.seed, self.made).to_be_bytes();
                self.made += 1;
            }
            self.used = 0;
        }
        let begin = self.used;
        self.used = self.bytes.len().min(begin + most);
        &self.bytes[begin..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_pieces_of_any_size() {
        let mut whole = Vec::new();
        Pattern::new(7).fill(1000, &mut whole);
        let (mut pieces, mut pattern) = (Vec::new(), Pattern::new(7));
        for length in [1, 127, 129, 0, 743] {
            pattern.fill(length, &mut pieces);
        }
        assert_eq!(pieces, whole);
        assert!(Pattern::new(7).presents(&whole));
        whole[999] ^= 1;
        assert!(!Pattern::new(7).presents(&whole));
    }
}
