//! The stream up.

use std::io;

use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use simopen_protocol::carrier::{Direction, Extent, HEAD_UP, SEEN};
use tokio::io::{AsyncReadExt, DuplexStream, ReadHalf};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use super::down::Down;
use super::{BUFFER, Exchanger, PASSED_ON_WITHIN, Wire};
use crate::carriage::CarriageError;

/// The stream up, its first byte sent.
pub(super) enum Up {
    /// One body.
    Endless { body: Sender<Bytes, io::Error>, posting: Posting },
    /// Many.
    Bounded { exchanger: Exchanger, offset: u64 },
}

/// The task that waits for the answer to the one endless request.
pub(super) struct Posting(JoinHandle<Result<Response<Incoming>, CarriageError>>);

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Up {
    /// Finds out how bytes go up.
    pub(super) async fn open(wire: &Wire, down: &mut Down) -> Result<Self, CarriageError> {
        let why = match timeout(PASSED_ON_WITHIN, Self::open_endless(wire, down)).await {
            Ok(Ok(up)) => return Ok(up),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nothing was passed on".to_owned(),
        };
        debug!(why, "no endless body goes up");
        let mut exchanger = Exchanger::new(wire.clone());
        exchanger.ask((Direction::Up, Extent::Bounded, 0), &Bytes::from_static(&[SEEN])).await?;
        down.seen().await?;
        Ok(Self::Bounded { exchanger, offset: HEAD_UP })
    }

    async fn open_endless(wire: &Wire, down: &mut Down) -> Result<Self, CarriageError> {
        let mut connection = wire.origin.connect().await?;
        let (sender, channel) = Channel::new(1);
        let mut body = Unfinished(Some(sender));
        let wire = wire.clone();
        let posting = tokio::spawn(async move {
            let exchange = (Direction::Up, Extent::Endless, 0);
            let response = wire.send(&mut connection, exchange, Either::Right(channel)).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(wire.unwanted(response).await)
        });
        let mut posting = Posting(posting);
        body.send(Bytes::from_static(&[SEEN])).await?;
        tokio::select! {
            seen = down.seen() => seen?,
            early = &mut posting.0 => return Err(too_early(early)),
        }
        let body = body.0.take().ok_or_else(|| CarriageError::Broken(broken()))?;
        Ok(Self::Endless { body, posting })
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Endless { .. } => "endless",
            Self::Bounded { .. } => "bounded",
        }
    }

    /// Carries to the end of the stream.
    pub(super) async fn carry(self, mut near: ReadHalf<DuplexStream>) -> Result<(), CarriageError> {
        match self {
            Self::Endless { body, mut posting } => {
                let mut body = Unfinished(Some(body));
                loop {
                    let bytes = tokio::select! {
                        bytes = read(&mut near) => bytes?,
                        early = &mut posting.0 => return Err(too_early(early)),
                    };
                    if bytes.is_empty() {
                        // Its end is the end of the stream.
                        drop(body.0.take());
                        // The answer says that all has come.
                        return (&mut posting.0)
                            .await
                            .map_err(|_| CarriageError::Broken(broken()))?
                            .map(drop);
                    }
                    body.send(bytes).await?;
                }
            }
            Self::Bounded { mut exchanger, mut offset } => loop {
                let bytes = read(&mut near).await?;
                let extent = if bytes.is_empty() { Extent::Last } else { Extent::Bounded };
                exchanger.ask((Direction::Up, extent, offset), &bytes).await?;
                if bytes.is_empty() {
                    return Ok(());
                }
                offset += bytes.len() as u64;
            },
        }
    }
}

async fn read(near: &mut ReadHalf<DuplexStream>) -> Result<Bytes, CarriageError> {
    let mut buffer = vec![0; BUFFER];
    let length = near.read(&mut buffer).await.map_err(CarriageError::Broken)?;
    buffer.truncate(length);
    Ok(buffer.into())
}

fn too_early(
    early: Result<Result<Response<Incoming>, CarriageError>, tokio::task::JoinError>,
) -> CarriageError {
    match early {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => CarriageError::Broken(broken()),
    }
}

fn broken() -> io::Error {
    io::Error::other("the request was answered before its body had ended")
}

/// A body that has not ended; where it is dropped, the request breaks off.
struct Unfinished(Option<Sender<Bytes, io::Error>>);

impl Unfinished {
    async fn send(&mut self, bytes: Bytes) -> Result<(), CarriageError> {
        match &mut self.0 {
            Some(body) => body.send_data(bytes).await.map_err(|_| CarriageError::Broken(broken())),
            None => Err(CarriageError::Broken(broken())),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            body.abort(io::ErrorKind::ConnectionAborted.into());
        }
    }
}
