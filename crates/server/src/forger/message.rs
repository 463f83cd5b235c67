//! The bytes between a broker and its forger: one message each way, with descriptors on the way
//! there. All numbers are big-endian.
//!
//! ```text
//! prove   1, claimed sequence number (4)      with the peer's socket
//! forge   2, session (8), the packet          with the receiver's socket and the other peer's
//! counts  3
//! answer  0 and what was asked for, or the number of a refusal
//! ```

use simopen_packet::{MAX_SYN_LEN, SeqNumber};
use simopen_protocol::identity::SessionId;

use super::refusal::Refusal;

/// The longest message either way.
pub const MAX_MESSAGE: usize = 1024;

/// What a broker asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Whether the peer at the other end of the socket made the connection's SYN itself: it named
    /// this number. One socket has one try.
    Prove {
        /// The number that the peer named.
        claimed: SeqNumber,
    },
    /// To send this packet from the second socket's peer to the first one's.
    Forge {
        /// For which session.
        session: SessionId,
        /// The whole IP packet.
        packet: &'a [u8],
    },
    /// How many were sent and refused.
    Counts,
}

impl<'a> Request<'a> {
    /// Writes it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Prove { claimed } => [&[PROVE][..], &claimed.0.to_be_bytes()].concat(),
            Self::Forge { session, packet } => {
                [&[FORGE][..], &session.0.to_be_bytes(), packet].concat()
            }
            Self::Counts => vec![COUNTS],
        }
    }

    /// Reads it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes {
            [PROVE, claimed @ ..] => {
                let claimed = SeqNumber(u32::from_be_bytes(claimed.try_into().ok()?));
                Some(Self::Prove { claimed })
            }
            [FORGE, rest @ ..] => {
                let (session, packet) = rest.split_first_chunk()?;
                let session = SessionId(u64::from_be_bytes(*session));
                Some(Self::Forge { session, packet })
            }
            [COUNTS] => Some(Self::Counts),
            _ => None,
        }
    }
}

/// What a forger answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done: for [`Request::Prove`] with the SYN as it arrived, for [`Request::Counts`] with
    /// what [`Counts`] writes, else with nothing.
    Done(Vec<u8>),
    /// It is not done.
    Refused(Refusal),
}

impl Answer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Done(with) => [&[0][..], with].concat(),
            Self::Refused(refusal) => vec![refusal.code()],
        }
    }

    /// Reads an answer; `None` where it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0, with @ ..] => Some(Self::Done(with.to_vec())),
            [code, ..] => Refusal::from_code(*code).map(Self::Refused),
            [] => None,
        }
    }
}

/// What a forger has done since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets that left.
    pub sent: u64,
    /// Endpoints that peers proved.
    pub proven: u64,
    /// Requests that were refused, by reason, without those that never were.
    pub refused: std::collections::BTreeMap<Refusal, u64>,
}

impl Counts {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.sent.to_be_bytes(), self.proven.to_be_bytes()].concat();
        for (refusal, count) in &self.refused {
            bytes.push(refusal.code());
            bytes.extend(count.to_be_bytes());
        }
        bytes
    }

    /// Reads counts; `None` where they are none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (sent, rest) = bytes.split_first_chunk()?;
        let (proven, mut rest) = rest.split_first_chunk()?;
        let mut refused = std::collections::BTreeMap::new();
        while let [code, tail @ ..] = rest {
            let (count, next) = tail.split_first_chunk()?;
            refused.insert(Refusal::from_code(*code)?, u64::from_be_bytes(*count));
            rest = next;
        }
        let (sent, proven) = (u64::from_be_bytes(*sent), u64::from_be_bytes(*proven));
        Some(Self { sent, proven, refused })
    }
}

const PROVE: u8 = 1;
const FORGE: u8 = 2;
const COUNTS: u8 = 3;

/// Counts of all reasons fit into one message, and so does the longest packet.
const _: () = assert!(16 + 9 * Refusal::ALL.len() < MAX_MESSAGE && 9 + MAX_SYN_LEN <= MAX_MESSAGE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let requests = [
            Request::Prove { claimed: SeqNumber(0x8000_0001) },
            Request::Forge { session: SessionId(7), packet: &[4, 5, 6] },
            Request::Counts,
        ];
        for request in requests {
            assert_eq!(Request::parse(&request.to_bytes()), Some(request));
        }
        for answer in [Answer::Done(vec![1, 2]), Answer::Refused(Refusal::LowPort)] {
            assert_eq!(Answer::parse(&answer.to_bytes()), Some(answer));
        }
        let refused = [(Refusal::Payload, 3), (Refusal::TooMany, u64::MAX)].into();
        let counts = Counts { sent: 1, proven: 2, refused };
        assert_eq!(Counts::parse(&counts.to_bytes()), Some(counts));
    }

    #[test]
    fn bytes_that_are_no_request_are_none() {
        for bytes in [&[][..], &[0], &[1, 2, 3], &[1, 2, 3, 4, 5, 6], &[2, 0, 0], &[3, 0], &[9]] {
            assert_eq!(Request::parse(bytes), None, "{bytes:?}");
        }
    }
}
