//! A stream between a command and another peer, in the manager, and how it ends.
//!
//! A command that is killed closes its socket just as one that has sent everything. So a command
//! watches its stream by a connection of its own, on which it says that it has finished; where that
//! goes away before, the stream broke, and the other peer hears so.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::ManagerError;
use super::words::{self, Answer, Order, Refusal};
use crate::peer_link::Channel;

/// How one stream ends. Clones are the same stream's.
#[derive(Debug, Clone)]
pub(super) struct StreamEnd {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What the command says.
    command: watch::Sender<Command>,
    /// How it ended, once it has.
    ended: watch::Sender<Option<Result<(), String>>>,
    /// Whether the command has been told how, or is gone.
    told: watch::Sender<bool>,
}

/// What is known of the command at the other end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// It does not watch: its socket's end is its word.
    Silent,
    /// It watches, and will say when it has sent everything.
    Watching,
    /// It has sent everything.
    Finished,
    /// It broke off, or is gone.
    Broken,
}

impl Default for StreamEnd {
    fn default() -> Self {
        let command = watch::Sender::new(Command::Silent);
        let (ended, told) = (watch::Sender::new(None), watch::Sender::new(false));
        let inner = Inner { command, ended, told };
        Self { inner: Arc::new(inner) }
    }
}

impl StreamEnd {
    /// Hears what the command says of its end, and answers when the stream has ended.
    pub(super) async fn watch(&self, mut stream: UnixStream) -> Result<(), ManagerError> {
        self.command(Command::Watching);
        let mut ended = self.inner.ended.subscribe();
        let mut is_heard = true;
        let answer = loop {
            tokio::select! {
                // A command goes away when it has heard the end.
                biased;
                end = ended.wait_for(Option::is_some) => break match end.as_deref() {
                    Ok(Some(Ok(()))) => Answer::Done { note: None },
                    Ok(Some(Err(why))) => Answer::Refused(Refusal::failed(why)),
                    Ok(None) | Err(_) => Answer::Refused(Refusal::failed("it was given up")),
                },
                heard = words::hear(&mut stream), if is_heard => {
                    let has_finished = *self.inner.command.borrow() == Command::Finished;
                    match heard {
                        Ok(Some(Order::Finished)) => self.command(Command::Finished),
                        // It has said all that there is to say.
                        Ok(None) if has_finished => is_heard = false,
                        Ok(_) | Err(_) => {
                            self.command(Command::Broken);
                            is_heard = false;
                        }
                    }
                },
            }
        };
        let said = words::say(&mut stream, &answer).await;
        self.inner.told.send_replace(true);
        said
    }

    /// Carries bytes both ways until both directions have ended, or one broke.
    pub(super) async fn carry(&self, stream: UnixStream, channel: Channel) {
        let (mut from_command, mut to_command) = stream.into_split();
        let (mut from_peer, mut to_peer) = split(channel);
        let up = async {
            copy(&mut from_command, &mut to_peer).await?;
            self.finished().await?;
            to_peer.shutdown().await
        };
        let down = async {
            copy(&mut from_peer, &mut to_command).await?;
            to_command.shutdown().await
        };
        let carried = tokio::select! {
            carried = async { tokio::try_join!(up, down) } => carried.map(drop),
            gone = self.broken() => Err(gone),
        };
        if carried.is_err() {
            from_peer.unsplit(to_peer).break_off();
        }
        let ended = carried.map_err(|error| error.to_string());
        self.inner.ended.send_replace(Some(ended));
        if *self.inner.command.borrow() != Command::Silent {
            // The socket's end comes behind the word, or it would be taken for a good one.
            let _ = self.inner.told.subscribe().wait_for(|told| *told).await;
        }
    }

    /// Whether what the command has sent was all, once its socket has ended.
    async fn finished(&self) -> io::Result<()> {
        let mut command = self.inner.command.subscribe();
        // The sender lives as long as this.
        let _ = command.wait_for(|command| *command != Command::Watching).await;
        let command = *command.borrow();
        match command {
            Command::Silent | Command::Watching | Command::Finished => Ok(()),
            Command::Broken => Err(gone()),
        }
    }

    /// Waits until the command has broken off.
    async fn broken(&self) -> io::Error {
        let mut command = self.inner.command.subscribe();
        let _ = command.wait_for(|command| *command == Command::Broken).await;
        gone()
    }

    fn command(&self, command: Command) {
        self.inner.command.send_replace(command);
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "it was broken off on this device")
}
