//! The one thread that turns the fabric on the monotonic clock.
//!
//! It sleeps until the fabric's next deadline, never longer than a millisecond, so that its own
//! lateness is always known; reads what the hosts send with the time at which it read it; and
//! writes what is due. A write into a TUN device runs the receiving kernel's network stack in this
//! thread.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use simopen_device::clock::Clock;
use simopen_device::tun::Tun;
use simopen_device::wait::{ReadableSet, Urgency, sharpen_timers};
use simopen_fabric::{Delivery, Fabric, FabricEvent, PortId};
use simopen_packet::Timestamp;

use crate::error::LabError;
use crate::host::prefer_this_thread;
use crate::lateness::LatenessMeter;
use crate::pcap::{PcapFile, Way};

/// The longest sleep.
const TICK: Duration = Duration::from_millis(1);

/// Packets that are read from one port before the others get their turn.
const BATCH: usize = 64;

/// Events that are kept of a run; a run that makes more has lost the rest, and says so.
const EVENTS: usize = 100_000;

/// What a fabric's thread expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// It mostly sleeps, and runs before ordinary threads so that it wakes in time.
    Sparse,
    /// It may be busy all the time, and shares the machine.
    Bulk,
}

/// One port of the fabric and the device that it ends in.
pub struct PumpPort {
    /// The fabric's number for it.
    pub id: PortId,
    /// The host's TUN device.
    pub tun: Tun,
}

/// A running pump. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct Pump {
    orders: Sender<Order>,
    thread: Option<JoinHandle<Report>>,
}

/// What a pump knows when it has stopped.
pub struct Report {
    /// The fabric as it was left.
    pub fabric: Fabric,
    /// What its journal said, oldest first.
    pub events: Vec<FabricEvent>,
    /// Events that did not fit.
    pub events_lost: u64,
    /// How late it was.
    pub lateness: LatenessMeter,
    /// Packets that the kernel dropped because a TUN device's queue was full.
    pub tun_drops: u64,
    /// The ports, which go when this is dropped.
    pub ports: Vec<PumpPort>,
}

enum Order {
    CutOff(PortId),
    Stop,
}

impl Pump {
    /// Starts the thread. With `captures`, each port's packets are written into a file there.
    ///
    /// # Errors
    ///
    /// [`LabError`] where a capture file or the thread cannot be made.
    pub fn start(
        fabric: Fabric,
        ports: Vec<PumpPort>,
        clock: Clock,
        captures: Option<&Path>,
        load: Load,
    ) -> Result<Self, LabError> {
        let files = match captures {
            Some(directory) => capture_files(&fabric, &ports, directory)?,
            None => ports.iter().map(|_| None).collect(),
        };
        let (orders, queue) = mpsc::channel();
        let state = State {
            load,
            fabric,
            clock,
            files,
            events: Vec::new(),
            events_lost: 0,
            lateness: LatenessMeter::default(),
        };
        let thread = thread::Builder::new()
            .name("fabric".into())
            .spawn(move || {
                if load == Load::Sparse {
                    prefer_this_thread(Urgency::Timekeeper);
                }
                state.run(ports, &queue)
            })
            .map_err(|source| LabError::System { what: "the fabric's thread", source })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Cuts a host off from the network.
    pub fn cut_off(&self, port: PortId) {
        // A thread that has ended shows when it is joined.
        let _ = self.orders.send(Order::CutOff(port));
    }

    /// Stops the thread and gives what it knows.
    ///
    /// # Errors
    ///
    /// [`LabError::ThreadEnded`] where it panicked.
    pub fn stop(mut self) -> Result<Report, LabError> {
        self.end().ok_or(LabError::ThreadEnded("the fabric"))
    }

    fn end(&mut self) -> Option<Report> {
        let _ = self.orders.send(Order::Stop);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.end();
    }
}

struct State {
    load: Load,
    fabric: Fabric,
    clock: Clock,
    files: Vec<Option<PcapFile>>,
    events: Vec<FabricEvent>,
    events_lost: u64,
    lateness: LatenessMeter,
}

impl State {
    fn run(mut self, ports: Vec<PumpPort>, orders: &Receiver<Order>) -> Report {
        if let Err(error) = sharpen_timers() {
            tracing::warn!(%error, "timers are coarse");
        }
        let mut readable = ReadableSet::new(ports.iter().map(|port| port.tun.as_fd()));
        loop {
            match orders.try_recv() {
                Ok(Order::CutOff(port)) => self.fabric.set_port_enabled(port, false),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {}
            }
            self.sleep(&mut readable);
            for (place, port) in ports.iter().enumerate() {
                if readable.is_readable(place) {
                    self.read(place, port);
                }
            }
            self.turn(&ports);
        }
        let tun_drops = ports.iter().map(|port| port.tun.dropped().unwrap_or(0)).sum();
        Report {
            events_lost: self.events_lost + self.fabric.events_lost(),
            fabric: self.fabric,
            events: self.events,
            lateness: self.lateness,
            tun_drops,
            ports,
        }
    }

    fn sleep(&mut self, readable: &mut ReadableSet<'_>) {
        let tick = self.clock.now() + TICK;
        let planned = self.fabric.poll_timeout().map_or(tick, |(deadline, _)| deadline.min(tick));
        match readable.wait_until(self.clock.instant(planned)) {
            Ok(true) => {}
            Ok(false) => self.lateness.record_wake(planned, self.clock.now()),
            Err(error) => tracing::error!(%error, "the ports cannot be polled"),
        }
    }

    fn read(&mut self, place: usize, port: &PumpPort) {
        for _ in 0..BATCH {
            let mut buffer = self.fabric.buffer();
            match port.tun.read(buffer.as_mut_slice()) {
                Ok(length) => {
                    let now = self.clock.now();
                    buffer.set_len(length);
                    self.capture(place, now, Way::FromHost, buffer.as_slice());
                    self.fabric.handle_packet(port.id, buffer, now);
                }
                Err(error) => {
                    self.fabric.recycle(buffer);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::error!(%error, "a port cannot be read");
                    }
                    return;
                }
            }
        }
    }

    fn turn(&mut self, ports: &[PumpPort]) {
        self.fabric.handle_timeout(self.clock.now());
        while let Some(delivery) = self.fabric.poll_transmit() {
            self.deliver(ports, delivery);
        }
        while let Some(event) = self.fabric.poll_event() {
            if self.events.len() < EVENTS {
                self.events.push(event);
            } else {
                self.events_lost += 1;
            }
        }
    }

    fn deliver(&mut self, ports: &[PumpPort], delivery: Delivery) {
        let now = self.clock.now();
        self.lateness.record_packet(delivery.ingress, delivery.due, now);
        let found = ports.iter().enumerate().find(|(_, port)| port.id == delivery.port);
        if let Some((place, port)) = found {
            self.capture(place, now, Way::ToHost, delivery.packet.as_slice());
            if let Err(error) = port.tun.write(delivery.packet.as_slice()) {
                tracing::warn!(%error, port = port.tun.name(), "the host took no packet");
            }
        }
        self.fabric.recycle(delivery.packet);
        if self.load == Load::Sparse {
            // Other fabrics are as urgent as this one, and a write may take the kernel 20 µs.
            thread::yield_now();
        }
    }

    fn capture(&mut self, place: usize, at: Timestamp, way: Way, packet: &[u8]) {
        if let Some(Some(file)) = self.files.get_mut(place) {
            file.write(at, way, packet);
        }
    }
}

fn capture_files(
    fabric: &Fabric,
    ports: &[PumpPort],
    directory: &Path,
) -> Result<Vec<Option<PcapFile>>, LabError> {
    std::fs::create_dir_all(directory)
        .map_err(|source| LabError::CaptureFile { path: directory.to_owned(), source })?;
    ports
        .iter()
        .map(|port| {
            let name = fabric.name(port.id);
            PcapFile::create(&directory.join(format!("{name}.pcapng")), name).map(Some)
        })
        .collect()
}
