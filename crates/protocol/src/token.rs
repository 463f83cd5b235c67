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
        let (mut bits, mut held) = (0_u32, 0);
        for byte in self.0 {
            bits = bits << 8 | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text.push(letter(bits >> held));
            }
        }
        // The last letter has one bit of the value and four zeros.
        text.push(letter(bits << (5 - held)));
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
        let mut places = bytes.iter_mut();
        let (mut bits, mut held) = (0_u32, 0);
        for letter in text.bytes() {
            bits = bits << 5 | value(letter)?;
            held += 5;
            if held >= 8 {
                held -= 8;
                *places.next().ok_or(TokenError)? = (bits >> held) as u8;
            }
        }
        let is_left_over = bits & ((1 << held) - 1) != 0;
        if is_left_over || bytes[0] & 0x80 == 0 { Err(TokenError) } else { Ok(Self(bytes)) }
    }
}

/// The letter of the lowest five of `bits`.
fn letter(bits: u32) -> char {
    char::from(ALPHABET[(bits & 0x1f) as usize])
}

fn value(letter: u8) -> Result<u32, TokenError> {
    match letter {
        b'a'..=b'z' => Ok(u32::from(letter - b'a')),
        b'2'..=b'7' => Ok(u32::from(letter - b'2') + 26),
        _ => Err(TokenError),
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
