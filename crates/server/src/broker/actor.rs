//! The one task that owns the broker machine and turns it.

use std::collections::BTreeMap;

use simopen_broker::{Broker, Event, Forged, LinkId, LinkOrigin, Stats, Transmit, What};
use simopen_device::clock::Clock;
use simopen_device::raw::RawSender;
use simopen_device::socket::saved_syn;
use simopen_packet::Timestamp;
use simopen_protocol::control::{ControlError, Message};
use simopen_protocol::document::DocumentError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::Observer;
use super::link::{Arrival, Link};

/// Frames of all links that wait for the actor; beyond, the readers wait.
const QUEUE: usize = 1024;

/// How long accepting rests when it fails, as it does when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) enum Command {
    Stats(oneshot::Sender<Stats>),
    Stop,
}

pub(super) struct Actor {
    machine: Broker,
    raw: Option<RawSender>,
    clock: Clock,
    observer: Option<Observer>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
}

impl Actor {
    pub(super) fn new(
        machine: Broker,
        raw: Option<RawSender>,
        clock: Clock,
        observer: Option<Observer>,
    ) -> Self {
        Self { machine, raw, clock, observer, links: BTreeMap::new(), next_link: 0 }
    }

    pub(super) async fn run(
        mut self,
        listener: TcpListener,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let (arrivals, mut arrived) = mpsc::channel(QUEUE);
        let acceptor = tokio::spawn(accept(listener, arrivals.clone()));
        let mut has_handle = true;
        loop {
            let deadline = self.machine.poll_timeout().map(|(at, _)| self.clock.instant(at));
            tokio::select! {
                command = commands.recv(), if has_handle => match command {
                    // The asker may have gone away.
                    Some(Command::Stats(reply)) => drop(reply.send(self.machine.stats().clone())),
                    Some(Command::Stop) => break,
                    None => has_handle = false,
                },
                Some(arrival) = arrived.recv() => self.arrived(arrival, &arrivals),
                () = wait(deadline) => {}
            }
            let now = self.clock.now();
            self.machine.handle_timeout(now);
            self.drain(now);
        }
        acceptor.abort();
    }

    fn accepted(&mut self, stream: TcpStream, arrivals: &mpsc::Sender<Arrival>) {
        let Ok(remote) = stream.peer_addr() else {
            return;
        };
        let syn = saved_syn(&stream).ok().flatten();
        self.next_link += 1;
        let id = LinkId(self.next_link);
        debug!(link = id.0, %remote, "accepted");
        self.machine.handle_link(id, LinkOrigin { remote, syn, key: None }, self.clock.now());
        self.links.insert(id, Link::spawn(id, stream, arrivals.clone()));
    }

    fn arrived(&mut self, arrival: Arrival, arrivals: &mpsc::Sender<Arrival>) {
        let now = self.clock.now();
        match arrival {
            Arrival::Accepted(stream) => self.accepted(stream, arrivals),
            Arrival::Frame { link, body, path } => {
                self.machine.handle_path(link, path);
                match Message::parse(&body) {
                    Ok(Message::Request(request)) => {
                        self.machine.handle_request(link, request, now);
                    }
                    Ok(Message::Response(_) | Message::Notification(_)) => {
                        self.machine.handle_malformed(link, ControlError::UnknownRoot);
                    }
                    Err(error) => self.machine.handle_malformed(link, error),
                }
            }
            Arrival::TooLong(link) => {
                let error = ControlError::Document(DocumentError::Malformed);
                self.machine.handle_malformed(link, error);
            }
            Arrival::Closed(link) => self.close(link, now),
        }
    }

    fn drain(&mut self, now: Timestamp) {
        while let Some(forged) = self.machine.poll_forge() {
            self.send(&forged);
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            match transmit {
                Transmit::Message(link, message) => self.write(link, &message, now),
                Transmit::Page(link, message) => {
                    self.write(link, &message, now);
                    self.machine.handle_page_sent(link, now);
                }
                Transmit::Close(link) => self.close(link, now),
            }
        }
        while let Some(persist) = self.machine.poll_persist() {
            self.machine.handle_persisted(persist.id, now);
        }
        while let Some(event) = self.machine.poll_event() {
            log(&event);
            if let Some(observer) = &mut self.observer {
                observer(&event);
            }
        }
    }

    fn send(&self, forged: &Forged) {
        let Some(raw) = &self.raw else {
            return;
        };
        if let Err(error) = raw.send(forged.packet()) {
            error!(%error, session = %forged.consent.session, "the forged packet was not sent");
        }
    }

    fn write(&mut self, id: LinkId, message: &Message, now: Timestamp) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if self.machine.is_logged_in(id) {
            link.allow_large_frames();
        }
        if !link.send(&message.to_bytes()) {
            debug!(link = id.0, "the peer does not read; its link is closed");
            self.close(id, now);
        }
    }

    fn close(&mut self, link: LinkId, now: Timestamp) {
        self.links.remove(&link);
        self.machine.handle_link_closed(link, now);
    }
}

async fn wait(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => sleep_until(Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

/// Accepts in a task of its own, so that a pause after a failure stops nothing else.
async fn accept(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if arrivals.send(Arrival::Accepted(stream)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "accepting failed, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn log(event: &Event) {
    if let What::Forged(consent) = &event.what {
        info!(
            session = %consent.session, source = %consent.source, destination = %consent.destination,
            "forged a SYN-ACK"
        );
    } else if let What::Refused { session, violation, .. } = &event.what {
        warn!(%session, ?violation, "a forged packet was refused");
    } else {
        debug!(what = ?event.what, "broker");
    }
}
