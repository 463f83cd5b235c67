//! The HTTP side: CONNECT that carries a value, and the exchanges of carriers.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming as RequestBody, SizeHint};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use simopen_protocol::carrier::{Direction, ExchangePath, rendezvous_value};
use simopen_relay::Presented;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

use super::carrier::{Carrier, Known};
use super::newcomer::Seat;
use super::{Carried, Newcomer, Shared, count};

/// The head of a request; what is longer is answered with 431 and closed.
const HEAD: usize = 16 * 1024;

/// How long a connection of a proxy may rest between two exchanges.
const REST: Duration = Duration::from_secs(60);

/// Serves HTTP on a connection whose first byte is a letter.
pub(super) async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    newcomer: Newcomer,
    shared: Arc<Shared>,
) {
    let accepted = newcomer.accepted();
    let (seat, mut dismissal) = newcomer.split();
    let (carrier, carriers) = watch::channel(None);
    let standing = Mutex::new(Standing { seat: Some(seat), place: None });
    let visitor = Arc::new(Visitor { shared, remote, accepted, standing, carrier });
    let watcher = watch_over(Arc::clone(&visitor), carriers);
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&visitor);
        async move { Ok::<_, Infallible>(visitor.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(HEAD)
        .header_read_timeout(REST)
        .timer(TokioTimer::new())
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // A broken connection is no news here.
        _ = connection => {}
        () = dismissal.wait() => {}
        () = watcher => {}
    }
}

/// Gives the seat back as soon as a carrier of the connection has shown who it is. Returns never.
async fn watch_over(visitor: Arc<Visitor>, mut carriers: watch::Receiver<Option<Known>>) {
    loop {
        let known = carriers.borrow_and_update().clone();
        tokio::select! {
            () = shown(known) => {
                visitor.identified();
                pending::<()>().await;
            }
            // The visitor has the sender.
            _ = carriers.changed() => {}
        }
    }
}

/// Returns when it is known; never where it goes before.
async fn shown(known: Option<Known>) {
    if let Some(mut known) = known
        && known.wait_for(|known| *known).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

/// One connection that speaks HTTP.
struct Visitor {
    shared: Arc<Shared>,
    remote: SocketAddr,
    accepted: Instant,
    standing: Mutex<Standing>,
    /// The carrier that a request named last and that has a place for this connection.
    carrier: watch::Sender<Option<Known>>,
}

/// What a connection holds: a seat until it belongs to somebody known, a place at its carrier.
struct Standing {
    seat: Option<Seat>,
    place: Option<OwnedSemaphorePermit>,
}

impl Visitor {
    async fn answer(&self, request: Request<RequestBody>) -> Response<Answer> {
        let direction = match *request.method() {
            Method::CONNECT => return self.rendezvous(request),
            Method::POST => Direction::Up,
            Method::GET => Direction::Down,
            _ => return self.not_found(),
        };
        let Ok(path) = request.uri().path().parse::<ExchangePath>() else {
            return self.not_found();
        };
        let Some(carrier) =
            self.shared.carriers.find(&path, direction, self.remote, self.accepted, &self.shared)
        else {
            return self.not_found();
        };
        let belongs = self.belong(&carrier);
        let mut answer = match direction {
            Direction::Up => carrier.up(path.extent, path.offset, request.into_body()).await,
            Direction::Down => carrier.down(path.extent, path.offset).await,
        };
        if !belongs {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Whether the carrier has a place for this connection; then the seat is given back as soon as
    /// the carrier has shown who it is.
    fn belong(&self, carrier: &Carrier) -> bool {
        let mut standing = self.standing();
        standing.place = carrier.place(standing.place.take());
        let belongs = standing.place.is_some();
        drop(standing);
        if belongs {
            self.carrier.send_replace(Some(carrier.known()));
        }
        belongs
    }

    /// An unmodified client presents its value in the name of the host that it wants.
    fn rendezvous(&self, request: Request<RequestBody>) -> Response<Answer> {
        let value = request.uri().authority().and_then(|name| rendezvous_value(name.as_str()));
        let (Some(value), Some(relay)) = (value, &self.shared.relay) else {
            return self.not_found();
        };
        let Some(claim) = relay.claim(&Presented::Value(*value.as_bytes()), self.accepted) else {
            return self.not_found();
        };
        self.identified();
        tokio::spawn(async move {
            // Where this fails the claim goes, and with it what it had.
            let Ok(upgraded) = hyper::upgrade::on(request).await else {
                return;
            };
            if let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() {
                claim.attach(Carried::tcp_after(parts.read_buf, parts.io.into_inner()));
            }
        });
        Response::new(Answer::empty())
    }

    fn identified(&self) {
        drop(self.standing().seat.take());
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // No holder of the lock can leave it half changed.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever leads nowhere is answered alike, and ends the connection.
    fn not_found(&self) -> Response<Answer> {
        count(&self.shared.counters.not_found);
        let mut answer = answer(StatusCode::NOT_FOUND, Answer::empty());
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

/// A response that no cache keeps.
pub(super) fn answer(status: StatusCode, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// The body of a response.
pub(super) enum Answer {
    /// All of it, with its length.
    Whole(Option<Bytes>),
    /// What comes out of the channel, chunked, to its end.
    Endless(mpsc::Receiver<Bytes>),
}

impl Answer {
    pub(super) const fn empty() -> Self {
        Self::Whole(None)
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Endless(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Endless(_) => SizeHint::new(),
        }
    }
}
