//! Which services this device offers, and to whom a channel goes that asks for one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::words::Refusal;
use crate::peer_link::Offered;

/// Channels to one service that nobody has taken yet.
const BACKLOG: usize = 64;

/// Who offers what. Clones are the same board.
#[derive(Debug, Clone, Default)]
pub(super) struct Services {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::Sender<Arrival>>>>,
}

/// A channel that another peer opens to a service of this device.
#[derive(Debug)]
pub struct Arrival {
    /// From whom: user and device.
    pub peer: String,
    /// By which broker, as it is called on this device.
    pub broker: String,
    /// The technique that opened the link.
    pub technique: String,
    /// The channel.
    pub offered: Offered,
}

/// Gives the channels to one service. The service is offered as long as this is kept.
#[derive(Debug)]
pub struct Listener {
    arrivals: mpsc::Receiver<Arrival>,
}

impl Listener {
    /// The next channel. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }
}

impl Services {
    /// Offers a service, which nobody else on this device may do at the same time.
    pub(super) fn listen(&self, service: &str) -> Result<Listener, Refusal> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.get(service).is_some_and(|listener| !listener.is_closed()) {
            let why = format!("the service '{service}' is offered already; name another one");
            return Err(Refusal::not_tried(why));
        }
        let (sender, arrivals) = mpsc::channel(BACKLOG);
        listeners.insert(service.to_owned(), sender);
        Ok(Listener { arrivals })
    }

    /// Hands a channel to whom it is for; gives it back where nobody offers that, or too many wait.
    pub(super) fn hand_over(&self, arrival: Arrival) -> Result<(), Arrival> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, listener| !listener.is_closed());
        let Some(listener) = listeners.get(arrival.offered.service()) else {
            return Err(arrival);
        };
        listener.try_send(arrival).map_err(mpsc::error::TrySendError::into_inner)
    }
}
