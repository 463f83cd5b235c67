//! The stream down.

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use simopen_protocol::carrier::{Direction, Extent};
use std::io;
use tokio::io::{AsyncWriteExt, DuplexStream, WriteHalf};
use tokio::time::timeout;
use tracing::debug;

use super::{Exchanger, PASSED_ON_WITHIN, Wire, take_seen};
use crate::carriage::CarriageError;
use crate::carriage::exchange::{Body, nothing};

/// The stream down, its first byte taken off.
pub(super) struct Down {
    /// What has come and was not asked for yet.
    rest: Bytes,
    source: Source,
}

enum Source {
    /// One body; its connection is kept open beside it.
    Endless { body: Incoming, _connection: SendRequest<Body> },
    /// Many.
    Bounded { exchanger: Exchanger, offset: u64 },
}

impl Down {
    /// Finds out how bytes come down.
    pub(super) async fn open(wire: &Wire) -> Result<Self, CarriageError> {
        let endless = timeout(PASSED_ON_WITHIN, Self::open_endless(wire)).await;
        let mut down = match endless {
            Ok(Ok(down)) => return Ok(down),
            Ok(Err(error)) if !super::may_pass(&error) => return Err(error),
            Ok(Err(error)) => Self::bounded(wire, &error.to_string()),
            Err(_) => Self::bounded(wire, "nothing came"),
        };
        let mut first = down.piece().await?.unwrap_or_default();
        take_seen(&mut first)?;
        down.rest = first;
        Ok(down)
    }

    async fn open_endless(wire: &Wire) -> Result<Self, CarriageError> {
        let mut connection = wire.origin.connect().await?;
        let exchange = (Direction::Down, Extent::Endless, 0);
        let response = wire.send(&mut connection, exchange, nothing()).await?;
        if response.status() != StatusCode::OK {
            return Err(wire.unwanted(response).await);
        }
        let source = Source::Endless { body: response.into_body(), _connection: connection };
        let mut down = Self { rest: Bytes::new(), source };
        let mut first = down.piece().await?.unwrap_or_default();
        take_seen(&mut first)?;
        down.rest = first;
        Ok(down)
    }

    fn bounded(wire: &Wire, why: &str) -> Self {
        debug!(why, "no endless body comes down");
        let source = Source::Bounded { exchanger: Exchanger::new(wire.clone()), offset: 0 };
        Self { rest: Bytes::new(), source }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self.source {
            Source::Endless { .. } => "endless",
            Source::Bounded { .. } => "bounded",
        }
    }

    /// Waits for the byte that shows that the first one has come up. May be dropped and called
    /// again.
    pub(super) async fn seen(&mut self) -> Result<(), CarriageError> {
        if self.rest.is_empty() {
            self.rest = self.piece().await?.unwrap_or_default();
        }
        take_seen(&mut self.rest)
    }

    /// The next bytes; `None` at the end. May be dropped and called again.
    async fn piece(&mut self) -> Result<Option<Bytes>, CarriageError> {
        match &mut self.source {
            Source::Endless { body, .. } => loop {
                match body.frame().await.transpose()? {
                    None => return Ok(None),
                    Some(frame) => match frame.into_data() {
                        Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                        Ok(_) | Err(_) => {}
                    },
                }
            },
            Source::Bounded { exchanger, offset } => loop {
                let exchange = (Direction::Down, Extent::Bounded, *offset);
                let (status, bytes) = exchanger.ask(exchange, &Bytes::new()).await?;
                if status == StatusCode::NO_CONTENT {
                    return Ok(None);
                }
                if !bytes.is_empty() {
                    *offset += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
            },
        }
    }

    /// Carries to the end of the stream.
    pub(super) async fn carry(
        mut self,
        mut near: WriteHalf<DuplexStream>,
    ) -> Result<(), CarriageError> {
        let write = |error: io::Error| CarriageError::Broken(error);
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            near.write_all(&bytes).await.map_err(write)?;
            bytes = match self.piece().await? {
                Some(bytes) => bytes,
                None => return near.shutdown().await.map_err(write),
            };
        }
    }
}
