//! Connections that somebody else's program opens, by a contract of JSON lines.
//!
//! `docs/exec-contract.md` has the contract. The lab carries what the two programs tell each other,
//! as late as a broker would, shows them their public endpoints, and judges by the same rules as
//! its own techniques: once both say that they are established it cuts off the host that carried
//! their words, and bytes must still go both ways.

mod contract;
mod conversation;
mod pipes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use simopen_scenario::file::Scenario;
use simopen_scenario::run::{Outcome, Phases, RunRecord, in_milliseconds};
use simopen_scenario::timeline::{Timeline, since};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use self::conversation::{Conversation, Talked};
use crate::cancel::Cancel;
use crate::error::LabError;
use crate::pump::Report;
use crate::topology::Topology;

/// Where the observer listens on the broker's host.
pub const OBSERVER_PORT: u16 = 7001;

/// A program that opens connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Puncher {
    /// The name of its row.
    pub name: String,
    /// What originator and responder start.
    pub commands: [Vec<String>; 2],
    /// Where it is started.
    pub directory: PathBuf,
    /// How long each may take.
    pub deadline: Duration,
}

impl Puncher {
    /// The program of a scenario's hosts `from` and `to`, to be started in `directory`.
    #[must_use]
    pub fn of(scenario: &Scenario, from: usize, to: usize, directory: PathBuf) -> Option<Self> {
        let [a, b] = [from, to].map(|host| scenario.plan.hosts[host].exec.as_ref());
        let (a, b) = (a?, b?);
        let commands = [a.command.clone(), b.command.clone()];
        let deadline = a.deadline.max(b.deadline);
        Some(Self { name: a.name.clone(), commands, directory, deadline })
    }

    /// The program of the first two hosts of a scenario that have one, for a row of the matrix.
    #[must_use]
    pub fn first(scenario: &Scenario, directory: PathBuf) -> Option<Self> {
        let mut having =
            scenario.plan.hosts.iter().enumerate().filter(|(_, host)| host.exec.is_some());
        let (from, _) = having.next()?;
        let (to, _) = having.next()?;
        Self::of(scenario, from, to, directory)
    }
}

/// What is tried with a program between two hosts of a network that stands.
#[derive(Debug, Clone)]
pub struct ProgramTrial<'run> {
    /// The program.
    pub puncher: &'run Puncher,
    /// The names of the hosts of originator, responder and observer.
    pub hosts: [String; 3],
    /// One way from originator to responder; a message between the programs takes two.
    pub leg: Duration,
    /// How late a packet may leave the network, until the verdict, before the run is void.
    pub bound: Duration,
    /// Bytes that each side must send and receive once the observer has been cut off.
    pub bytes: u64,
}

impl ProgramTrial<'_> {
    /// Makes the attempt in a network that has just been loaded, and ends that network.
    ///
    /// # Errors
    ///
    /// [`LabError`] where the attempt could not be made. A program that fails, dies, hangs or
    /// breaks the contract is a failed run.
    pub fn make(
        &self,
        topology: &Topology,
        seed: u64,
        cancel: &Cancel,
    ) -> Result<(RunRecord, Report), LabError> {
        let observer = SocketAddr::new(topology.layout().address(&self.hosts[2])?, OBSERVER_PORT);
        observe(topology, &self.hosts[2], observer)?;
        let talked = Conversation::begin(self, topology, observer)?.hold(cancel)?;
        let report = topology.unload()?;
        let record = self.judge(&talked, &report, topology, seed)?;
        Ok((record, report))
    }

    fn judge(
        &self,
        talked: &Talked,
        report: &Report,
        topology: &Topology,
        seed: u64,
    ) -> Result<RunRecord, LabError> {
        let evidence = report.evidence(topology.layout(), &self.hosts)?;
        let at = |time| in_milliseconds(time - talked.requested);
        let established = talked.established[0].zip(talked.established[1]).map(|(a, b)| a.max(b));
        let decided = established.unwrap_or(talked.ended);
        let late = report.lateness.worst_between(talked.requested, decided);
        let outcome = match (&talked.failure, established) {
            (None, Some(_)) => Outcome::Connected,
            (failure, _) => Outcome::Failed {
                cause: "unspecified".to_owned(),
                words: evidence.explain(failure.clone().unwrap_or_default()),
            },
        };
        let mut timeline = Timeline::new(talked.requested, evidence.hosts());
        timeline.add_packets(&evidence);
        for (at, host, words) in &talked.steps {
            timeline.add(*at, host, words.clone());
        }
        Ok(RunRecord {
            seed,
            direct: (outcome == Outcome::Connected).then_some(talked.exchanged),
            outcome,
            phases: Phases {
                first_packet_ms: evidence.first_packet().map(at),
                established_ms: established.map(at),
                first_byte_ms: talked.exchanged.then(|| at(talked.ended)),
                ..Phases::default()
            },
            legs: established
                .map(|at| (at - talked.requested).as_secs_f64() / self.leg.as_secs_f64()),
            packets_sent: evidence.sent(decided),
            mappings: evidence.mappings(decided),
            delivered: evidence.delivered(),
            void: report.void(late, self.bound),
            timeline: timeline.finish(talked.ended),
            ladder: evidence.ladder(|at| since(talked.requested, at), decided),
        })
    }
}

/// Tells everybody who connects the endpoint that the connection comes from: one line of JSON.
fn observe(topology: &Topology, host: &str, own: SocketAddr) -> Result<(), LabError> {
    let host = topology.host(host).ok_or_else(|| LabError::NoSuchHost(host.to_owned()))?;
    let listening = host.spawn(move || async move {
        let listener = TcpListener::bind(own).await?;
        tokio::spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                let seen = BTreeMap::from([
                    ("address", serde_json::Value::from(from.ip().to_string())),
                    ("port", from.port().into()),
                ]);
                let mut line = serde_json::to_vec(&seen).unwrap_or_default();
                line.push(b'\n');
                // Whoever asked may have gone.
                let _ = stream.write_all(&line).await;
            }
        });
        Ok::<_, std::io::Error>(())
    })?;
    listening.wait()?.map_err(|source| LabError::System { what: "the observer's port", source })
}
