//! The ways to a broker and to a relay: straight, by CONNECT through an HTTP proxy, or inside bodies
//! of HTTP where a proxy forbids CONNECT.
//!
//! ```no_run
//! use simopen_peer::carriage::{Carriage, Errand, Way};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let carriage = Carriage {
//!     proxy: Some("http://user:word@proxy.example:3128".parse()?),
//!     no_proxy: "localhost,.example,10.0.0.0/8".parse()?,
//! };
//! let broker = "broker.example.org:443".parse()?;
//! let stream = carriage.dial(&broker, &Errand::Link, Way::Configured, |_| true).await?;
//! # drop(stream);
//! # Ok(()) }
//! ```

mod carrier;
mod connect;
mod error;
mod exchange;
mod proxy;

use std::net::SocketAddr;
use std::time::Duration;

pub use simopen_device::carried::Carried;
use simopen_protocol::address::HostPort;
use simopen_protocol::technique;
use simopen_protocol::token::Token;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tracing::info;

pub use self::error::{CarriageError, ProxyWords};
pub use self::proxy::{Login, NoProxy, Proxy, ProxyError};

/// How long one TCP connection may take: SYNs at 0, 1 and 3 s (RFC 6298 §2.1, §5.5), and the way
/// there and back.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How this peer reaches servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carriage {
    /// The HTTP proxy on the way.
    pub proxy: Option<Proxy>,
    /// Hosts to which no proxy leads.
    pub no_proxy: NoProxy,
}

/// The way to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Straight, or through the proxy where one is set up for that host: by CONNECT, and where the
    /// proxy refuses that, inside bodies of HTTP.
    Configured,
    /// Straight.
    Straight,
    /// By CONNECT through the proxy.
    Connect,
    /// Inside bodies of HTTP, through the proxy where one is set up for that host.
    Http,
}

impl From<technique::Carriage> for Way {
    fn from(carriage: technique::Carriage) -> Self {
        match carriage {
            technique::Carriage::Any => Self::Configured,
            technique::Carriage::Connect => Self::Connect,
            technique::Carriage::Http => Self::Http,
        }
    }
}

/// What one goes there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A control link; nothing is sent yet.
    Link,
    /// To meet at a relay; the value is presented.
    Meet(Token),
}

impl Carriage {
    /// Goes there. `may_dial` judges each address of the server before it is dialled straight; the
    /// proxy is the user's own choice.
    ///
    /// # Errors
    ///
    /// [`CarriageError`]; what a proxy said is in it.
    pub async fn dial(
        &self,
        to: &HostPort,
        errand: &Errand,
        way: Way,
        may_dial: impl Fn(SocketAddr) -> bool,
    ) -> Result<Carried, CarriageError> {
        let proxy = self.proxy.as_ref().filter(|_| !self.no_proxy.covers(to.host()));
        match (way, proxy) {
            (Way::Straight, _) | (Way::Configured, None) => {
                let stream = reach(to, may_dial).await?;
                present(stream.into(), errand).await
            }
            (Way::Connect, None) => Err(CarriageError::NoProxy),
            (Way::Connect, Some(proxy)) => {
                present(connect::connect(proxy, to).await?, errand).await
            }
            (Way::Configured, Some(proxy)) => match connect::connect(proxy, to).await {
                Ok(stream) => present(stream, errand).await,
                Err(CarriageError::ProxyRefused(words)) if !words.wants_login() => {
                    info!(%to, %words, "the proxy forbids CONNECT; going inside bodies of HTTP");
                    carrier::open(exchange::Origin::through(proxy, to), errand).await
                }
                Err(error) => Err(error),
            },
            (Way::Http, Some(proxy)) => {
                carrier::open(exchange::Origin::through(proxy, to), errand).await
            }
            (Way::Http, None) => {
                let endpoint = may_reach(to, may_dial).await?;
                carrier::open(exchange::Origin::straight(to, endpoint), errand).await
            }
        }
    }
}

async fn present(mut stream: Carried, errand: &Errand) -> Result<Carried, CarriageError> {
    if let Errand::Meet(value) = errand {
        stream.write_all(value.as_bytes()).await.map_err(CarriageError::Broken)?;
    }
    Ok(stream)
}

/// Connects to the first address that may be dialled and answers.
async fn reach(
    to: &HostPort,
    may_dial: impl Fn(SocketAddr) -> bool,
) -> Result<TcpStream, CarriageError> {
    let mut last = CarriageError::NoAddress(to.clone());
    for endpoint in addresses(to).await? {
        if may_dial(endpoint) {
            match dial_endpoint(endpoint, to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// Connects to a proxy, which is the user's own choice.
async fn reach_proxy(proxy: &HostPort) -> Result<TcpStream, CarriageError> {
    reach(proxy, |_| true).await.map_err(|error| {
        let CarriageError::Unreachable { address, source } = error else { return error };
        CarriageError::ProxyUnreachable { address, source }
    })
}

/// The first address that may be dialled.
async fn may_reach(
    to: &HostPort,
    may_dial: impl Fn(SocketAddr) -> bool,
) -> Result<SocketAddr, CarriageError> {
    let found = addresses(to).await?.into_iter().find(|endpoint| may_dial(*endpoint));
    found.ok_or_else(|| CarriageError::NoAddress(to.clone()))
}

async fn addresses(to: &HostPort) -> Result<Vec<SocketAddr>, CarriageError> {
    if let Some(endpoint) = to.endpoint() {
        return Ok(vec![endpoint]);
    }
    let unreachable = |source| CarriageError::Unreachable { address: to.clone(), source };
    Ok(lookup_host((to.host(), to.port())).await.map_err(unreachable)?.collect())
}

async fn dial_endpoint(endpoint: SocketAddr, to: &HostPort) -> Result<TcpStream, CarriageError> {
    let unreachable = |source| CarriageError::Unreachable { address: to.clone(), source };
    let connected = timeout(CONNECT_WITHIN, TcpStream::connect(endpoint)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(unreachable)?;
    // What is sent first is small and waited for; an error only costs latency.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
