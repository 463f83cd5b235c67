//! One-time random values.

use core::fmt;

use thiserror::Error;

/// Bytes in a token.
pub const TOKEN_LEN: usize = 32;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 256 bits in groups of five.
const TEXT_LEN: usize = 52;

/// A random value of 32 bytes whose first bit is set, so that it is never taken for ASCII or TLS.
///
/// It prints as 52 characters of lower-case base32 (RFC 4648 §6, no padding) through
/// [`Token::reveal`] only; `Debug` keeps it out of logs. Whoever judges a presented token compares
/// [`Token::as_bytes`] in constant time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_LEN]);

impl Token {
    /// A token made of random bytes; sets the first bit.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; TOKEN_LEN]) -> Self {
        bytes[0] |= 0x80;
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }

    /// The value as text, for the one message that carries it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(TEXT_LEN);
        for group in 0..TEXT_LEN {
            let mut value = 0_usize;
            for bit in group * 5..group * 5 + 5 {
                let byte = self.0.get(bit / 8).copied().unwrap_or(0);
                value = value << 1 | usize::from(byte >> (7 - bit % 8) & 1);
            }
            text.push(char::from(ALPHABET[value]));
        }
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when it is not 52 characters of that alphabet, when bits are left over, or
    /// when the first bit is not set.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() != TEXT_LEN {
            return Err(TokenError);
        }
        let mut bytes = [0_u8; TOKEN_LEN];
        for (group, letter) in text.bytes().enumerate() {
            let value = ALPHABET.iter().position(|known| *known == letter).ok_or(TokenError)?;
            for offset in 0..5 {
                let bit = group * 5 + offset;
                let one = value >> (4 - offset) & 1 == 1;
                match bytes.get_mut(bit / 8) {
                    Some(byte) if one => *byte |= 1 << (7 - bit % 8),
                    None if one => return Err(TokenError),
                    Some(_) | None => {}
                }
            }
        }
        if bytes[0] & 0x80 == 0 { Err(TokenError) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a token is {TEXT_LEN} characters of a-z and 2-7 whose first bit is set")]
pub struct TokenError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let token = Token::from_random([0xab; 32]);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    proptest! {
        #[test]
        fn what_is_revealed_is_read_back(bytes in any::<[u8; 32]>()) {
            let token = Token::from_random(bytes);
            prop_assert_eq!(Token::parse(&token.reveal()), Ok(token));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = Token::parse(&text);
        }
    }
}
