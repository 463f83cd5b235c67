//! Frames on a stream to the broker.

use std::io;
use std::time::{Duration, Instant};

use simopen_device::socket::tcp_info;
use simopen_protocol::control::{ControlError, Message, Request, Response};
use simopen_protocol::frame::{self, Decoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

use crate::control_stream::ControlStream;

/// A framed stream.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: ControlStream,
    decoder: Decoder,
    /// How long the first answer took: the round trip, where a proxy's is no measure.
    answered_after: Duration,
}

impl Wire {
    pub(crate) const fn new(stream: ControlStream) -> Self {
        Self { stream, decoder: Decoder::new(frame::TO_PEER), answered_after: Duration::ZERO }
    }

    pub(crate) async fn send(&mut self, request: Request) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&Message::Request(request).to_bytes(), &mut bytes);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// Sends one request and waits for its response, passing over anything else.
    pub(crate) async fn ask(&mut self, request: Request) -> io::Result<Response> {
        let (id, since) = (request.id, Instant::now());
        self.send(request).await?;
        loop {
            if let Message::Response(response) = self.receive().await?
                && response.head.id() == Some(id)
            {
                self.answered_after = since.elapsed();
                return Ok(response);
            }
        }
    }

    /// The next message; documents of a newer version are passed over. Safe to drop and call again:
    /// bytes are kept in the decoder.
    pub(crate) async fn receive(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(body) = self.decoder.poll_frame().map_err(io::Error::other)? {
                match Message::parse(&body) {
                    Ok(message) => return Ok(message),
                    Err(ControlError::Document(error)) => return Err(io::Error::other(error)),
                    Err(error) => debug!(%error, "the broker said something unknown"),
                }
                continue;
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    pub(crate) fn round_trip(&self) -> Duration {
        let measured = self.stream.socket().and_then(|socket| tcp_info(socket).ok());
        measured.map_or(self.answered_after, |info| info.min_rtt)
    }

    /// The stream, which goes on to hold a port.
    pub(crate) fn into_stream(self) -> ControlStream {
        self.stream
    }
}
