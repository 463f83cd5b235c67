//! Where a command gets things done: at the manager, or by a device of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::client::{Client, Listening, Word};
use super::device::{Device, DeviceConfig};
use super::ending::Ending;
use super::services::Listener;
use super::words::{ConnectOrder, Deed, Incoming, Order, Refusal, Route, Status};
use crate::home::{Home, Membership};
use crate::peer_link::Channel;

/// How long a command waits at its end for a broker to hear that it goes.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a command gets things done.
#[derive(Debug, Clone)]
pub enum Desk {
    /// At the manager that runs on this device.
    Manager(Client),
    /// By logging in from this process.
    Own(Device),
}

/// A stream to another peer, from wherever it comes.
#[derive(Debug)]
pub struct Stream {
    carriage: Carriage,
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Carriage {
    /// A socket's end does not tell whether that was all; it is told apart from it.
    Socket(UnixStream, Word),
    Channel(Channel),
}

/// Gives the connections to a service.
#[derive(Debug)]
pub enum Doorway {
    /// From the manager.
    Manager(Listening),
    /// From a device of this process.
    Own {
        /// Where they come.
        listener: Listener,
        /// The device.
        device: Device,
        /// Why nobody can come by some brokers now.
        missing: Vec<Refusal>,
    },
}

impl Desk {
    /// The manager, where one runs; else a device that begins to log in at these brokers.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where the manager's socket is there and cannot be used.
    pub async fn open(
        home: &Home,
        joined: Vec<Membership>,
        config: &DeviceConfig,
    ) -> Result<Self, Refusal> {
        match Client::reach(&home.socket()).await.map_err(Refusal::not_tried)? {
            Some(client) => Ok(Self::Manager(client)),
            None => Ok(Self::Own(Device::start(home, joined, config))),
        }
    }

    /// What is known of all brokers.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where the manager does not answer.
    pub async fn status(&self) -> Result<Status, Refusal> {
        match self {
            Self::Manager(client) => client.status().await,
            Self::Own(device) => Ok(device.status().await),
        }
    }

    /// Connects to a service of another peer.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with all that was tried.
    pub async fn connect(&self, order: &ConnectOrder) -> Result<(Route, Stream), Refusal> {
        match self {
            Self::Manager(client) => {
                let (route, socket) = client.connect(order).await?;
                let watched = client.watch(route.connection).await?;
                Ok((route, Stream::watched(socket, watched)))
            }
            Self::Own(device) => {
                let (route, channel) = device.connect(order).await?;
                Ok((route, channel.into()))
            }
        }
    }

    /// Does something that a broker keeps or passes on; gives the number of a note that was sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with what the broker says.
    pub async fn act(&self, deed: &Deed) -> Result<Option<u64>, Refusal> {
        match self {
            Self::Manager(client) => client.act(deed).await,
            Self::Own(device) => device.act(deed).await,
        }
    }

    /// Offers a service, once the device is logged in wherever it can be.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where it is offered already, or the device cannot log in anywhere.
    pub async fn listen(&self, service: &str) -> Result<Doorway, Refusal> {
        match self {
            Self::Manager(client) => client.listen(service).await.map(Doorway::Manager),
            Self::Own(device) => {
                let listener = device.listen(service)?;
                let missing = device.online().await?;
                Ok(Doorway::Own { listener, device: device.clone(), missing })
            }
        }
    }

    /// Waits until what was written has arrived, and logs out, where this process has logged in.
    pub async fn close(&self) {
        match self {
            Self::Manager(_) => {}
            Self::Own(device) => {
                device.settle().await;
                // A broker that is gone is not waited for.
                let _ = tokio::time::timeout(FAREWELL, device.stop()).await;
            }
        }
    }
}

impl Doorway {
    /// Why nobody can come by some brokers now, where this process itself has logged in.
    #[must_use]
    pub fn missing(&self) -> &[Refusal] {
        match self {
            Self::Manager(_) => &[],
            Self::Own { missing, .. } => missing,
        }
    }

    /// The next connection and its stream.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when none will come any more.
    pub async fn next(&mut self) -> Result<(Incoming, Stream), Refusal> {
        match self {
            Self::Manager(listening) => {
                let (incoming, socket) = listening.next().await?;
                let watched = listening.client().watch(incoming.connection).await?;
                Ok((incoming, Stream::watched(socket, watched)))
            }
            Self::Own { listener, device, .. } => {
                let arrival = listener.next().await;
                let arrival = arrival.ok_or_else(|| Refusal::failed("the device has ended"))?;
                let incoming = Incoming {
                    connection: device.next_number(),
                    peer: arrival.peer,
                    broker: arrival.broker,
                    technique: arrival.technique,
                };
                Ok((incoming, arrival.offered.accept().into()))
            }
        }
    }
}

impl Stream {
    fn watched(socket: UnixStream, (word, ending): (Word, Ending)) -> Self {
        Self { carriage: Carriage::Socket(socket, word), ending: Some(ending) }
    }

    /// Who can say how this stream ended; only the first caller gets what the manager says.
    #[must_use]
    pub fn take_ending(&mut self) -> Ending {
        self.ending.take().unwrap_or_else(Ending::by_itself)
    }

    /// Ends both directions as broken, so that the other side sees it. Dropping does so too, where
    /// this side's direction was not shut down.
    pub fn break_off(self) {
        match self.carriage {
            // Where it cannot be said the manager is gone.
            Carriage::Socket(_, word) => drop(word.say(&Order::Broken)),
            Carriage::Channel(channel) => channel.break_off(),
        }
    }
}

impl From<Channel> for Stream {
    fn from(channel: Channel) -> Self {
        Self { carriage: Carriage::Channel(channel), ending: None }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.carriage {
            Carriage::Socket(stream, _) => Pin::new(stream).poll_read(context, buffer),
            Carriage::Channel(channel) => Pin::new(channel).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.carriage {
            Carriage::Socket(stream, _) => Pin::new(stream).poll_write(context, bytes),
            Carriage::Channel(channel) => Pin::new(channel).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carriage {
            Carriage::Socket(stream, _) => Pin::new(stream).poll_flush(context),
            Carriage::Channel(channel) => Pin::new(channel).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carriage {
            Carriage::Socket(stream, word) => {
                // Before the end itself: the manager asks for it then.
                word.say(&Order::Finished)?;
                Pin::new(stream).poll_shutdown(context)
            }
            Carriage::Channel(channel) => Pin::new(channel).poll_shutdown(context),
        }
    }
}
