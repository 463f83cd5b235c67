//! What is presented, and under which key it is found.

use core::fmt;

use sha2::{Digest, Sha256};
use simopen_protocol::carrier::{DIGEST_LEN, Direction};
use simopen_protocol::token::{TOKEN_LEN, Token};

/// What a connection presents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// A value itself.
    Value([u8; TOKEN_LEN]),
    /// The digest that stands for a value in one direction of a carrier over HTTP.
    Digest(Direction, [u8; DIGEST_LEN]),
}

impl fmt::Debug for Presented {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Value(_) => "Value(…)",
            Self::Digest(Direction::Up, _) => "Digest(Up, …)",
            Self::Digest(Direction::Down, _) => "Digest(Down, …)",
        })
    }
}

/// The digest under which a value is kept.
///
/// How long a look-up takes may tell how much of two keys is alike. Of a value it tells nothing:
/// keys are digests, and nobody who does not know the value can come near its digest on purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; DIGEST_LEN]);

impl Key {
    pub(crate) fn of(presented: &Presented) -> Self {
        let (role, bytes) = match presented {
            Presented::Value(bytes) => ("value", bytes),
            Presented::Digest(Direction::Up, bytes) => ("up", bytes),
            Presented::Digest(Direction::Down, bytes) => ("down", bytes),
        };
        Self(Sha256::new().chain_update(role).chain_update(bytes).finalize().into())
    }

    /// The three keys of a value, each with what it is found by.
    pub(crate) fn all(value: &Token) -> [(Self, How); 3] {
        let digest = |direction: Direction| Presented::Digest(direction, direction.digest(value));
        [
            (Self::of(&Presented::Value(*value.as_bytes())), How::Whole),
            (Self::of(&digest(Direction::Up)), How::Half(Direction::Up)),
            (Self::of(&digest(Direction::Down)), How::Half(Direction::Down)),
        ]
    }
}

/// By what a side was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By its value: both directions at once.
    Whole,
    /// By one direction's digest.
    Half(Direction),
}
