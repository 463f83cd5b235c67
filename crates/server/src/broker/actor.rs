//! The one task that owns the broker machine and turns it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use simopen_broker::directory::{DeviceKind, RELAY};
use simopen_broker::{
    AdminError, AdminId, AdminReply, AdminRequest, Broker, LinkId, PairingOrder, PathEstimate,
    PersistId, Transmit,
};
use simopen_device::clock::Clock;
use simopen_packet::{Syn, Timestamp};
use simopen_protocol::control::{ControlError, Message, Reply, Request, Response};
use simopen_protocol::frame;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tracing::{Instrument, debug, error, info};

use super::journal::Journal;
use super::link::{Link, encode};
use super::opening::Opened;
use super::outbox::{Course, Outbox, Outgoing, Queued};
use super::refusals::Refusal;
use super::sending::{ForgersDesk, Sending};
use super::signing::{Named, Unsigned, wants_certificate};
use super::{Figures, Observer, PairingAnswer, Pairings, Service};
use crate::front;
use crate::store::Keeper;
use crate::tls::Renewal;

/// How often the wall clock is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What comes in from links.
pub(super) enum Arrival {
    Opened(Box<Opened>),
    Request {
        link: LinkId,
        request: Box<Request>,
        path: PathEstimate,
    },
    /// The forger has read the connection's SYN; the request that names it comes next.
    Proven {
        link: LinkId,
        syn: Box<Syn>,
        socket: OwnedFd,
    },
    Malformed {
        link: LinkId,
        error: Box<ControlError>,
    },
    PageWritten(LinkId),
    Closed(LinkId),
}

/// What the handle asks.
pub(super) enum Command {
    Figures(oneshot::Sender<Figures>),
    Admin(AdminRequest, oneshot::Sender<Result<AdminReply, AdminError>>),
    /// Everybody is told to come again within that time.
    Restart(Duration, oneshot::Sender<()>),
    /// Answered when the last link is gone.
    Emptied(oneshot::Sender<()>),
    Stop,
}

/// What the actor listens to.
pub(super) struct Inputs {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) kept: mpsc::UnboundedReceiver<(PersistId, bool)>,
    pub(super) pairings: mpsc::UnboundedReceiver<PairingAnswer>,
}

/// What the actor works with.
pub(super) struct Actor {
    pub(super) machine: Broker,
    pub(super) service: Arc<Service>,
    pub(super) sending: Sending,
    pub(super) clock: Clock,
    pub(super) observer: Option<Observer>,
    pub(super) keeper: Option<Keeper>,
    pub(super) pairings: Option<Box<dyn Pairings>>,
    pub(super) sender: mpsc::Sender<Arrival>,
    /// The handle holds it.
    pub(super) front: Weak<front::Handle>,
    pub(super) desk: Desk,
}

/// Links, and operators who wait.
#[derive(Default)]
pub(super) struct Desk {
    links: BTreeMap<LinkId, Arc<Outbox>>,
    next_link: u64,
    operators: BTreeMap<AdminId, oneshot::Sender<Result<AdminReply, AdminError>>>,
    next_operator: u64,
    /// Who waits until the last link is gone.
    empty: Option<oneshot::Sender<()>>,
    /// The last notification and its frame: many links get the same one after another.
    last: Option<(Message, Arc<[u8]>)>,
    journal: Journal,
}

impl Actor {
    pub(super) async fn run(mut self, mut inputs: Inputs) {
        let mut has_handle = true;
        let mut tick = ticks();
        loop {
            let deadline = self.machine.poll_timeout().map(|(at, _)| self.clock.instant(at));
            tokio::select! {
                command = inputs.commands.recv(), if has_handle => match command {
                    Some(Command::Stop) => break,
                    Some(command) => self.command(command),
                    None => has_handle = false,
                },
                Some((id, is_kept)) = inputs.kept.recv() => self.kept(id, is_kept),
                Some(answer) = inputs.pairings.recv() => self.paired(answer),
                Some(arrival) = inputs.arrivals.recv() => self.arrived(arrival),
                _ = tick.tick() => self.look_at_the_wall(),
                () = wait(deadline) => {}
            }
            let now = self.clock.now();
            self.machine.handle_timeout(now);
            self.drain(now);
            if self.desk.links.is_empty()
                && let Some(reply) = self.desk.empty.take()
            {
                // Whoever waits may have gone away.
                let _ = reply.send(());
            }
        }
        for outbox in self.desk.links.values() {
            outbox.end(Course::Closing);
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            // Whoever asks may have gone away.
            Command::Figures(reply) => drop(reply.send(self.figures())),
            Command::Admin(request, reply) => {
                self.desk.next_operator += 1;
                let id = AdminId(self.desk.next_operator);
                self.desk.operators.insert(id, reply);
                self.machine.handle_admin(id, request, now);
            }
            Command::Restart(within, reply) => {
                self.machine.handle_restarting(within, now);
                self.drain(now);
                let _ = reply.send(());
            }
            Command::Emptied(reply) => self.desk.empty = Some(reply),
            Command::Stop => {}
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            stats: self.machine.stats().clone(),
            gauges: self.machine.gauges(),
            refused: self.service.refusals.counted(),
            front: self.front.upgrade().map(|front| front.stats()).unwrap_or_default(),
            not_forged: self.service.forger.as_ref().map(ForgersDesk::refused).unwrap_or_default(),
        }
    }

    fn look_at_the_wall(&mut self) {
        let seconds = self.service.wall.seconds();
        self.machine.handle_wall_clock(seconds, self.clock.now());
        let Some(tls) = &self.service.tls else {
            return;
        };
        match tls.renew(seconds) {
            Ok(Renewal::NotYet) => {}
            Ok(Renewal::Done) => info!("the broker's certificate was renewed"),
            Err(error) => error!(%error, "the broker's certificate was not renewed"),
        }
    }

    fn kept(&mut self, id: PersistId, is_kept: bool) {
        let now = self.clock.now();
        if is_kept {
            self.machine.handle_persisted(id, now);
        } else {
            self.service.refusals.count(Refusal::StorageFailed);
            self.machine.handle_persist_failed(id, now);
        }
    }

    fn paired(&mut self, answer: PairingAnswer) {
        let now = self.clock.now();
        match answer {
            PairingAnswer::Opened(session) => self.machine.handle_pairing_opened(session, now),
            PairingAnswer::Failed(session) => self.machine.handle_pairing_failed(session, now),
            PairingAnswer::Ended(session) => self.machine.handle_pairing_ended(session, now),
            PairingAnswer::Left => self.machine.handle_relay_left(now),
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        match arrival {
            Arrival::Opened(opened) => self.opened(*opened, now),
            Arrival::Request { link, request, path } => {
                self.dealt_with(link);
                self.machine.handle_path(link, path);
                self.machine.handle_request(link, *request, now);
            }
            Arrival::Proven { link, syn, socket } => {
                if self.desk.links.contains_key(&link) {
                    self.machine.handle_syn(link, *syn);
                    self.sending.keep(link, socket);
                }
            }
            Arrival::Malformed { link, error } => {
                self.dealt_with(link);
                self.machine.handle_malformed(link, *error);
            }
            Arrival::PageWritten(link) => self.machine.handle_page_sent(link, now),
            Arrival::Closed(link) => self.close(link, Course::Closing, now),
        }
    }

    fn opened(&mut self, opened: Opened, now: Timestamp) {
        if self.desk.links.len() >= self.service.limits.links {
            self.service.refusals.count(Refusal::TooManyLinks);
            return;
        }
        self.desk.next_link += 1;
        let id = LinkId(self.desk.next_link);
        debug!(link = id.0, remote = %opened.origin.remote, "opened");
        let outbox = Arc::new(Outbox::new(Arc::clone(&self.service.budget)));
        let link = Link::new(
            id,
            opened.wire,
            Arc::clone(&outbox),
            Arc::clone(&self.service),
            opened.newcomer,
        );
        self.machine.handle_link(id, opened.origin, now);
        self.desk.links.insert(id, outbox);
        let task = link.run(self.sender.clone());
        tokio::spawn(task.instrument(self.service.span.clone()));
    }

    fn dealt_with(&self, link: LinkId) {
        if let Some(outbox) = self.desk.links.get(&link) {
            outbox.dealt_with();
        }
    }

    fn drain(&mut self, now: Timestamp) {
        while let Some(forged) = self.machine.poll_forge() {
            self.sending.send(&forged, &self.service);
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            match transmit {
                Transmit::Message(link, message) => self.write(link, message, now),
                Transmit::Page(link, message) => {
                    self.queue(link, Outgoing::Page(encode(&message)), now);
                }
                Transmit::Close(link) => self.close(link, Course::Closing, now),
            }
        }
        self.desk.last = None;
        self.keep(now);
        while let Some(order) = self.machine.poll_pairing() {
            self.order(order, now);
        }
        while let Some((id, answer)) = self.machine.poll_admin() {
            if let Some(operator) = self.desk.operators.remove(&id) {
                // The operator may have gone away.
                let _ = operator.send(answer);
            }
        }
        while let Some(event) = self.machine.poll_event() {
            self.desk.journal.tell(&event.what);
            if let Some(observer) = &mut self.observer {
                observer(&event);
            }
        }
    }

    /// Without a store everything is kept as soon as it is in memory.
    fn keep(&mut self, now: Timestamp) {
        let mut is_changed = false;
        while let Some(persist) = self.machine.poll_persist() {
            match &self.keeper {
                Some(keeper) => keeper.keep(persist),
                None => {
                    self.machine.handle_persisted(persist.id, now);
                    is_changed = true;
                }
            }
        }
        if is_changed {
            self.drain(now);
        }
    }

    fn order(&mut self, order: PairingOrder, now: Timestamp) {
        match &mut self.pairings {
            Some(pairings) => pairings.order(order),
            None => {
                if let PairingOrder::Open(proxy) = order {
                    self.machine.handle_pairing_failed(proxy.session, now);
                    self.drain(now);
                }
            }
        }
    }

    fn write(&mut self, link: LinkId, message: Message, now: Timestamp) {
        if !self.desk.links.contains_key(&link) {
            return;
        }
        self.admit(link, &message);
        let outgoing = if wants_certificate(&message) && self.service.tls.is_some() {
            let device = self.named(link);
            Outgoing::Unsigned(Box::new(Unsigned { message, device }))
        } else {
            Outgoing::Frame(self.encoded(message))
        };
        self.queue(link, outgoing, now);
    }

    /// Whoever has logged in or proven an endpoint has shown who it is.
    fn admit(&self, link: LinkId, message: &Message) {
        let Message::Response(Response { result: Ok(reply), .. }) = message else {
            return;
        };
        let limit = match reply {
            Reply::LoggedIn(_) => frame::TO_BROKER,
            Reply::Observed(_) => frame::BEFORE_LOGIN,
            Reply::Accepted(_)
            | Reply::Joined(_)
            | Reply::Certified(_)
            | Reply::NoteKept(_)
            | Reply::Done => return,
        };
        if let Some(outbox) = self.desk.links.get(&link) {
            outbox.admit(limit);
        }
    }

    fn named(&self, link: LinkId) -> Option<Named> {
        let device = self.machine.device_on(link)?;
        Some(Named {
            user: device.user.clone(),
            device: device.name.clone(),
            key: device.key.clone(),
            is_relay: device.kind == DeviceKind::Relay || device.user.as_str() == RELAY,
        })
    }

    fn encoded(&mut self, message: Message) -> Arc<[u8]> {
        if let Some((last, frame)) = &self.desk.last
            && *last == message
        {
            return Arc::clone(frame);
        }
        let frame = encode(&message);
        if matches!(message, Message::Notification(_)) {
            self.desk.last = Some((message, Arc::clone(&frame)));
        }
        frame
    }

    fn queue(&mut self, link: LinkId, outgoing: Outgoing, now: Timestamp) {
        let Some(outbox) = self.desk.links.get(&link) else {
            return;
        };
        match outbox.push(outgoing) {
            Queued::Yes => {}
            Queued::Full => {
                self.service.refusals.count(Refusal::ReaderTooSlow);
                debug!(link = link.0, "the peer does not read; its link is closed");
                self.close(link, Course::Gone, now);
            }
        }
    }

    fn close(&mut self, link: LinkId, course: Course, now: Timestamp) {
        if let Some(outbox) = self.desk.links.remove(&link) {
            self.sending.forget(link);
            outbox.end(course);
            self.machine.handle_link_closed(link, now);
        }
    }
}

fn ticks() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

async fn wait(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => sleep_until(Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}
