//! One HTTP exchange of a carrier.

use std::net::SocketAddr;

use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use simopen_protocol::address::HostPort;
use simopen_protocol::carrier::ExchangePath;

use super::error::{ProxyWords, page_text};
use super::{CarriageError, Proxy, dial_endpoint, reach_proxy};

/// The longest page of a proxy that is read.
const PAGE: usize = 16 * 1024;

/// What goes up: all of it, or what comes out of a channel.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes, std::io::Error>>;

pub(super) fn nothing() -> Body {
    whole(Bytes::new())
}

pub(super) fn whole(bytes: Bytes) -> Body {
    Either::Left(Full::new(bytes))
}

/// Where exchanges go.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    server: HostPort,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Straight(SocketAddr),
    Through(Proxy),
}

impl Origin {
    pub(super) fn straight(server: &HostPort, endpoint: SocketAddr) -> Self {
        Self { server: server.clone(), way: Way::Straight(endpoint) }
    }

    pub(super) fn through(proxy: &Proxy, server: &HostPort) -> Self {
        Self { server: server.clone(), way: Way::Through(proxy.clone()) }
    }

    /// Who answers: the proxy where there is one.
    pub(super) const fn answers(&self) -> &HostPort {
        match &self.way {
            Way::Straight(_) => &self.server,
            Way::Through(proxy) => &proxy.address,
        }
    }

    /// A connection for exchanges, one after the other.
    pub(super) async fn connect(&self) -> Result<SendRequest<Body>, CarriageError> {
        let stream = match &self.way {
            Way::Straight(endpoint) => dial_endpoint(*endpoint, &self.server).await?,
            Way::Through(proxy) => reach_proxy(&proxy.address).await?,
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request as the server, or the proxy, wants it.
    pub(super) fn request(
        &self,
        method: Method,
        path: &ExchangePath,
        body: Body,
    ) -> Result<Request<Body>, CarriageError> {
        let improper = |_| CarriageError::NoAddress(self.server.clone());
        let mut fields = vec![
            (HOST, self.server.to_string()),
            (CACHE_CONTROL, "no-store".to_owned()),
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
        ];
        // Some proxies want a length even of nothing (411).
        if method == Method::POST
            && let Some(length) = body.size_hint().exact()
        {
            fields.push((CONTENT_LENGTH, length.to_string()));
        }
        let mut uri = path.to_string();
        if let Way::Through(proxy) = &self.way {
            uri = format!("http://{}{uri}", self.server);
            fields.extend(proxy.login.as_ref().map(|login| (PROXY_AUTHORIZATION, login.basic())));
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            uri.parse::<Uri>().map_err(|_| CarriageError::NoAddress(self.server.clone()))?;
        for (name, text) in fields {
            request.headers_mut().insert(name, text.parse().map_err(improper)?);
        }
        Ok(request)
    }
}

/// What a proxy says instead of a proper answer.
pub(super) async fn refused(proxy: &HostPort, response: Response<Incoming>) -> ProxyWords {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => page_text(reason.as_bytes()),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let page = Limited::new(response.into_body(), PAGE).collect().await;
    let text = page.map(|page| page_text(&page.to_bytes())).unwrap_or_default();
    ProxyWords { proxy: proxy.clone(), status: status.as_u16(), reason, text }
}
