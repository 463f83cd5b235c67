//! A command's end of the manager's socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

use super::ManagerError;
use super::ending::Ending;
use super::words::{self, Answer, ConnectOrder, Deed, Incoming, Order, Refusal, Route, Status};

/// The manager of this device, as a command reaches it.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// A service that is offered through the manager as long as this stands.
#[derive(Debug)]
pub struct Listening {
    client: Client,
    stream: UnixStream,
}

/// By which the manager hears how this side of a stream ends. Where it is dropped before a word,
/// the stream broke.
#[derive(Debug)]
pub(super) struct Word {
    stream: OwnedWriteHalf,
}

impl Client {
    /// Reaches the manager. `None` where none runs.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Socket`] where the socket is there and cannot be used.
    pub async fn reach(socket: &Path) -> Result<Option<Self>, ManagerError> {
        match UnixStream::connect(socket).await {
            Ok(_) => Ok(Some(Self { socket: socket.to_owned() })),
            // One that was killed leaves its socket behind.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(ManagerError::Socket(error)),
        }
    }

    /// What is known of all brokers.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the manager says.
    pub async fn status(&self) -> Result<Status, Refusal> {
        let answer = self.ask(&Order::Status).await?.0;
        if let Answer::Status(status) = answer { Ok(status) } else { Err(unexpected(answer)) }
    }

    /// Connects to a service of another peer.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the manager says.
    pub async fn connect(&self, order: &ConnectOrder) -> Result<(Route, UnixStream), Refusal> {
        match self.ask(&Order::Connect(order.clone())).await? {
            (Answer::Connected(route), stream) => Ok((route, stream)),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// Does something that a broker keeps or passes on; gives the number of a note that was sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the manager says.
    pub async fn act(&self, deed: &Deed) -> Result<Option<u64>, Refusal> {
        let answer = self.ask(&Order::Do(deed.clone())).await?.0;
        if let Answer::Done { note } = answer { Ok(note) } else { Err(unexpected(answer)) }
    }

    /// Watches over the end of the stream of this number, from before the first byte on.
    pub(super) async fn watch(&self, connection: u64) -> Result<(Word, Ending), Refusal> {
        let watched = async {
            let stream = UnixStream::connect(&self.socket).await;
            let mut stream = stream.map_err(ManagerError::Socket)?;
            words::say(&mut stream, &Order::Watch { connection }).await?;
            Ok::<_, ManagerError>(stream.into_split())
        };
        let (told, word) = watched.await.map_err(Refusal::failed)?;
        Ok((Word { stream: word }, Ending::at_manager(told)))
    }

    /// Offers a service.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the manager says.
    pub async fn listen(&self, service: &str) -> Result<Listening, Refusal> {
        match self.ask(&Order::Listen { service: service.to_owned() }).await? {
            (Answer::Listening, stream) => Ok(Listening { client: self.clone(), stream }),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    async fn ask(&self, order: &Order) -> Result<(Answer, UnixStream), Refusal> {
        let asked = async {
            let stream = UnixStream::connect(&self.socket).await;
            let mut stream = stream.map_err(ManagerError::Socket)?;
            words::say(&mut stream, order).await?;
            let answer = words::hear(&mut stream).await?;
            let gone = || ManagerError::Socket(io::ErrorKind::UnexpectedEof.into());
            Ok::<_, ManagerError>((answer.ok_or_else(gone)?, stream))
        };
        asked.await.map_err(Refusal::failed)
    }
}

impl Word {
    /// Says how it ends.
    pub(super) fn say(&self, end: &Order) -> io::Result<()> {
        let bytes = words::in_bytes(end).map_err(io::Error::other)?;
        // Two short words always have room.
        let said = self.stream.try_write(&bytes)?;
        if said == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl Listening {
    /// The manager that offers it.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The next connection and its stream. Dropping the future may lose one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the manager has ended.
    pub async fn next(&mut self) -> Result<(Incoming, UnixStream), Refusal> {
        loop {
            let heard = words::hear(&mut self.stream).await.map_err(Refusal::failed)?;
            let Some(answer) = heard else {
                return Err(Refusal::failed("`simopen peer` has ended"));
            };
            let Answer::Incoming(incoming) = answer else {
                return Err(unexpected(answer));
            };
            let take = Order::Take { connection: incoming.connection };
            // Whoever came may have gone in the meantime.
            if let (Answer::Done { .. }, stream) = self.client.ask(&take).await? {
                return Ok((incoming, stream));
            }
        }
    }
}

pub(super) fn unexpected(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        Answer::Status(_)
        | Answer::Connected(_)
        | Answer::Listening
        | Answer::Incoming(_)
        | Answer::Done { .. } => Refusal::failed(ManagerError::NotUnderstood),
    }
}
