//! A stream inside bodies of HTTP: two endless bodies where the proxy passes them on as they come,
//! many bounded ones where it does not. Which, is found out for each direction by one byte.

mod down;
mod up;

use std::io;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Response, StatusCode};
use simopen_protocol::carrier::{self, CarrierId, Direction, ExchangePath, Extent, SEEN};
use tokio::io::{DuplexStream, duplex, split};
use tokio::time::timeout;
use tracing::debug;

use self::down::Down;
use self::up::Up;
use super::exchange::{Body, Origin, refused};
use super::{CarriageError, Carried, Errand};

/// How long a byte may take through a proxy that passes bodies on as they come; beyond, bounded
/// exchanges are taken.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(3);

/// How long one bounded exchange may take: the server waits for 20 s for something to go down.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How often one bounded exchange is made again where it broke; repeating it is harmless.
const TRIES: u32 = 5;

/// Bytes that wait in each direction, and the most in one bounded exchange.
const BUFFER: usize = 16 * 1024;

/// Opens a stream to the server.
pub(super) async fn open(origin: Origin, errand: &Errand) -> Result<Carried, CarriageError> {
    let mut id = [0; carrier::DIGEST_LEN];
    getrandom::fill(&mut id).map_err(|error| CarriageError::Entropy(io::Error::other(error)))?;
    let wire = Wire { origin, errand: *errand, carrier: CarrierId(id) };
    let mut down = Down::open(&wire).await?;
    let up = Up::open(&wire, &mut down).await?;
    debug!(up = up.kind(), down = down.kind(), "inside bodies of HTTP");
    let (near, far) = duplex(BUFFER);
    tokio::spawn(carry(near, up, down));
    Ok(Carried::from(far))
}

/// Carries until both directions have ended or one has broken.
async fn carry(near: DuplexStream, up: Up, down: Down) {
    let (reader, writer) = split(near);
    if let Err(error) = tokio::try_join!(up.carry(reader), down.carry(writer)) {
        debug!(%error, "a stream inside bodies of HTTP broke");
    }
}

/// Where the exchanges of one carrier go.
#[derive(Debug, Clone)]
struct Wire {
    origin: Origin,
    errand: Errand,
    carrier: CarrierId,
}

impl Wire {
    fn path(&self, direction: Direction, extent: Extent, offset: u64) -> ExchangePath {
        let errand = match &self.errand {
            Errand::Link => carrier::Errand::Link,
            Errand::Meet(value) => carrier::Errand::Meet(direction.digest(value)),
        };
        ExchangePath { errand, carrier: self.carrier, extent, offset }
    }

    /// Begins an exchange on that connection.
    async fn send(
        &self,
        connection: &mut SendRequest<Body>,
        (direction, extent, offset): (Direction, Extent, u64),
        body: Body,
    ) -> Result<Response<Incoming>, CarriageError> {
        let method = match direction {
            Direction::Up => Method::POST,
            Direction::Down => Method::GET,
        };
        let path = self.path(direction, extent, offset);
        Ok(connection.send_request(self.origin.request(method, &path, body)?).await?)
    }

    /// What another answer than the wanted ones means.
    async fn unwanted(&self, response: Response<Incoming>) -> CarriageError {
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::CONFLICT => {
                CarriageError::NotTaken
            }
            _ => CarriageError::ProxyRefused(refused(self.origin.answers(), response).await),
        }
    }

    fn timed_out(&self) -> CarriageError {
        CarriageError::TimedOut(self.origin.answers().clone())
    }
}

/// Makes bounded exchanges one after the other, and those that break again.
struct Exchanger {
    wire: Wire,
    connection: Option<SendRequest<Body>>,
}

impl Exchanger {
    const fn new(wire: Wire) -> Self {
        Self { wire, connection: None }
    }

    /// One exchange. Where this is dropped its connection is, and it may be made again.
    async fn ask(
        &mut self,
        exchange: (Direction, Extent, u64),
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), CarriageError> {
        let mut pause = Duration::from_millis(50);
        let mut tries = 1;
        loop {
            let once = timeout(ANSWER_WITHIN, self.ask_once(exchange, body)).await;
            match once.unwrap_or_else(|_| Err(self.wire.timed_out())) {
                Err(error) if tries < TRIES && may_pass(&error) => {
                    debug!(%error, tries, "a bounded exchange broke and is made again");
                    tokio::time::sleep(pause).await;
                    tries += 1;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn ask_once(
        &mut self,
        exchange: (Direction, Extent, u64),
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), CarriageError> {
        use http_body_util::BodyExt;

        let mut connection = match self.connection.take().filter(|known| !known.is_closed()) {
            Some(known) => known,
            None => self.wire.origin.connect().await?,
        };
        let body = super::exchange::whole(body.clone());
        let response = self.wire.send(&mut connection, exchange, body).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.wire.unwanted(response).await);
        }
        let bytes = response.into_body().collect().await?.to_bytes();
        if connection.ready().await.is_ok() {
            self.connection = Some(connection);
        }
        Ok((status, bytes))
    }
}

/// Whether the same exchange may work the next time.
fn may_pass(error: &CarriageError) -> bool {
    match error {
        CarriageError::Http(_)
        | CarriageError::Broken(_)
        | CarriageError::TimedOut(_)
        | CarriageError::Unreachable { .. }
        | CarriageError::ProxyUnreachable { .. } => true,
        CarriageError::ProxyRefused(words) => words.status >= 500,
        CarriageError::NoAddress(_)
        | CarriageError::NoProxy
        | CarriageError::NotTaken
        | CarriageError::Entropy(_) => false,
    }
}

/// Takes the byte off that shows that something has passed.
fn take_seen(bytes: &mut Bytes) -> Result<(), CarriageError> {
    if bytes.first() == Some(&SEEN) {
        drop(bytes.split_to(1));
        return Ok(());
    }
    Err(CarriageError::Broken(io::Error::other("what came first is not what a server sends first")))
}
