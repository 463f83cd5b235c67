//! The first bytes on an opened connection: they confirm that the right peer is at the other end.
//!
//! After a forged open both ends believe that they dialled, and a kernel's ESTABLISHED says
//! nothing about who answers (`docs/architecture.md`, *established and confirmed*). So the
//! originator speaks first with the value that the broker gave for its role, and the responder
//! answers with its own.

use crate::token::{TOKEN_LEN, Token};

/// What each greeting begins with.
pub const MAGIC: [u8; 8] = *b"simopen1";

/// Bytes in a greeting.
pub const GREETING_LEN: usize = MAGIC.len() + TOKEN_LEN;

/// The two values of one session: what this side sends and what it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Greetings {
    /// Sent by this side.
    pub own: Token,
    /// Expected from the other side.
    pub peer: Token,
}

impl Greetings {
    /// The same session seen from the other side.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self { own: self.peer, peer: self.own }
    }
}

/// The bytes that present `token`.
#[must_use]
pub fn encode(token: &Token) -> [u8; GREETING_LEN] {
    let mut bytes = [0; GREETING_LEN];
    let (magic, value) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    value.copy_from_slice(token.as_bytes());
    bytes
}

/// Whether `bytes` present `expected`. Takes the same time wherever they differ.
#[must_use]
pub fn presents(bytes: &[u8; GREETING_LEN], expected: &Token) -> bool {
    let wanted = encode(expected);
    let difference =
        bytes.iter().zip(&wanted).fold(0_u8, |sum, (left, right)| sum | (left ^ right));
    core::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_presents_its_own_token_and_no_other() {
        let token = Token::from_random([1; 32]);
        let other = Token::from_random([2; 32]);
        assert!(presents(&encode(&token), &token));
        assert!(!presents(&encode(&token), &other));
    }
}
