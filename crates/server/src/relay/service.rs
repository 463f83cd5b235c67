//! The machine, turned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_packet::Timestamp;
use simopen_protocol::control::Proxy;
use simopen_protocol::identity::SessionId;
use simopen_relay::{Command, ConnectionId, Limits, Presented, Relay, Stats};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, Span, debug};

use super::OpenError;
use super::pump::{Means, Side, pump};
use crate::broker::PairingAnswer;
use crate::front::Carried;

/// The relay behind all handles.
pub(super) struct Service {
    state: Mutex<State>,
    clock: Clock,
    means: Means,
    /// A deadline may have come up.
    wake: Notify,
    active: watch::Sender<usize>,
    span: Span,
}

struct State {
    machine: Relay,
    next: u64,
    is_draining: bool,
    /// Streams of connections that are not joined, as they come.
    unjoined: HashMap<ConnectionId, oneshot::Receiver<Carried>>,
    /// By dropping it a pair ends at once.
    joined: HashMap<SessionId, oneshot::Sender<()>>,
    /// Who wants to hear of pairings that are no more.
    hearers: Vec<UnboundedSender<PairingAnswer>>,
}

/// What a connection has presented. Attach its stream; dropping this gives up the place.
#[derive(Debug)]
pub struct Claim {
    connection: ConnectionId,
    stream: Option<oneshot::Sender<Carried>>,
    service: Weak<Service>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Claim {
    /// The stream that is to be joined. It is closed where its pair does not come about.
    pub fn attach(mut self, stream: Carried) {
        if let Some(place) = self.stream.take() {
            // Where nobody waits any more, the stream closes.
            let _ = place.send(stream);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.stream.is_some()
            && let Some(service) = self.service.upgrade()
        {
            service.turn(|machine, _| machine.handle_gone(self.connection));
        }
    }
}

impl Service {
    pub(super) fn start(limits: Limits, span: Span) -> Arc<Self> {
        let state = State {
            machine: Relay::new(limits),
            next: 0,
            is_draining: false,
            unjoined: HashMap::new(),
            joined: HashMap::new(),
            hearers: Vec::new(),
        };
        let service = Arc::new(Self {
            state: Mutex::new(state),
            clock: Clock::start(),
            means: Means::default(),
            wake: Notify::new(),
            active: watch::Sender::new(0),
            span,
        });
        tokio::spawn(keep_time(Arc::downgrade(&service)));
        service
    }

    /// Bytes that were relayed.
    pub(super) fn moved(&self) -> u64 {
        self.means.moved()
    }

    pub(super) fn open(self: &Arc<Self>, proxy: &Proxy) -> Result<(), OpenError> {
        if self.state().is_draining {
            return Err(OpenError::Draining);
        }
        let opened = self.turn(|machine, now| machine.handle_open(proxy, now));
        self.wake.notify_one();
        opened.map_err(OpenError::Refused)
    }

    pub(super) fn end(self: &Arc<Self>, session: SessionId) {
        self.turn(|machine, _| machine.handle_end(session));
    }

    pub(super) fn tell_ended(&self, hearer: UnboundedSender<PairingAnswer>) {
        self.state().hearers.push(hearer);
    }

    pub(super) fn claim(
        self: &Arc<Self>,
        presented: &Presented,
        accepted: Instant,
    ) -> Option<Claim> {
        let (sender, receiver) = oneshot::channel();
        let connection = {
            let mut state = self.state();
            state.next += 1;
            let connection = ConnectionId(state.next);
            state.unjoined.insert(connection, receiver);
            connection
        };
        let accepted = self.clock.at(accepted.into_std());
        self.turn(|machine, _| machine.handle_connection(connection, accepted));
        let claim = Claim { connection, stream: Some(sender), service: Arc::downgrade(self) };
        self.present(&claim, presented).then_some(claim)
    }

    pub(super) fn present(self: &Arc<Self>, claim: &Claim, presented: &Presented) -> bool {
        let connection = claim.connection;
        self.turn(|machine, now| machine.handle_presented(connection, presented, now));
        // Whoever is refused loses the receiver; whoever is joined has its stream awaited.
        claim.stream.as_ref().is_some_and(|stream| !stream.is_closed())
    }

    pub(super) fn stats(&self) -> Stats {
        self.state().machine.stats().clone()
    }

    pub(super) fn active(&self) -> usize {
        *self.active.borrow()
    }

    pub(super) async fn drain(self: &Arc<Self>, within: Duration) {
        {
            let mut state = self.state();
            state.is_draining = true;
            state.unjoined.clear();
        }
        let mut active = self.active.subscribe();
        let over = active.wait_for(|count| *count == 0);
        if timeout(within, over).await.is_err() {
            self.state().joined.clear();
            // The sender lives as long as this.
            let _ = active.wait_for(|count| *count == 0).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands one thing to the machine and does what it says.
    fn turn<T>(self: &Arc<Self>, input: impl FnOnce(&mut Relay, Timestamp) -> T) -> T {
        let mut state = self.state();
        let output = input(&mut state.machine, self.clock.now());
        while let Some(command) = state.machine.poll_command() {
            match command {
                Command::Refuse(connection) => drop(state.unjoined.remove(&connection)),
                Command::End(session) => drop(state.joined.remove(&session)),
                Command::Gone(session) => {
                    let ended = PairingAnswer::Ended(session);
                    state.hearers.retain(|hearer| hearer.send(ended).is_ok());
                }
                Command::Join { session, connections } => {
                    let streams = connections.map(|side| state.unjoined.remove(&side));
                    if let [Some(originator), Some(responder)] = streams {
                        let (alive, ended) = oneshot::channel();
                        state.joined.insert(session, alive);
                        self.active.send_modify(|count| *count += 1);
                        let pair = Arc::clone(self).serve(session, [originator, responder], ended);
                        tokio::spawn(pair.instrument(self.span.clone()));
                    }
                }
            }
        }
        output
    }

    /// Pumps between two streams until both have ended, or the pair is ended.
    async fn serve(
        self: Arc<Self>,
        session: SessionId,
        [originator, responder]: [oneshot::Receiver<Carried>; 2],
        ended: oneshot::Receiver<()>,
    ) {
        debug!(%session, "joined");
        let half_closed = || {
            self.turn(|machine, now| machine.handle_half_closed(session, now));
        };
        let moved = async {
            let (Ok(originator), Ok(responder)) = tokio::join!(originator, responder) else {
                return Ok([0; 2]);
            };
            pump([Side::from(originator), Side::from(responder)], &self.means, half_closed).await
        };
        tokio::select! {
            moved = moved => debug!(%session, ?moved, "both sides have ended"),
            _ = ended => debug!(%session, "ended"),
        }
        self.state().joined.remove(&session);
        self.turn(|machine, _| machine.handle_over(session));
        self.active.send_modify(|count| *count -= 1);
    }
}

/// Lets time pass for the machine, as long as anybody has a handle.
async fn keep_time(service: Weak<Service>) {
    loop {
        let Some(strong) = service.upgrade() else {
            return;
        };
        strong.turn(Relay::handle_timeout);
        let deadline = strong.state().machine.poll_timeout();
        let until = deadline.map(|(at, _)| Instant::from_std(strong.clock.instant(at)));
        drop(strong);
        wait(&service, until).await;
    }
}

/// The longest that an ended relay's timer stays.
const LOOK: Duration = Duration::from_secs(30);

async fn wait(service: &Weak<Service>, until: Option<Instant>) {
    let latest = Instant::now() + LOOK;
    let until = until.map_or(latest, |at| at.min(latest));
    let Some(strong) = service.upgrade() else {
        return;
    };
    tokio::select! {
        () = strong.wake.notified() => {}
        () = sleep_until(until) => {}
    }
}
