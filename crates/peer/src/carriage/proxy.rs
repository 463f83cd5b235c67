//! An HTTP proxy, and the hosts to which it does not lead.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use simopen_protocol::address::HostPort;
use thiserror::Error;

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub address: HostPort,
    /// Who one is there.
    pub login: Option<Login>,
}

/// User and password for Basic authentication (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(…)")
    }
}

impl Login {
    /// What stands in `Proxy-Authorization`.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Reads `http://user:password@host:port`; scheme, login and port (3128) may be left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(ProxyError),
            None => text,
        };
        let rest = rest.trim_end_matches('/');
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(parse_login(login)?), host),
            None => (None, rest),
        };
        let address = host.parse().or_else(|_| format!("{host}:3128").parse());
        Ok(Self { address: address.map_err(|_| ProxyError)?, login })
    }
}

fn parse_login(text: &str) -> Result<Login, ProxyError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(Login { user: percent_decoded(user)?, password: percent_decoded(password)? })
}

/// RFC 3986 §2.1.
fn percent_decoded(text: &str) -> Result<String, ProxyError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(ProxyError);
            };
            bytes.push((high << 4 | low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| ProxyError)?;
    // They would end the header that they go into.
    if decoded.chars().any(char::is_control) { Err(ProxyError) } else { Ok(decoded) }
}

/// A text that is no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected http://USER:PASSWORD@HOST:PORT, with or without the login; other proxies than those of HTTP, and proxies by TLS, are not spoken to"
)]
pub struct ProxyError;

/// Hosts to which no proxy leads, as NO_PROXY lists them: names with everything below them (with or
/// without a leading dot), addresses, networks as `10.0.0.0/8`, and `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    All,
    Name(String),
    Network(IpAddr, u8),
}

impl FromStr for NoProxy {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Ok(Self(words.map(Rule::parse).collect()))
    }
}

impl NoProxy {
    /// Whether that host, a name or an address, is reached without a proxy.
    ///
    /// ```
    /// use simopen_peer::carriage::NoProxy;
    ///
    /// let Ok(hosts) = "example.org,.local,10.0.0.0/8,2001:db8::1".parse::<NoProxy>();
    /// assert!(hosts.covers("example.org") && hosts.covers("a.example.org"));
    /// assert!(hosts.covers("printer.local") && hosts.covers("10.1.2.3"));
    /// assert!(!hosts.covers("notexample.org") && !hosts.covers("11.0.0.1"));
    /// ```
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|rule| match rule {
            Rule::All => true,
            Rule::Network(network, length) => {
                address.is_some_and(|address| is_within(address, *network, *length))
            }
            Rule::Name(name) => {
                host == *name || host.strip_suffix(name).is_some_and(|below| below.ends_with('.'))
            }
        })
    }
}

impl Rule {
    fn parse(word: &str) -> Self {
        if word == "*" {
            return Self::All;
        }
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Self::Network(address, width(address));
        }
        if let Some((network, length)) = word.split_once('/')
            && let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse())
            && length <= width(network)
        {
            return Self::Network(network, length);
        }
        let name = word.trim_start_matches("*.").trim_start_matches('.');
        // A port is not told apart.
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        Self::Name(name.to_ascii_lowercase())
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn is_within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let head = |bits: u128, all: u8| bits.checked_shr(u32::from(all - length)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            head(u32::from(address).into(), 32) == head(u32::from(network).into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            head(address.into(), 128) == head(network.into(), 128)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_and_without_login_and_port() {
        let proxy: Proxy = "http://al%40ice:w%3Aord@proxy.example:8080/".parse().unwrap();
        assert_eq!(proxy.address.to_string(), "proxy.example:8080");
        let login = proxy.login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("al@ice", "w:ord"));
        assert_eq!(login.basic(), "Basic YWxAaWNlOnc6b3Jk");
        assert_eq!(format!("{login:?}"), "Login(…)");

        let bare: Proxy = "proxy.example".parse().unwrap();
        assert_eq!((bare.address.to_string().as_str(), bare.login), ("proxy.example:3128", None));
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in
            ["", "https://proxy:1", "socks5://proxy:1", "http://a:%0d%0a@b:1", "http://a:%4@b"]
        {
            assert_eq!(text.parse::<Proxy>(), Err(ProxyError), "{text}");
        }
    }

    #[test]
    fn hosts_without_a_proxy_are_told_by_name_address_and_network() {
        let covers = |rules: &str, host: &str| {
            let Ok(rules) = rules.parse::<NoProxy>();
            rules.covers(host)
        };
        for (rules, host) in [
            ("*", "anything"),
            ("a.example", "A.Example"),
            (".a.example", "a.example"),
            ("*.a.example", "b.a.example"),
            ("x, a.example:443", "b.a.example"),
            ("192.0.2.0/24", "192.0.2.77"),
            ("0.0.0.0/0", "203.0.113.1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::9"),
        ] {
            assert!(covers(rules, host), "{rules} {host}");
        }
        for (rules, host) in [
            ("", "a.example"),
            ("a.example", "ba.example"),
            ("192.0.2.0/24", "192.0.3.1"),
            ("192.0.2.0/24", "2001:db8::1"),
            ("192.0.2.0/40", "192.0.2.1"),
            ("example", "example.org"),
        ] {
            assert!(!covers(rules, host), "{rules} {host}");
        }
    }
}
