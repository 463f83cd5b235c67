//! What the lab and the two programs say to each other, with its deadlines.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;
use simopen_device::process::ProgramSpace;
use simopen_packet::Timestamp;

use super::ProgramTrial;
use super::contract::{Event, Observer, Said, VERSION};
use super::pipes::{Heard, Talking};
use crate::cancel::Cancel;
use crate::error::LabError;
use crate::programs::start_programs;
use crate::topology::Topology;

/// How long a program may take to start, an interpreter and its libraries included.
const STARTING: Duration = Duration::from_secs(10);

/// How long the bytes may take once the observer has been cut off.
const EXCHANGE: Duration = Duration::from_secs(5);

/// The longest time without a look at whether the experiment has been broken off.
const LOOK: Duration = Duration::from_millis(50);

/// Words that are kept of a run: more are thrown away.
const STEPS: usize = 1000;

/// Messages that one side may have under way to the other.
const UNDER_WAY: usize = 1000;

/// What was said.
#[derive(Debug)]
pub(super) struct Talked {
    pub(super) requested: Timestamp,
    pub(super) ended: Timestamp,
    /// When each side said that it was.
    pub(super) established: [Option<Timestamp>; 2],
    pub(super) exchanged: bool,
    pub(super) failure: Option<String>,
    pub(super) steps: Vec<(Timestamp, String, String)>,
}

/// Two programs that run.
pub(super) struct Conversation<'run> {
    trial: &'run ProgramTrial<'run>,
    topology: &'run Topology,
    talking: [Talking; 2],
    heard: Receiver<(usize, Heard)>,
    under_way: VecDeque<(Timestamp, usize, Value)>,
    ready: [bool; 2],
    exchanged: [bool; 2],
    observer: Observer,
    talked: Talked,
}

impl<'run> Conversation<'run> {
    pub(super) fn begin(
        trial: &'run ProgramTrial<'run>,
        topology: &'run Topology,
        observer: SocketAddr,
    ) -> Result<Self, LabError> {
        let (sender, heard) = mpsc::channel();
        let start = |side: usize| {
            let name = &trial.hosts[side];
            let host = topology.host(name).ok_or_else(|| LabError::NoSuchHost(name.clone()))?;
            let space: ProgramSpace = start_programs(host)?;
            let words = &trial.puncher.commands[side];
            let mut command = Command::new(words.first().map_or("", String::as_str));
            command.args(words.iter().skip(1)).current_dir(&trial.puncher.directory);
            Talking::start(&space, command, side, &sender)
        };
        let talking = [start(0)?, start(1)?];
        let requested = topology.clock().now();
        let talked = Talked {
            requested,
            ended: requested,
            established: [None; 2],
            exchanged: false,
            failure: None,
            steps: Vec::new(),
        };
        Ok(Self {
            trial,
            topology,
            talking,
            heard,
            under_way: VecDeque::new(),
            ready: [false; 2],
            exchanged: [false; 2],
            observer: Observer { address: observer.ip(), port: observer.port() },
            talked,
        })
    }

    /// Carries words until it is decided, and ends both programs.
    pub(super) fn hold(mut self, cancel: &Cancel) -> Result<Talked, LabError> {
        let deadline = self.topology.clock().now() + STARTING;
        self.carry_until(deadline, cancel, |state| state.ready == [true; 2])?;
        self.start()?;
        let deadline = self.talked.requested + self.trial.puncher.deadline;
        self.carry_until(deadline, cancel, |state| {
            state.talked.established.iter().all(Option::is_some)
        })?;
        if self.talked.failure.is_none() {
            let observer = self.topology.layout().host(&self.trial.hosts[2])?.port;
            self.topology.alter(move |fabric, _| fabric.set_port_enabled(observer, false))?;
            self.note("lab", "cuts the observer off from the network".to_owned());
            for talking in &self.talking {
                talking.tell(&Event::Exchange { bytes: self.trial.bytes });
            }
            let deadline = self.topology.clock().now() + EXCHANGE;
            self.carry_until(deadline, cancel, |state| state.exchanged == [true; 2])?;
        }
        self.talked.exchanged = self.talked.failure.is_none();
        for talking in &self.talking {
            talking.tell(&Event::Stop);
        }
        self.talked.ended = self.topology.clock().now();
        if let Some(failure) = self.talked.failure.clone() {
            self.note("lab", failure);
        }
        Ok(self.talked)
    }

    /// Both begin together, however long each took until it could.
    fn start(&mut self) -> Result<(), LabError> {
        self.talked.requested = self.topology.clock().now();
        let trial = self.trial;
        for (side, role) in [(0, "originator"), (1, "responder")] {
            self.talking[side].tell(&Event::Start {
                version: VERSION,
                role,
                name: trial.hosts[side].clone(),
                peer: trial.hosts[1 - side].clone(),
                address: self.topology.layout().address(&trial.hosts[side])?,
                observer: self.observer,
                deadline_ms: trial.puncher.deadline.as_millis().try_into().unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }

    fn carry_until(
        &mut self,
        deadline: Timestamp,
        cancel: &Cancel,
        is_done: impl Fn(&Self) -> bool,
    ) -> Result<(), LabError> {
        while self.talked.failure.is_none() && !is_done(self) {
            if cancel.is_cancelled() {
                return Err(LabError::Cancelled);
            }
            let now = self.topology.clock().now();
            while self.under_way.front().is_some_and(|(due, ..)| *due <= now) {
                if let Some((_, to, data)) = self.under_way.pop_front() {
                    self.talking[to].tell(&Event::Message { data });
                }
            }
            if now >= deadline {
                let late = (0..2).filter(|side| !self.is_through(*side));
                let names: Vec<&str> = late.map(|side| self.trial.hosts[side].as_str()).collect();
                self.talked.failure =
                    Some(format!("the program on {} hangs: its time is over", names.join(" and ")));
                return Ok(());
            }
            let next = self.under_way.front().map_or(deadline, |(due, ..)| (*due).min(deadline));
            match self.heard.recv_timeout((next - now).min(LOOK)) {
                Ok((side, heard)) => self.handle(side, heard)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        Ok(())
    }

    /// Whether a side has done what is asked of it at present.
    fn is_through(&self, side: usize) -> bool {
        if self.ready != [true; 2] {
            return self.ready[side];
        }
        let both = self.talked.established.iter().all(Option::is_some);
        if both { self.exchanged[side] } else { self.talked.established[side].is_some() }
    }

    fn handle(&mut self, side: usize, heard: Heard) -> Result<(), LabError> {
        let now = self.topology.clock().now();
        let name = self.trial.hosts[side].clone();
        match heard {
            Heard::Said(Ok(said)) => self.handle_said(side, &name, said, now),
            Heard::Said(Err(complaint)) => {
                self.talked.failure = Some(format!("the program on {name} wrote {complaint}"));
            }
            Heard::Complained(text) => self.note(&name, format!("on standard error: {text}")),
            Heard::Ended => {
                let status = self.talking[side].program.end();
                let status =
                    status.map_err(|source| LabError::System { what: "a program", source })?;
                if !self.exchanged[side] {
                    self.talked.failure =
                        Some(format!("the program on {name} ended before it was done, {status}"));
                }
            }
        }
        Ok(())
    }

    fn handle_said(&mut self, side: usize, name: &str, said: Said, now: Timestamp) {
        match said {
            Said::Ready => self.ready[side] = true,
            Said::Send { data } => {
                if self.under_way.len() < UNDER_WAY {
                    let due = now + self.trial.leg * 2;
                    self.under_way.push_back((due, 1 - side, data));
                } else {
                    self.talked.failure =
                        Some(format!("the program on {name} sent more than {UNDER_WAY} messages"));
                }
            }
            Said::Established { local, remote } => {
                self.talked.established[side].get_or_insert(now);
                self.note(name, format!("says: established from {local} to {remote}"));
            }
            Said::Failed { cause } => {
                let cause: String = cause.chars().take(200).collect();
                self.talked.failure = Some(format!("the program on {name} says: {cause}"));
            }
            Said::Log { text } => self.note(name, text.chars().take(200).collect()),
            Said::Exchanged { sent, received } => {
                let wanted = self.trial.bytes;
                let both = self.talked.established.iter().all(Option::is_some);
                if both && (sent, received) == (wanted, wanted) {
                    self.exchanged[side] = true;
                    self.note(name, format!("says: {sent} bytes sent and received"));
                } else {
                    self.talked.failure = Some(format!(
                        "the program on {name} sent {sent} and received {received} bytes of {wanted}"
                    ));
                }
            }
        }
    }

    fn note(&mut self, host: &str, words: String) {
        if self.talked.steps.len() < STEPS {
            self.talked.steps.push((self.topology.clock().now(), host.to_owned(), words));
        }
    }
}
