//! Framing between two peers (seed 001 ¶156-157): two lengths, then a part A and a part B.
//!
//! Part A is an XML document, or a channel header of 16 bytes that begins with [`MAGIC`]; part B is
//! the data that belongs to it. Both lengths are checked against their limits before a byte of the
//! parts is kept.

use thiserror::Error;

/// The longest part A, in bytes.
pub const MAX_PART_A: usize = 64 * 1024;
/// The longest part B, in bytes.
pub const MAX_PART_B: usize = 256 * 1024;
/// What a channel header begins with. No document begins with such a byte.
pub const MAGIC: [u8; 4] = [0x9e, b's', b'o', b'c'];
/// Bytes in a channel header.
pub const CHANNEL_HEADER_LEN: usize = 16;

const LENGTHS: usize = 8;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerFrame {
    /// Part A.
    pub head: PartA,
    /// Part B.
    pub data: Vec<u8>,
}

/// What a frame is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PartA {
    /// An XML document, not yet read; [`crate::peer_link::Message`] reads it.
    Document(Vec<u8>),
    /// Part B is data of a channel.
    Channel(ChannelHeader),
}

/// A channel, as one of the two sides counts its own. Each side has a number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(pub u32);

/// The head of a channel's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelHeader {
    /// What else is said with it.
    pub flags: Flags,
    /// The sender's number of the channel.
    pub source: ChannelNumber,
    /// The receiver's number of the channel.
    pub destination: ChannelNumber,
}

/// Bits of a channel header. Those that are not known are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Nothing but data.
    pub const NONE: Self = Self(0);
    /// Send no more on this channel.
    pub const SUSPEND: Self = Self(0x1);
    /// Send on.
    pub const RESUME: Self = Self(0x2);
    /// The sender sends no more on this channel.
    pub const CLOSE: Self = Self(0x4);
    /// The sender sends no more and takes no more: the channel is over.
    pub const ABORT: Self = Self(Self::SUSPEND.0 | Self::CLOSE.0);
    /// An abort, and what came before is not all that there was.
    pub const BREAK: Self = Self(Self::ABORT.0 | 0x8);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl PeerFrame {
    /// Appends the frame to `wire`.
    ///
    /// # Panics
    ///
    /// Panics when a part is longer than 4 GiB; the limits are far below.
    pub fn encode(&self, wire: &mut Vec<u8>) {
        match &self.head {
            PartA::Document(document) => {
                lengths(document.len(), self.data.len(), wire);
                wire.extend_from_slice(document);
            }
            PartA::Channel(header) => {
                lengths(CHANNEL_HEADER_LEN, self.data.len(), wire);
                wire.extend_from_slice(&MAGIC);
                for word in [header.flags.0, header.source.0, header.destination.0] {
                    wire.extend_from_slice(&word.to_be_bytes());
                }
            }
        }
        wire.extend_from_slice(&self.data);
    }
}

fn lengths(a: usize, b: usize, wire: &mut Vec<u8>) {
    for length in [a, b] {
        let length = u32::try_from(length).expect("a part fits into 32 bits of length");
        wire.extend_from_slice(&length.to_be_bytes());
    }
}

/// Cuts a byte stream into frames.
#[derive(Debug, Clone, Default)]
pub struct PeerDecoder {
    buffer: Vec<u8>,
    /// How much of the buffer has been given out.
    done: usize,
}

impl PeerDecoder {
    /// Takes bytes as they came from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 && self.done * 2 >= self.buffer.len() {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, or `None` where more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`PeerFrameError`] when a length is above its limit, or part A is no document and no channel
    /// header; the stream cannot be read on.
    pub fn poll_frame(&mut self) -> Result<Option<PeerFrame>, PeerFrameError> {
        let waiting = self.buffer.get(self.done..).unwrap_or_default();
        let Some((a, rest)) = waiting.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length_of_a = within(*a, MAX_PART_A)?;
        let Some((b, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length_of_b = within(*b, MAX_PART_B)?;
        let Some((head, rest)) = rest.split_at_checked(length_of_a) else {
            return Ok(None);
        };
        let Some(data) = rest.get(..length_of_b) else {
            return Ok(None);
        };
        let frame = PeerFrame { head: part_a(head)?, data: data.to_vec() };
        self.done += LENGTHS + length_of_a + length_of_b;
        if self.done == self.buffer.len() {
            self.done = 0;
            self.buffer.clear();
        }
        Ok(Some(frame))
    }
}

fn within(announced: [u8; 4], limit: usize) -> Result<usize, PeerFrameError> {
    let announced = u32::from_be_bytes(announced) as usize;
    if announced > limit {
        return Err(PeerFrameError::TooLong { announced, limit });
    }
    Ok(announced)
}

fn part_a(bytes: &[u8]) -> Result<PartA, PeerFrameError> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else {
        return Ok(PartA::Document(bytes.to_vec()));
    };
    let mut words = rest.chunks_exact(4).filter_map(|word| word.try_into().ok());
    let mut next = || words.next().map(u32::from_be_bytes);
    let (Some(flags), Some(source), Some(destination), None) = (next(), next(), next(), next())
    else {
        return Err(PeerFrameError::ChannelHeader);
    };
    if bytes.len() != CHANNEL_HEADER_LEN {
        return Err(PeerFrameError::ChannelHeader);
    }
    Ok(PartA::Channel(ChannelHeader {
        flags: Flags(flags),
        source: ChannelNumber(source),
        destination: ChannelNumber(destination),
    }))
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerFrameError {
    /// A part is longer than its receiver takes.
    #[error("the frame announces a part of {announced} bytes, at most {limit} are taken here")]
    TooLong {
        /// The announced length in bytes.
        announced: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Part A begins as a channel header and is none.
    #[error("a channel header has {CHANNEL_HEADER_LEN} bytes")]
    ChannelHeader,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_channel_header_is_as_the_page_shows_it() {
        let header = ChannelHeader {
            flags: Flags::CLOSE,
            source: ChannelNumber(1),
            destination: ChannelNumber(0x0102_0304),
        };
        let mut wire = Vec::new();
        PeerFrame { head: PartA::Channel(header), data: b"end".to_vec() }.encode(&mut wire);
        assert_eq!(wire, *b"\0\0\0\x10\0\0\0\x03\x9esoc\0\0\0\x04\0\0\0\x01\x01\x02\x03\x04end");
    }

    #[test]
    fn each_part_over_its_limit_is_refused_before_it_arrives() {
        for (lengths, announced, limit) in [
            ([MAX_PART_A as u32 + 1, 0], MAX_PART_A + 1, MAX_PART_A),
            ([0, MAX_PART_B as u32 + 1], MAX_PART_B + 1, MAX_PART_B),
        ] {
            let mut decoder = PeerDecoder::default();
            lengths.iter().for_each(|length| decoder.push(&length.to_be_bytes()));
            assert_eq!(decoder.poll_frame(), Err(PeerFrameError::TooLong { announced, limit }));
        }
        let mut decoder = PeerDecoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert!(decoder.poll_frame().is_err(), "the second length is not waited for");
    }

    #[test]
    fn a_channel_header_of_another_length_is_refused() {
        for length in [4, 15, 17, 20] {
            let mut wire = Vec::new();
            lengths(length, 0, &mut wire);
            wire.extend_from_slice(&MAGIC);
            wire.resize(LENGTHS + length, 0);
            let mut decoder = PeerDecoder::default();
            decoder.push(&wire);
            assert_eq!(decoder.poll_frame(), Err(PeerFrameError::ChannelHeader), "{length}");
        }
    }

    fn frames() -> impl Strategy<Value = PeerFrame> {
        let document = "<[a-z]{0,40}/>".prop_map(|text| PartA::Document(text.into_bytes()));
        let channel = any::<[u32; 3]>().prop_map(|[flags, source, destination]| {
            let [source, destination] = [source, destination].map(ChannelNumber);
            PartA::Channel(ChannelHeader { flags: Flags(flags), source, destination })
        });
        (prop_oneof![document, channel], prop::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(head, data)| PeerFrame { head, data })
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            frames in prop::collection::vec(frames(), 0..8),
            cut in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            frames.iter().for_each(|frame| frame.encode(&mut wire));
            let mut decoder = PeerDecoder::default();
            let mut seen = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.poll_frame().unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut decoder = PeerDecoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.poll_frame() {}
        }
    }
}
