//! A running broker, as the program that embeds it holds it.

use std::net::SocketAddr;
use std::time::Duration;

use simopen_broker::{AdminError, AdminReply, AdminRequest, Stats};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Figures;
use super::actor::Command;

/// A running broker. Dropping it leaves the broker running; [`Handle::drain`] or [`Handle::stop`]
/// ends it.
#[derive(Debug)]
pub struct Handle {
    locals: Vec<SocketAddr>,
    commands: mpsc::Sender<Command>,
    acceptors: Vec<JoinHandle<()>>,
    task: JoinHandle<()>,
}

impl Handle {
    pub(super) const fn new(
        locals: Vec<SocketAddr>,
        commands: mpsc::Sender<Command>,
        acceptors: Vec<JoinHandle<()>>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { locals, commands, acceptors, task }
    }

    /// Where it listens first.
    ///
    /// # Panics
    ///
    /// Never: a broker does not start without a listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.locals[0]
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.locals
    }

    /// For questions from other tasks, as long as it runs.
    #[must_use]
    pub fn desk(&self) -> Desk {
        Desk { commands: self.commands.clone() }
    }

    /// The broker's figures since the start; `None` once it has ended.
    pub async fn stats(&self) -> Option<Stats> {
        Some(self.desk().figures().await?.stats)
    }

    /// Tells everybody to come again, lets nobody new in, and closes all links when those who want
    /// to have gone, at the latest after `within`.
    pub async fn drain(self, within: Duration) {
        self.stop_accepting().await;
        let (reply, told) = oneshot::channel();
        if self.commands.send(Command::Restart(within, reply)).await.is_ok() && told.await.is_ok() {
            // Whoever is still there then is closed.
            let _ = timeout(within, self.desk().emptied()).await;
        }
        self.end().await;
    }

    /// Closes all links and waits until that is done.
    pub async fn stop(self) {
        self.stop_accepting().await;
        self.end().await;
    }

    async fn stop_accepting(&self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }

    async fn end(self) {
        // Either it takes the command or it has ended already.
        let _ = self.commands.send(Command::Stop).await;
        let _ = self.task.await;
    }
}

/// Asks a running broker. Clones ask the same one.
#[derive(Debug, Clone)]
pub struct Desk {
    commands: mpsc::Sender<Command>,
}

impl Desk {
    /// All figures since the start; `None` once the broker has ended.
    pub async fn figures(&self) -> Option<Figures> {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(Command::Figures(reply)).await.ok()?;
        receiver.await.ok()
    }

    /// What an operator asks; `None` once the broker has ended.
    pub async fn admin(&self, request: AdminRequest) -> Option<Result<AdminReply, AdminError>> {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(Command::Admin(request, reply)).await.ok()?;
        receiver.await.ok()
    }

    /// When the last link is gone, or the broker has ended.
    async fn emptied(&self) {
        let (reply, receiver) = oneshot::channel();
        if self.commands.send(Command::Emptied(reply)).await.is_ok() {
            // It ends with the broker.
            let _ = receiver.await;
        }
    }
}
