//! Proxies that do not pass endless bodies on: bounded ones take their place.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use simopen_peer::carriage::{Carriage, NoProxy, Proxy, Way};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Place, converse};

/// What a proxy does with bodies that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It wants to know the length of what goes up (411), and passes on what comes down.
    WantsLength,
    /// It waits for the end of each body, both ways.
    HoldsBack,
}

/// A proxy without CONNECT.
struct AwkwardProxy {
    at: SocketAddr,
    /// Requests with a body that it passed on.
    posts: Arc<AtomicU64>,
}

impl AwkwardProxy {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let posts = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&posts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                let service = service_fn(move |request| {
                    let counter = Arc::clone(&counter);
                    async move { Ok::<_, Infallible>(pass_on(request, manner, &counter).await) }
                });
                let connection = server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { at, posts }
    }

    fn carriage(&self) -> Carriage {
        let proxy = Proxy { address: self.at.into(), login: None };
        Carriage { proxy: Some(proxy), no_proxy: NoProxy::default() }
    }
}

type Body = http_body_util::Either<Full<Bytes>, Incoming>;

async fn pass_on(request: Request<Incoming>, manner: Manner, posts: &AtomicU64) -> Response<Body> {
    let plain = |status| {
        let mut response = Response::new(Body::Left(Full::default()));
        *response.status_mut() = status;
        response
    };
    if request.method() == Method::CONNECT {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    let has_length = request.headers().contains_key(CONTENT_LENGTH);
    if request.method() == Method::POST {
        if manner == Manner::WantsLength && !has_length {
            return plain(StatusCode::LENGTH_REQUIRED);
        }
        posts.fetch_add(1, Ordering::Relaxed);
    }
    let Some(server) = request.uri().authority().cloned() else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let Ok(stream) = TcpStream::connect(server.as_str()).await else {
        return plain(StatusCode::BAD_GATEWAY);
    };
    let (mut sender, connection) =
        client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return plain(StatusCode::BAD_REQUEST);
    };
    head.uri = head.uri.path().parse().unwrap();
    head.headers.remove(hyper::header::TRANSFER_ENCODING);
    let sent = sender.send_request(Request::from_parts(head, Full::new(body.to_bytes()))).await;
    let Ok(response) = sent else {
        return plain(StatusCode::BAD_GATEWAY);
    };
    let (head, body) = response.into_parts();
    match manner {
        Manner::WantsLength => Response::from_parts(head, Body::Right(body)),
        Manner::HoldsBack => {
            // Dropped with this request, as a proxy drops what nobody waits for any more.
            let _held = AbortOnDrop(connection);
            let Ok(body) = body.collect().await else {
                return plain(StatusCode::BAD_GATEWAY);
            };
            Response::from_parts(head, Body::Left(Full::new(body.to_bytes())))
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn meets_through(manner: Manner) {
    let proxy = AwkwardProxy::start(manner).await;
    let place = Place::start();
    let values = place.open(1);
    let carriage = proxy.carriage();
    let (a, b) = tokio::join!(
        place.meet(&carriage, values[0], Way::Configured),
        place.meet(&carriage, values[1], Way::Configured)
    );
    converse(a.unwrap(), b.unwrap()).await;
    let posts = proxy.posts.load(Ordering::Relaxed);
    assert!(posts > 10, "{posts} requests went up: they were not bounded");
}

#[tokio::test]
async fn through_a_proxy_that_wants_lengths_bounded_bodies_go_up() {
    meets_through(Manner::WantsLength).await;
}

#[tokio::test]
async fn through_a_proxy_that_holds_bodies_back_bounded_ones_go_both_ways() {
    meets_through(Manner::HoldsBack).await;
}
