//! Where a service listens, by name or by number.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use thiserror::Error;

/// The longest host name, in bytes (RFC 1035 §2.3.4).
const MAX_HOST_LEN: usize = 253;

/// A host name or address, and a port: `relay.example:443`, `192.0.2.1:443`, `[2001:db8::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host: a name in lower case, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint, where the host is an address.
    #[must_use]
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, self.port))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(endpoint: SocketAddr) -> Self {
        Self { host: endpoint.ip().to_string(), port: endpoint.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(HostPortError)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => {
                host.parse::<Ipv6Addr>().map_err(|_| HostPortError)?;
                host
            }
            None if is_name(host) => host,
            None => return Err(HostPortError),
        };
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// A DNS name, or an IPv4 address (RFC 1123 §2.1).
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= MAX_HOST_LEN && host.split('.').all(is_label)
}

/// A text that is no host with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected HOST:PORT, as in relay.example:443, 192.0.2.1:443 or [2001:db8::1]:443")]
pub struct HostPortError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_as_they_are_written() {
        for text in ["relay.example:443", "192.0.2.1:7443", "[2001:db8::1]:443", "localhost:1"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert!("192.0.2.1:1".parse::<HostPort>().unwrap().endpoint().is_some());
        assert!("relay.example:1".parse::<HostPort>().unwrap().endpoint().is_none());
    }

    #[test]
    fn what_is_no_host_with_a_port_is_refused() {
        for text in [
            "",
            "relay",
            "relay:",
            "relay:0",
            "relay:70000",
            ":1",
            "a..b:1",
            "::1:1",
            "[x]:1",
            "a b:1",
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
        }
    }
}
