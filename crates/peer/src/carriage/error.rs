//! What keeps a peer from reaching a server.

use std::fmt;
use std::io;

use simopen_protocol::address::HostPort;
use thiserror::Error;

/// What keeps a peer from reaching a server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CarriageError {
    /// The proxy cannot be reached.
    #[error(
        "the HTTP proxy {address} cannot be reached: {source}; HTTPS_PROXY, --proxy or simopen.toml \
         names it, and --proxy none goes straight"
    )]
    ProxyUnreachable {
        /// Where it should listen.
        address: HostPort,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be reached.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// Who was dialled.
        address: HostPort,
        /// What the system says.
        source: io::Error,
    },
    /// A name without an address that this peer may dial.
    #[error("{0} has no address that this peer dials")]
    NoAddress(HostPort),
    /// A way through a proxy was wanted, and none is set up for that host.
    #[error("no HTTP proxy is set up for this host: set HTTPS_PROXY, or take another way")]
    NoProxy,
    /// The proxy said no.
    #[error("the HTTP proxy {0}")]
    ProxyRefused(ProxyWords),
    /// The server knows no such carrier, or the value is unknown, expired or used.
    #[error("the server took neither stream nor value (404)")]
    NotTaken,
    /// The proxy or the server said nothing in time.
    #[error("{0} did not answer in time")]
    TimedOut(HostPort),
    /// What came was no proper HTTP.
    #[error("HTTP broke: {0}")]
    Http(#[from] hyper::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(#[source] io::Error),
}

/// The proxy's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyWords {
    /// Which proxy.
    pub proxy: HostPort,
    /// The status code of its answer.
    pub status: u16,
    /// The reason beside it.
    pub reason: String,
    /// The text of its page, without its markup, at most 500 characters.
    pub text: String,
}

impl ProxyWords {
    /// Whether the proxy wants a login, or another one (RFC 9110 §15.5.8).
    #[must_use]
    pub const fn wants_login(&self) -> bool {
        self.status == 407
    }
}

impl fmt::Display for ProxyWords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} answered {} {}", self.proxy, self.status, self.reason)?;
        if self.wants_login() {
            formatter
                .write_str(" (it wants a user and a password: http://USER:PASSWORD@HOST:PORT)")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.text) }
    }
}

/// Characters of a proxy's page that are kept.
const KEPT: usize = 500;

/// The text of a page: no markup, no style, no control characters, one space between words.
pub(super) fn page_text(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    let lower = page.to_ascii_lowercase();
    let mut text = String::new();
    let mut at = 0;
    while let Some(rest) = page.get(at..) {
        let Some(open) = rest.find('<') else {
            text.push_str(rest);
            break;
        };
        text.push_str(rest.get(..open).unwrap_or_default());
        text.push(' ');
        let tag = at + open;
        let hidden = ["style", "script", "title"]
            .into_iter()
            .find(|name| lower.get(tag + 1..).is_some_and(|tag| tag.starts_with(name)));
        let end = match hidden {
            Some(name) => format!("</{name}>"),
            None => ">".to_owned(),
        };
        let Some(close) = lower.get(tag..).and_then(|rest| rest.find(&end)) else {
            break;
        };
        at = tag + close + end.len();
    }
    let clean: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(KEPT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_page_its_text_is_kept() {
        let page = b"<html><head><title>ERROR</title><style>p { color: red }</style></head>\n\
            <body><p>Access\x1b[31m Denied.</p> <b>Ask</b> the operator</body></html>";
        assert_eq!(page_text(page), "Access [31m Denied. Ask the operator");
    }

    proptest! {
        #[test]
        fn no_page_panics_and_none_is_told_at_length(page in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(page_text(&page).chars().count() <= KEPT);
        }

        #[test]
        fn no_markup_panics(page in "(<|>|/|style|title|é|x| ){0,60}") {
            let _ = page_text(page.as_bytes());
        }
    }
}
