//! The one line by which a device finds its broker and joins.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::address::HostPort;
use crate::identity::BrokerName;
use crate::token::Token;

/// The most addresses of a broker that one invitation names.
const MAX_ADDRESSES: usize = 8;

/// `simopen://HOST:PORT,HOST:PORT/NAME?ca=…&secret=…&until=…`: everything that `join` needs.
///
/// Whoever has the line can join once, until then; it prints through [`Invitation::reveal`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What the broker calls itself.
    pub broker: BrokerName,
    /// Where it listens, best first.
    pub addresses: Vec<HostPort>,
    /// The SHA-256 of the DER form of its certificate authority's certificate.
    pub authority: [u8; 32],
    /// Good once.
    pub secret: Token,
    /// Seconds since 1970 (UTC) until which it is good.
    pub until: u64,
}

impl Invitation {
    /// The line.
    #[must_use]
    pub fn reveal(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!(
            "simopen://{}/{}?ca={}&secret={}&until={}",
            addresses.join(","),
            self.broker,
            Hexadecimal(&self.authority),
            self.secret.reveal(),
            self.until
        )
    }
}

struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim().strip_prefix("simopen://").ok_or(InvitationError::Scheme)?;
        let (place, query) = rest.split_once('?').ok_or(InvitationError::Incomplete("ca"))?;
        let (addresses, broker) = place.split_once('/').ok_or(InvitationError::Broker)?;
        let addresses: Vec<HostPort> = addresses
            .split(',')
            .take(MAX_ADDRESSES)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| InvitationError::Addresses)?;
        let broker = BrokerName::new(broker).map_err(|_| InvitationError::Broker)?;
        let field = |name: &'static str| {
            let fields = query.split('&').filter_map(|field| field.split_once('='));
            let found = fields.filter(|(key, _)| *key == name).map(|(_, value)| value).next();
            found.ok_or(InvitationError::Incomplete(name))
        };
        let authority = digest(field("ca")?).ok_or(InvitationError::Incomplete("ca"))?;
        let secret =
            Token::parse(field("secret")?).map_err(|_| InvitationError::Incomplete("secret"))?;
        let until = field("until")?.parse().map_err(|_| InvitationError::Incomplete("until"))?;
        Ok(Self { broker, addresses, authority, secret, until })
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let pairs = text.as_bytes().chunks_exact(2);
    let digit = |letter: u8| char::from(letter).to_digit(16);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect();
    (text.len() == 64).then_some(bytes?)?.try_into().ok()
}

/// Why a line is no invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not begin as one.
    #[error("an invitation begins with simopen://; copy the whole line that the broker printed")]
    Scheme,
    /// The addresses are none.
    #[error("the invitation's addresses are not HOST:PORT with commas between")]
    Addresses,
    /// The broker's name is missing.
    #[error("the invitation lacks the broker's name behind its addresses")]
    Broker,
    /// A field is missing or cut off.
    #[error("the invitation's field '{0}' is missing or damaged; copy the whole line")]
    Incomplete(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            broker: BrokerName::new("home").unwrap(),
            addresses: vec!["192.0.2.1:7443".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()],
            authority: [0xa5; 32],
            secret: Token::from_random([3; 32]),
            until: 1_800_000_000,
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = invitation().reveal();
        assert_eq!(line.parse(), Ok(invitation()));
        assert_eq!(format!("  {line}\n").parse(), Ok(invitation()));
    }

    #[test]
    fn a_damaged_line_says_what_is_wrong_with_it() {
        let line = invitation().reveal();
        for (damaged, error) in [
            (line.replace("simopen:", "http:"), InvitationError::Scheme),
            (line.replace("192.0.2.1:7443", "192.0.2.1"), InvitationError::Addresses),
            (line.replace("/home?", "/?"), InvitationError::Broker),
            (line.replace("ca=a5", "ca=a"), InvitationError::Incomplete("ca")),
            (line.replace("&secret", "&"), InvitationError::Incomplete("secret")),
            (line.replace("until=1", "until=x"), InvitationError::Incomplete("until")),
        ] {
            assert_eq!(damaged.parse::<Invitation>(), Err(error), "{damaged}");
        }
    }
}
