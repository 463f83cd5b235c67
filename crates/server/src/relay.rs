//! The rendezvous relay as a tokio service.
//!
//! The decisions stand in [`simopen_relay`]; this module moves the bytes. It never dials anybody.
//!
//! ```
//! use simopen_protocol::{control::Proxy, identity::SessionId, token::Token};
//! use simopen_server::relay;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let relay = relay::Builder::new().listen(listener).start()?;
//! println!("listening on {}", relay.local_addrs()[0]);
//!
//! let values = [3, 4].map(|byte| Token::from_random([byte; 32]));
//! relay.open(&Proxy { session: SessionId(1), values })?;
//! // Two connections that present these values are joined now.
//! relay.drain(std::time::Duration::from_secs(30)).await;
//! # Ok(()) })
//! # }
//! ```

pub mod authentication;
pub mod control;
mod orders;
mod pipes;
mod pump;
mod service;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
pub use simopen_relay::{Limits, OpenRefused, Presented, Refusal, Stats};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

pub use self::service::Claim;
use self::service::Service;
use crate::broker::PairingAnswer;
use crate::front::{self, Front};

/// Collects what a relay needs.
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    front: front::Limits,
    listeners: Vec<StdListener>,
    span: Option<tracing::Span>,
}

impl Builder {
    /// A relay without a listener of its own: it takes what a [`Front`] hands it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where peers come; may be called several times.
    #[must_use]
    pub fn listen(mut self, listener: StdListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// How much it keeps.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How much the front of its own listeners keeps.
    #[must_use]
    pub fn front_limits(mut self, limits: front::Limits) -> Self {
        self.front = limits;
        self
    }

    /// The span in which it logs.
    #[must_use]
    pub fn span(mut self, span: tracing::Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Where a listener cannot be handed to the runtime.
    pub fn start(self) -> io::Result<Handle> {
        let span = self.span.unwrap_or_else(tracing::Span::current);
        let service = Service::start(self.limits, span);
        let handle = Handle { service, front: Arc::default(), locals: Vec::new() };
        if self.listeners.is_empty() {
            return Ok(handle);
        }
        // The front holds a handle without a front, so that nothing holds itself.
        let front = Front::new().limits(self.front).relay(handle.clone()).start(self.listeners)?;
        let locals = front.local_addrs().to_vec();
        Ok(Handle { front: Arc::new(Mutex::new(Some(front))), locals, ..handle })
    }
}

/// A running relay. It stops accepting when its last handle is dropped, or by [`Handle::drain`].
#[derive(Debug, Clone)]
pub struct Handle {
    service: Arc<Service>,
    front: Arc<Mutex<Option<front::Handle>>>,
    locals: Vec<SocketAddr>,
}

/// Why a pairing was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The machine refused.
    #[error("the relay refused the pairing: {0:?}")]
    Refused(OpenRefused),
    /// The relay takes nothing new: it is about to end.
    #[error("the relay is about to end and takes no new pairing")]
    Draining,
}

impl Handle {
    /// Where it listens, by listeners of its own.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.locals
    }

    /// Takes a pairing: two connections that present its values will be joined.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where a limit is reached, a number or value is in use, or the relay drains.
    pub fn open(&self, proxy: &Proxy) -> Result<(), OpenError> {
        self.service.open(proxy)
    }

    /// Ends a pairing or a pair at once.
    pub fn end(&self, session: SessionId) {
        self.service.end(session);
    }

    /// From now on, whoever holds the other end hears of pairings that are no more.
    pub(crate) fn tell_ended(&self, hearer: UnboundedSender<PairingAnswer>) {
        self.service.tell_ended(hearer);
    }

    /// Presents something for a connection that was accepted then. `None` where it is refused,
    /// whatever the reason: close it.
    #[must_use]
    pub fn claim(&self, presented: &Presented, accepted: Instant) -> Option<Claim> {
        self.service.claim(presented, accepted)
    }

    /// Presents the digest of the other direction. `false` where it is refused.
    #[must_use]
    pub fn present(&self, claim: &Claim, presented: &Presented) -> bool {
        self.service.present(claim, presented)
    }

    /// Figures since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.service.stats()
    }

    /// Pairs between which bytes flow.
    #[must_use]
    pub fn active(&self) -> usize {
        self.service.active()
    }

    /// Bytes that reached the other side, of all pairs since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.service.moved()
    }

    /// Figures of its own listeners, where it has any.
    #[must_use]
    pub fn front_stats(&self) -> Option<front::Stats> {
        let front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        front.as_ref().map(front::Handle::stats)
    }

    /// Takes nothing new, and lets pairs go on for so long; then closes what is left.
    pub async fn drain(&self, within: Duration) {
        let front = self.front.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(front) = front {
            front.stop().await;
        }
        self.service.drain(within).await;
    }
}
