//! CONNECT through an HTTP proxy (RFC 9110 §9.3.6, seed 001 ¶179).

use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use simopen_protocol::address::HostPort;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::exchange::{Body, nothing, refused};
use super::{CarriageError, Carried, Proxy, reach_proxy};

/// How long a proxy may take to reach the server.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection to the server, through the proxy.
pub(super) async fn connect(proxy: &Proxy, to: &HostPort) -> Result<Carried, CarriageError> {
    let stream = reach_proxy(&proxy.address).await?;
    let asked = timeout(ANSWER_WITHIN, ask(stream, proxy, to)).await;
    asked.unwrap_or_else(|_| Err(CarriageError::TimedOut(proxy.address.clone())))
}

async fn ask(stream: TcpStream, proxy: &Proxy, to: &HostPort) -> Result<Carried, CarriageError> {
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let authority = to.to_string();
    let mut request = Request::new(nothing());
    *request.method_mut() = Method::CONNECT;
    // A host with its port is always an authority.
    *request.uri_mut() =
        authority.parse::<Uri>().map_err(|_| CarriageError::NoAddress(to.clone()))?;
    let mut fields = vec![(HOST, authority)];
    fields.extend(proxy.login.as_ref().map(|login| (PROXY_AUTHORIZATION, login.basic())));
    for (name, text) in fields {
        // Neither has control characters.
        let text = text.parse().map_err(|_| CarriageError::NoAddress(to.clone()))?;
        request.headers_mut().insert(name, text);
    }
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(CarriageError::ProxyRefused(refused(&proxy.address, response).await));
    }
    let upgraded = hyper::upgrade::on(response).await?;
    // It is what the handshake was given.
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| CarriageError::NotTaken)?;
    Ok(Carried::tcp_after(parts.read_buf, parts.io.into_inner()))
}
