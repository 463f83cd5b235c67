//! The one thread that turns a fabric on the monotonic clock.
//!
//! It sleeps until the fabric's next deadline, never longer than a millisecond, so that its own
//! lateness is always known; reads what the hosts send with the time at which it read it; and
//! writes what is due. A write into a TUN device runs the receiving kernel's network stack in this
//! thread.
//!
//! The thread and its ports stay while one fabric follows the other. Without a fabric, what the
//! hosts send is thrown away.

use std::io;
use std::iter;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_device::tun::Tun;
use simopen_device::wait::{ReadableSet, Urgency, sharpen_timers};
use simopen_fabric::{Delivery, Fabric, FabricEvent, PortId};
use simopen_packet::Timestamp;
use simopen_scenario::evidence::Evidence;
use simopen_scenario::network::{Layout, NoSuchHost};
use simopen_scenario::run::{Void, in_milliseconds};

use crate::error::LabError;
use crate::host::prefer_this_thread;
use crate::lateness::LatenessMeter;

/// The longest sleep.
const TICK: Duration = Duration::from_millis(1);

/// Packets that are read from one port before the others get their turn.
const BATCH: usize = 64;

/// Events that are kept of a run; a run that makes more has lost the rest, and says so.
const EVENTS: usize = 100_000;

/// Bytes of packets that are kept of a run.
const KEPT: usize = 256 << 20;

/// What a fabric's thread expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// It mostly sleeps, and runs before ordinary threads so that it wakes in time.
    Sparse,
    /// It may be busy all the time, and shares the machine.
    Bulk,
}

/// Whether the packets of a run are kept for a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// Not.
    Forgotten,
    /// All, up to 256 MiB.
    Kept,
}

/// A running pump. Its thread ends, and its ports go, when it is dropped.
#[derive(Debug)]
pub struct Pump {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What a pump knows of a fabric that it has turned.
pub struct Report {
    /// The fabric as it was left.
    pub fabric: Fabric,
    /// What its journal said, oldest first.
    pub events: Vec<FabricEvent>,
    /// Events that did not fit.
    pub events_lost: u64,
    /// How late the thread was.
    pub lateness: LatenessMeter,
    /// Packets that the kernel dropped because a TUN device's queue was full.
    pub tun_drops: u64,
    /// The packets at all ports in the order of time, where they were to be kept.
    pub packets: Vec<KeptPacket>,
}

impl Report {
    /// The journal, read for the flow between the first two of these hosts; the third is the
    /// broker's.
    pub(crate) fn evidence<'run>(
        &'run self,
        layout: &'run Layout,
        hosts: &'run [String; 3],
    ) -> Result<Evidence<'run>, NoSuchHost> {
        let hosts = hosts.each_ref().map(String::as_str);
        Evidence::read(&self.fabric, &self.events, layout, hosts)
    }

    /// Why a run does not count in which the latest packet was so `late`, if so: the network itself
    /// did not do what it was to do.
    pub(crate) fn void(&self, late: Duration, bound: Duration) -> Option<Void> {
        if self.tun_drops > 0 {
            return Some(Void::PortDropped { packets: self.tun_drops });
        }
        if self.events_lost > 0 {
            return Some(Void::JournalIncomplete);
        }
        (late > bound)
            .then(|| Void::Late { by_ms: in_milliseconds(late), bound_ms: in_milliseconds(bound) })
    }
}

/// A packet at a port.
pub struct KeptPacket {
    /// The fabric's number for the port.
    pub port: PortId,
    /// When it was read or written.
    pub at: Timestamp,
    /// The time that the fabric's journal gives it there.
    pub due: Timestamp,
    /// Which way it went.
    pub way: Way,
    /// The IP packet.
    pub bytes: Vec<u8>,
}

/// Which way a packet went, seen from what stands at the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Out of the fabric.
    In,
    /// Into the fabric.
    Out,
}

type Change = Box<dyn FnOnce(&mut Fabric, Timestamp) + Send>;
type Work = Box<dyn FnOnce(&[Tun]) + Send>;

enum Order {
    Load(Box<Current>),
    Unload(SyncSender<Option<Report>>),
    Alter(Change),
    UsePorts(Work),
}

impl Pump {
    /// Starts the thread, without a fabric.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] where the thread cannot be made.
    pub fn start(ports: Vec<Tun>, clock: Clock, load: Load) -> Result<Self, LabError> {
        let (orders, queue) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("fabric".into())
            .spawn(move || {
                if load == Load::Sparse {
                    prefer_this_thread(Urgency::Timekeeper);
                }
                run(&ports, clock, load, &queue);
            })
            .map_err(|source| LabError::System { what: "the fabric's thread", source })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Begins to turn a fabric; `ids` are its numbers for the ports, in their order. What the
    /// hosts have sent before is thrown away, and so is a fabric that is being turned.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the thread panicked.
    pub fn load(&self, fabric: Fabric, ids: Vec<PortId>, packets: Packets) -> Result<(), LabError> {
        self.order(Order::Load(Box::new(Current::new(fabric, ids, packets))))?;
        // Orders are done one after the other: what a host sends from now on meets the new fabric.
        self.use_ports(|_| ())
    }

    /// Takes the fabric away, with all that is known of it.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the thread panicked or has no fabric.
    pub fn unload(&self) -> Result<Report, LabError> {
        let (reply, report) = mpsc::sync_channel(1);
        self.order(Order::Unload(reply))?;
        report.recv().ok().flatten().ok_or_else(ended)
    }

    /// Changes the fabric that is being turned, and returns when that is done.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the thread panicked or has no fabric.
    pub fn alter<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Fabric, Timestamp) -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let (reply, changed) = mpsc::sync_channel(1);
        self.order(Order::Alter(Box::new(move |fabric, now| {
            // Whoever asked waits below.
            let _ = reply.send(change(fabric, now));
        })))?;
        changed.recv().map_err(|_| ended())
    }

    /// Does something with the ports themselves, in the pump's thread, and waits for what it
    /// gives. A fabric that is being turned stands still meanwhile.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where the thread panicked.
    pub fn use_ports<T: Send + 'static>(
        &self,
        work: impl FnOnce(&[Tun]) -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let (reply, done) = mpsc::sync_channel(1);
        self.order(Order::UsePorts(Box::new(move |ports| {
            // Whoever asked waits below.
            let _ = reply.send(work(ports));
        })))?;
        done.recv().map_err(|_| ended())
    }

    fn order(&self, order: Order) -> Result<(), LabError> {
        self.orders.as_ref().and_then(|orders| orders.send(order).ok()).ok_or_else(ended)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the fabric's thread panicked");
        }
    }
}

fn ended() -> LabError {
    LabError::ThreadEnded("the fabric".into())
}

fn run(ports: &[Tun], clock: Clock, load: Load, orders: &Receiver<Order>) {
    if let Err(error) = sharpen_timers() {
        tracing::warn!(%error, "timers are coarse");
    }
    let mut readable = ReadableSet::new(ports.iter().map(AsFd::as_fd));
    let mut turned: Option<Turning<'_>> = None;
    loop {
        match orders.try_recv() {
            Ok(Order::Load(current)) => {
                ports.iter().for_each(throw_away);
                let dropped_before = dropped(ports);
                turned = Some(Turning { ports, clock, load, current: *current, dropped_before });
            }
            Ok(Order::Unload(reply)) => {
                // Whoever asked may have given up.
                let _ = reply.send(turned.take().map(Turning::report));
            }
            Ok(Order::Alter(change)) => {
                if let Some(turning) = &mut turned {
                    change(&mut turning.current.fabric, clock.now());
                }
            }
            Ok(Order::UsePorts(work)) => work(ports),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {}
        }
        match &mut turned {
            Some(turning) => turning.turn(&mut readable),
            None => idle(ports, clock, &mut readable),
        }
    }
}

fn idle(ports: &[Tun], clock: Clock, readable: &mut ReadableSet<'_>) {
    if let Err(error) = readable.wait_until(clock.instant(clock.now() + TICK)) {
        tracing::error!(%error, "the ports cannot be polled");
    }
    ports.iter().for_each(throw_away);
}

fn throw_away(port: &Tun) {
    let mut packet = [0; 2048];
    while port.read(&mut packet).is_ok() {}
}

fn dropped(ports: &[Tun]) -> u64 {
    ports.iter().map(|port| port.dropped().unwrap_or(0)).sum()
}

/// A fabric and what is known of it.
struct Current {
    fabric: Fabric,
    ids: Vec<PortId>,
    events: Vec<FabricEvent>,
    events_lost: u64,
    lateness: LatenessMeter,
    keeps: Packets,
    packets: Vec<KeptPacket>,
    kept: usize,
}

impl Current {
    fn new(fabric: Fabric, ids: Vec<PortId>, keeps: Packets) -> Self {
        Self {
            fabric,
            ids,
            events: Vec::new(),
            events_lost: 0,
            lateness: LatenessMeter::default(),
            keeps,
            packets: Vec::new(),
            kept: 0,
        }
    }

    fn keep(&mut self, port: PortId, [at, due]: [Timestamp; 2], way: Way, packet: &[u8]) {
        if self.keeps == Packets::Forgotten {
            return;
        }
        self.kept += packet.len();
        if self.kept <= KEPT {
            self.packets.push(KeptPacket { port, at, due, way, bytes: packet.to_vec() });
        }
    }
}

/// A fabric that is being turned, and the world around it.
struct Turning<'ports> {
    ports: &'ports [Tun],
    clock: Clock,
    load: Load,
    current: Current,
    dropped_before: u64,
}

impl Turning<'_> {
    fn turn(&mut self, readable: &mut ReadableSet<'_>) {
        self.sleep(readable);
        let ports = self.ports;
        for (place, tun) in ports.iter().enumerate() {
            if readable.is_readable(place)
                && let Some(id) = self.current.ids.get(place).copied()
            {
                self.read(id, tun);
            }
        }
        self.current.fabric.handle_timeout(self.clock.now());
        match self.load {
            Load::Sparse => {
                while let Some(delivery) = self.current.fabric.poll_transmit() {
                    self.deliver(delivery);
                }
            }
            Load::Bulk => self.deliver_together(),
        }
        while let Some(event) = self.current.fabric.poll_event() {
            if self.current.events.len() < EVENTS {
                self.current.events.push(event);
            } else {
                self.current.events_lost += 1;
            }
        }
    }

    fn sleep(&mut self, readable: &mut ReadableSet<'_>) {
        let tick = self.clock.now() + TICK;
        let deadline = self.current.fabric.poll_timeout();
        let planned = deadline.map_or(tick, |(deadline, _)| deadline.min(tick));
        match readable.wait_until(self.clock.instant(planned)) {
            Ok(true) => {}
            Ok(false) => self.current.lateness.record_wake(planned, self.clock.now()),
            Err(error) => tracing::error!(%error, "the ports cannot be polled"),
        }
    }

    fn read(&mut self, id: PortId, tun: &Tun) {
        for _ in 0..BATCH {
            let mut buffer = self.current.fabric.buffer();
            match tun.read(buffer.as_mut_slice()) {
                Ok(length) => {
                    let now = self.clock.now();
                    buffer.set_len(length);
                    self.current.keep(id, [now; 2], Way::Out, buffer.as_slice());
                    self.current.fabric.handle_packet(id, buffer, now);
                }
                Err(error) => {
                    self.current.fabric.recycle(buffer);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::error!(%error, "a port cannot be read");
                    }
                    return;
                }
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.clock.now();
        let current = &mut self.current;
        current.lateness.record_packet(delivery.ingress, delivery.due, now);
        let place = current.ids.iter().position(|id| *id == delivery.port);
        if let Some(tun) = place.and_then(|place| self.ports.get(place)) {
            let packet = delivery.packet.as_slice();
            current.keep(delivery.port, [now, delivery.due], Way::In, packet);
            if let Err(error) = tun.write(packet) {
                tracing::warn!(%error, port = tun.name(), "the host took no packet");
            }
        }
        current.fabric.recycle(delivery.packet);
        // Other fabrics are as urgent as this one, and a write may take the kernel 20 µs.
        thread::yield_now();
    }

    /// Writes what is due port by port, so that a stack takes the segments of a stream together
    /// where its device permits it.
    fn deliver_together(&mut self) {
        loop {
            let current = &mut self.current;
            let fabric = &mut current.fabric;
            let batch: Vec<_> = iter::from_fn(|| fabric.poll_transmit()).take(2 * BATCH).collect();
            if batch.is_empty() {
                return;
            }
            let now = self.clock.now();
            for delivery in &batch {
                current.lateness.record_packet(delivery.ingress, delivery.due, now);
                let packet = delivery.packet.as_slice();
                current.keep(delivery.port, [now, delivery.due], Way::In, packet);
            }
            for (id, tun) in current.ids.iter().zip(self.ports) {
                let own = batch.iter().filter(|delivery| delivery.port == *id);
                if let Err(error) = tun.write_all(own.map(|delivery| delivery.packet.as_slice())) {
                    tracing::warn!(%error, port = tun.name(), "the host took not all packets");
                }
            }
            for delivery in batch {
                current.fabric.recycle(delivery.packet);
            }
        }
    }

    fn report(self) -> Report {
        let tun_drops = dropped(self.ports).saturating_sub(self.dropped_before);
        let Current { fabric, events, events_lost, lateness, packets, .. } = self.current;
        Report {
            events_lost: events_lost + fabric.events_lost(),
            fabric,
            events,
            lateness,
            tun_drops,
            packets,
        }
    }
}
