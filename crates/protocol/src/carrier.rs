//! The words by which bytes go through HTTP where a proxy forbids CONNECT (seed 000: two HTTP links
//! with endless bodies, one up, one down).
//!
//! A carrier is one stream in both directions. Each request of it names the carrier, the direction
//! by its method (`POST` up, `GET` down), and the offset of the first byte of its body in that
//! direction, which is what makes a repeated request harmless.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::token::{TOKEN_LEN, Token};

/// Bytes of a digest, and of a carrier's identity.
pub const DIGEST_LEN: usize = 32;

/// What the server puts at the head of the stream down: one byte as soon as it is asked, a second
/// when the first byte of the stream up has come. The first shows that the proxy passes on a body
/// that has not ended, the second that it does so upwards too.
pub const SEEN: u8 = b'.';

/// Bytes of [`SEEN`] at the head of the stream down.
pub const HEAD_DOWN: u64 = 2;

/// Bytes of [`SEEN`] at the head of the stream up.
pub const HEAD_UP: u64 = 1;

/// The name of the host under which a relay takes a CONNECT that carries a value.
pub const RENDEZVOUS: &str = ".rendezvous";

const PREFIX: &str = "/simopen/";

/// Which way the bytes of an exchange go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the server, in bodies of requests.
    Up,
    /// From the server to the client, in bodies of responses.
    Down,
}

impl Direction {
    /// What stands for a value in this direction: SHA-256(value ‖ "up") or SHA-256(value ‖ "down").
    #[must_use]
    pub fn digest(self, value: &Token) -> [u8; DIGEST_LEN] {
        let word = match self {
            Self::Up => "up",
            Self::Down => "down",
        };
        Sha256::new().chain_update(value.as_bytes()).chain_update(word).finalize().into()
    }
}

/// A carrier's identity, which its client chooses at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub [u8; DIGEST_LEN]);

impl fmt::Debug for CarrierId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CarrierId(…)")
    }
}

/// What a carrier is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Errand {
    /// What comes is sniffed like a connection: a control link.
    Link,
    /// To meet at the relay: the digest of the value, in the request's direction.
    Meet([u8; DIGEST_LEN]),
}

impl fmt::Debug for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Link => "Link",
            Self::Meet(_) => "Meet(…)",
        })
    }
}

/// How far the body of an exchange goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// To the end of the stream in this direction; the end of the body is the end of the stream.
    Endless,
    /// As far as there is something, and more follows in further exchanges.
    Bounded,
    /// Bounded, and nothing follows: the end of the stream up.
    Last,
}

impl Extent {
    const fn word(self) -> &'static str {
        match self {
            Self::Endless => "endless",
            Self::Bounded => "bounded",
            Self::Last => "last",
        }
    }
}

/// The path of a request: `/simopen/link/CARRIER/EXTENT/OFFSET` or
/// `/simopen/meet/DIGEST/CARRIER/EXTENT/OFFSET`, digest and carrier as 64 lower-case hexadecimal
/// digits, the offset decimal without a zero in front. A path has one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangePath {
    /// What the carrier is for.
    pub errand: Errand,
    /// Which carrier.
    pub carrier: CarrierId,
    /// How far the body goes.
    pub extent: Extent,
    /// The offset of the body's first byte in the stream of this direction, its head included.
    pub offset: u64,
}

impl fmt::Display for ExchangePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        match &self.errand {
            Errand::Link => formatter.write_str("link/")?,
            Errand::Meet(digest) => {
                formatter.write_str("meet/")?;
                write_hex(digest, formatter)?;
                formatter.write_str("/")?;
            }
        }
        write_hex(&self.carrier.0, formatter)?;
        write!(formatter, "/{}/{}", self.extent.word(), self.offset)
    }
}

impl FromStr for ExchangePath {
    type Err = ExchangePathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let mut parts = path.strip_prefix(PREFIX).ok_or(ExchangePathError)?.split('/');
        let mut next = || parts.next().ok_or(ExchangePathError);
        let errand = match next()? {
            "link" => Errand::Link,
            "meet" => Errand::Meet(parse_hex(next()?)?),
            _ => return Err(ExchangePathError),
        };
        let carrier = CarrierId(parse_hex(next()?)?);
        let word = next()?;
        let all = [Extent::Endless, Extent::Bounded, Extent::Last];
        let extent = all.into_iter().find(|known| known.word() == word).ok_or(ExchangePathError)?;
        let digits = next()?;
        let offset = digits.parse().map_err(|_| ExchangePathError)?;
        if u64::to_string(&offset) != digits {
            return Err(ExchangePathError);
        }
        match parts.next() {
            None => Ok(Self { errand, carrier, extent, offset }),
            Some(_) => Err(ExchangePathError),
        }
    }
}

/// Reads the authority of a CONNECT by which an unmodified client presents its value to a relay:
/// `VALUE.rendezvous:443`, the value as 52 characters of base32.
#[must_use]
pub fn rendezvous_value(authority: &str) -> Option<Token> {
    let (host, port) = authority.rsplit_once(':')?;
    if port != "443" {
        return None;
    }
    Token::parse(host.strip_suffix(RENDEZVOUS)?).ok()
}

fn write_hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

fn parse_hex(text: &str) -> Result<[u8; DIGEST_LEN], ExchangePathError> {
    let mut bytes = [0; DIGEST_LEN];
    if text.len() != 2 * TOKEN_LEN {
        return Err(ExchangePathError);
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = digits else { return Err(ExchangePathError) };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(bytes)
}

const fn nibble(digit: u8) -> Result<u8, ExchangePathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ExchangePathError),
    }
}

/// A path that names no exchange of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the path names no exchange of a carrier")]
pub struct ExchangePathError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errands() -> impl Strategy<Value = Errand> {
        prop_oneof![Just(Errand::Link), any::<[u8; 32]>().prop_map(Errand::Meet)]
    }

    fn extents() -> impl Strategy<Value = Extent> {
        prop_oneof![Just(Extent::Endless), Just(Extent::Bounded), Just(Extent::Last)]
    }

    #[test]
    fn the_digests_of_a_value_are_those_of_the_page() {
        let value = Token::from_random([0xff; 32]);
        let hex = |digest: [u8; 32]| digest.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex(Direction::Up.digest(&value)),
            "1f1729a506655da5f5aefcf4011b959fbae47b3da5b51cbb7eb6c6a9dd213837"
        );
        assert_eq!(
            hex(Direction::Down.digest(&value)),
            "632dbdb5ed667dd9b8ec7062b0853e7a78ea6be5c17b85a43e96084faa3b42d5"
        );
    }

    #[test]
    fn a_rendezvous_has_a_value_and_the_port_443() {
        let value = Token::from_random([7; 32]);
        let name = value.reveal();
        assert_eq!(rendezvous_value(&format!("{name}.rendezvous:443")), Some(value));
        for other in ["", ":443", "x.rendezvous:443", "example.org:443"] {
            assert_eq!(rendezvous_value(other), None, "{other}");
        }
        assert_eq!(rendezvous_value(&format!("{name}.rendezvous:80")), None);
        assert_eq!(rendezvous_value(&format!("{name}:443")), None);
    }

    #[test]
    fn no_digest_shows_in_debug_output() {
        let path = ExchangePath {
            errand: Errand::Meet([0xab; 32]),
            carrier: CarrierId([0xab; 32]),
            extent: Extent::Endless,
            offset: 0,
        };
        assert!(!format!("{path:?}").contains("ab"));
    }

    #[test]
    fn an_offset_has_one_spelling() {
        let carrier = "ab".repeat(32);
        let path = |offset: &str| format!("/simopen/link/{carrier}/last/{offset}").parse();
        assert_eq!(path("10").map(|path: ExchangePath| path.offset), Ok(10));
        for other in ["010", "00", "+10", "-0", "", " 10", "18446744073709551616"] {
            assert_eq!(path(other), Err(ExchangePathError), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_path_is_read_back_as_it_was_written(
            errand in errands(), carrier in any::<[u8; 32]>(), extent in extents(), offset in any::<u64>(),
        ) {
            let path = ExchangePath { errand, carrier: CarrierId(carrier), extent, offset };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn no_path_panics_and_whatever_is_read_is_written_alike(text in "(/simopen/(link|meet)/)?[0-9a-f/]{0,160}") {
            if let Ok(path) = text.parse::<ExchangePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
