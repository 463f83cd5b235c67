//! Values as they are written in files and on the command line.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::{BrokerName, CommunityName, DeviceName, UserId};

/// A value that a file has as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written<T>(pub(crate) T);

/// What is expected where a value is written, for complaints.
pub(crate) trait Expected: FromStr {
    const EXPECTED: &str;
}

impl<'de, T: Expected> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = text.parse().map_err(|_| {
            let found: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            serde::de::Error::custom(format_args!("\"{found}\", expected {}", T::EXPECTED))
        });
        value.map(Self)
    }
}

impl Expected for SocketAddr {
    const EXPECTED: &str = "an address and a port: \"0.0.0.0:7443\" or \"[::]:7443\"";
}

impl Expected for HostPort {
    const EXPECTED: &str = "a host and a port: \"broker.example:7443\" or \"192.0.2.1:7443\"";
}

impl Expected for IpAddr {
    const EXPECTED: &str = "an address: \"192.0.2.1\" or \"2001:db8::1\"";
}

impl Expected for BrokerName {
    const EXPECTED: &str = "a name: 1 to 64 letters, digits, '-', '_' or '.'";
}

impl Expected for UserId {
    const EXPECTED: &str = BrokerName::EXPECTED;
}

impl Expected for DeviceName {
    const EXPECTED: &str = BrokerName::EXPECTED;
}

impl Expected for CommunityName {
    const EXPECTED: &str = BrokerName::EXPECTED;
}

/// A time with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or(PeriodError)?;
        let (number, unit) = text.split_at(split);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(PeriodError),
        };
        let number: u32 = number.trim().parse().map_err(|_| PeriodError)?;
        Ok(Self(Duration::from_millis(u64::from(number) * milliseconds)))
    }
}

impl Expected for Period {
    const EXPECTED: &str = "a time with its unit: \"500ms\", \"30s\", \"15min\", \"24h\", \"7d\"";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodError;

impl Display for PeriodError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "write {}", Period::EXPECTED)
    }
}

impl std::error::Error for PeriodError {}

/// An address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpAddr, pub(crate) u8);

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let length = length.parse().map_err(|_| ())?;
        // What stands behind the prefix would be ignored, and was meant.
        let (bits, width): (u128, u32) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let behind = width.checked_sub(u32::from(length)).ok_or(())?;
        let mask = 1_u128.checked_shl(behind).map_or(u128::MAX, |bit| bit - 1);
        if bits & mask == 0 { Ok(Self(address, length)) } else { Err(()) }
    }
}

impl Expected for Network {
    const EXPECTED: &str = "a prefix: \"10.0.0.0/8\" or \"fd00::/8\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_needs_its_unit() {
        for (text, seconds) in [("30s", 30), ("15min", 900), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "30", "s", "1 fortnight", "-1s", "1.5h"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError), "{text}");
        }
    }

    #[test]
    fn a_network_has_nothing_behind_its_prefix() {
        for text in ["10.0.0.0/8", "192.0.2.1/32", "fc00::/7", "::/0", "0.0.0.0/0"] {
            let network: Result<Network, ()> = text.parse();
            assert!(network.is_ok(), "{text}");
        }
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0", "x/8", "fd00::1/64"] {
            assert_eq!(text.parse::<Network>(), Err(()), "{text}");
        }
    }
}
