//! Framing: a 4-byte big-endian length, then that many bytes (seed 001 ¶145).
//!
//! The length is checked against the limit before a byte of the body is kept, so that a hostile
//! length costs nothing.

use thiserror::Error;

/// The largest frame, in bytes, that the broker takes from a link that has not logged in.
pub const BEFORE_LOGIN: usize = 4 * 1024;
/// The largest frame, in bytes, from a logged-in peer to the broker.
pub const TO_BROKER: usize = 64 * 1024;
/// The largest frame, in bytes, from the broker to a peer.
pub const TO_PEER: usize = 1024 * 1024;

const HEADER: usize = 4;

/// Appends `body` as one frame to `wire`.
///
/// # Panics
///
/// Panics when `body` is longer than [`u32::MAX`] bytes; no document of this protocol comes near.
pub fn encode(body: &[u8], wire: &mut Vec<u8>) {
    let length = u32::try_from(body.len()).expect("a frame body fits into 32 bits of length");
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(body);
}

/// Cuts a byte stream into frames.
#[derive(Debug, Clone)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
}

impl Decoder {
    /// A decoder that refuses frames of more than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new() }
    }

    /// Changes the limit, in bytes, for frames that have not been polled yet.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes as they came from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame's body, or `None` where more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`FrameError`] when the announced length is above the limit; the stream cannot be read on.
    pub fn poll_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*header) as usize;
        if announced > self.limit {
            return Err(FrameError { announced, limit: self.limit });
        }
        let Some(body) = rest.get(..announced) else {
            return Ok(None);
        };
        let body = body.to_vec();
        if self.buffer.len() == HEADER + announced {
            // An idle link holds no buffer.
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..HEADER + announced);
        }
        Ok(Some(body))
    }
}

/// A frame that is longer than its receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the frame announces {announced} bytes, at most {limit} are taken here")]
pub struct FrameError {
    /// The announced length in bytes.
    pub announced: usize,
    /// The limit in bytes.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_one_byte_over_the_limit_is_refused_before_its_body_arrives() {
        let mut decoder = Decoder::new(8);
        decoder.push(&9_u32.to_be_bytes());
        assert_eq!(decoder.poll_frame(), Err(FrameError { announced: 9, limit: 8 }));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8),
            cut in 1_usize..32,
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                encode(body, &mut wire);
            }
            let mut decoder = Decoder::new(64);
            let mut seen = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                while let Some(body) = decoder.poll_frame().unwrap() {
                    seen.push(body);
                }
            }
            prop_assert_eq!(seen, bodies);
        }
    }
}
