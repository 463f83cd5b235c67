//! The manager: this device, and the socket by which commands use it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::debug;

use super::ManagerError;
use super::device::Device;
use super::services::{Arrival, Listener};
use super::stream_end::StreamEnd;
use super::words::{self, Answer, Incoming, Order, Refusal};
use crate::home::{Home, HomeError};
use crate::peer_link::Channel;

/// How long no command is taken after one could not be taken: descriptors come back by themselves,
/// when a command ends or elsewhere in this process.
const PAUSE: Duration = Duration::from_millis(20);
/// Streams of whose end it is still known how they ended.
const REMEMBERED: usize = 1024;

/// The one manager of a device (seed 001 ¶104-106): it offers a [`Device`] to commands, by a socket
/// in the state directory that only its owner can open.
#[derive(Debug)]
pub struct Manager {
    device: Device,
    listener: UnixListener,
    socket: PathBuf,
    /// Held as long as the manager runs: there is one for each device.
    _lock: File,
}

#[derive(Debug, Clone)]
struct Desk {
    device: Device,
    arrivals: Arc<Mutex<BTreeMap<u64, Arrival>>>,
    streams: Arc<Mutex<BTreeMap<u64, StreamEnd>>>,
}

impl Manager {
    /// Takes the state directory, in which no other manager may be.
    ///
    /// # Errors
    ///
    /// [`HomeError::Managed`] where one is there, others where the socket cannot be made.
    pub fn lock(home: &Home) -> Result<File, HomeError> {
        home.lock_for_manager()
    }

    /// Listens for commands. `lock` is from [`Manager::lock`].
    ///
    /// # Errors
    ///
    /// [`HomeError`] where the socket cannot be made.
    pub fn bind(home: &Home, device: Device, lock: File) -> Result<Self, HomeError> {
        let socket = home.socket();
        let refused =
            |source| HomeError::System { what: "listened at", path: home.socket(), source };
        // What a manager left behind that was killed; the lock says that none runs.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            Ok(()) | Err(_) => {}
        }
        // The directory keeps others out until the mode is set.
        let listener = UnixListener::bind(&socket).map_err(refused)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        Ok(Self { device, listener, socket, _lock: lock })
    }

    /// Serves commands until the future is dropped.
    pub async fn serve(&self) {
        let desk =
            Desk { device: self.device.clone(), arrivals: Arc::default(), streams: Arc::default() };
        let mut commands = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let desk = desk.clone();
                        commands.spawn(async move {
                            if let Err(error) = desk.serve(stream).await {
                                debug!(%error, "a command went away");
                            }
                        });
                    }
                    Err(error) => {
                        debug!(%error, "a command was not taken");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = commands.join_next() => {}
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // Where it is gone already there is nothing to do.
        let _ = fs::remove_file(&self.socket);
    }
}

impl Desk {
    async fn serve(self, mut stream: UnixStream) -> Result<(), ManagerError> {
        let order = match words::hear(&mut stream).await {
            Ok(Some(order)) => order,
            Ok(None) => return Ok(()),
            Err(error) => {
                let refusal = Refusal::not_tried(&error);
                return words::say(&mut stream, &Answer::Refused(refusal)).await;
            }
        };
        if matches!(order, Order::Status | Order::Connect(_) | Order::Do(_)) {
            self.device.look_again().await;
        }
        match order {
            Order::Status => {
                let status = self.device.status().await;
                words::say(&mut stream, &Answer::Status(status)).await
            }
            Order::Connect(order) => match self.device.connect(&order).await {
                Ok((route, channel)) => {
                    let connection = route.connection;
                    self.carry(connection, stream, channel, Answer::Connected(route)).await
                }
                Err(refusal) => words::say(&mut stream, &Answer::Refused(refusal)).await,
            },
            Order::Listen { service } => match self.device.listen(&service) {
                Ok(listener) => self.tell_arrivals(stream, listener).await,
                Err(refusal) => words::say(&mut stream, &Answer::Refused(refusal)).await,
            },
            Order::Take { connection } => {
                let arrival = lock(&self.arrivals).remove(&connection);
                match arrival {
                    Some(arrival) => {
                        let channel = arrival.offered.accept();
                        self.carry(connection, stream, channel, Answer::Done { note: None }).await
                    }
                    None => {
                        let refusal = Refusal::failed("whoever came has gone");
                        words::say(&mut stream, &Answer::Refused(refusal)).await
                    }
                }
            }
            Order::Watch { connection } => {
                let end = lock(&self.streams).get(&connection).cloned();
                match end {
                    Some(end) => end.watch(stream).await,
                    None => {
                        let refusal = Refusal::failed("there is no such stream");
                        words::say(&mut stream, &Answer::Refused(refusal)).await
                    }
                }
            }
            Order::Finished | Order::Broken => {
                let refusal = Refusal::not_tried("no stream is watched here");
                words::say(&mut stream, &Answer::Refused(refusal)).await
            }
            Order::Do(deed) => {
                let answer = match self.device.act(&deed).await {
                    Ok(note) => Answer::Done { note },
                    Err(refusal) => Answer::Refused(refusal),
                };
                words::say(&mut stream, &answer).await
            }
        }
    }

    /// Tells of each channel to a service, until the command is gone.
    async fn tell_arrivals(
        &self,
        mut stream: UnixStream,
        mut listener: Listener,
    ) -> Result<(), ManagerError> {
        words::say(&mut stream, &Answer::Listening).await?;
        let mut told = Vec::new();
        let outcome = loop {
            let mut byte = [0];
            tokio::select! {
                arrival = listener.next() => {
                    let Some(arrival) = arrival else {
                        break Ok(());
                    };
                    let connection = self.device.next_number();
                    let incoming = Incoming {
                        connection,
                        peer: arrival.peer.clone(),
                        broker: arrival.broker.clone(),
                        technique: arrival.technique.clone(),
                    };
                    lock(&self.arrivals).insert(connection, arrival);
                    told.push(connection);
                    if let Err(error) = words::say(&mut stream, &Answer::Incoming(incoming)).await {
                        break Err(error);
                    }
                }
                // It says nothing more; the end is what is waited for.
                _ = stream.read(&mut byte) => break Ok(()),
            }
        };
        let mut arrivals = lock(&self.arrivals);
        for connection in told {
            // What was not taken is refused by being dropped.
            arrivals.remove(&connection);
        }
        outcome
    }

    /// Answers, and carries bytes both ways from then on.
    async fn carry(
        &self,
        connection: u64,
        mut stream: UnixStream,
        channel: Channel,
        answer: Answer,
    ) -> Result<(), ManagerError> {
        let end = StreamEnd::default();
        {
            let mut streams = lock(&self.streams);
            streams.insert(connection, end.clone());
            while streams.len() > REMEMBERED {
                streams.pop_first();
            }
        }
        words::say(&mut stream, &answer).await?;
        end.carry(stream, channel).await;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
