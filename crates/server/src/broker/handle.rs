//! A running broker, as the program that embeds it holds it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use simopen_broker::{AdminError, AdminReply, AdminRequest, Stats};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Figures;
use super::actor::Command;
use crate::front;
use crate::relay;

/// A running broker. Dropping it stops accepting, and leaves links alone; [`Handle::drain`] or
/// [`Handle::stop`] ends it.
#[derive(Debug)]
pub struct Handle {
    front: Arc<front::Handle>,
    relay: Option<relay::Handle>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Handle {
    pub(super) const fn new(
        front: Arc<front::Handle>,
        relay: Option<relay::Handle>,
        commands: mpsc::Sender<Command>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { front, relay, commands, task }
    }

    /// Where it listens first.
    ///
    /// # Panics
    ///
    /// Never: a broker does not start without a listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.front.local_addrs()[0]
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.front.local_addrs()
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
    /// to have gone, at the latest after `within`. Pairs at a relay in this process have as long.
    pub async fn drain(self, within: Duration) {
        let Self { front, relay, commands, task } = self;
        let desk = Desk { commands };
        // The actor has no hold on it but for a moment.
        if let Some(front) = Arc::into_inner(front) {
            front.stop().await;
        }
        let pairs = async {
            if let Some(relay) = &relay {
                relay.drain(within).await;
            }
        };
        let links = async {
            if desk.restart(within).await {
                // Whoever is still there then is closed.
                let _ = timeout(within, desk.emptied()).await;
            }
        };
        tokio::join!(pairs, links);
        end(desk, task).await;
    }

    /// Closes all links and waits until that is done.
    pub async fn stop(self) {
        let Self { front, relay, commands, task } = self;
        drop(front);
        if let Some(relay) = &relay {
            relay.drain(Duration::ZERO).await;
        }
        end(Desk { commands }, task).await;
    }
}

async fn end(desk: Desk, task: JoinHandle<()>) {
    // Either it takes the command or it has ended already.
    let _ = desk.commands.send(Command::Stop).await;
    let _ = task.await;
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

    /// Tells everybody to come again.
    async fn restart(&self, within: Duration) -> bool {
        let (reply, told) = oneshot::channel();
        self.commands.send(Command::Restart(within, reply)).await.is_ok() && told.await.is_ok()
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
