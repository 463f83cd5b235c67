//! One attempt, and what its record tells of each side.

use std::time::Duration;

use simopen_broker::arrival::ArrivalConfig;
use simopen_nat::DropReason;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Technique;
use simopen_scenario::run::{Fate, Outcome, RunRecord};
use simopen_sim::{Detail, Slowness, Trial};

use crate::network::{Distances, Nat};

/// What an experiment is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) technique: Technique,
    pub(crate) distances: Distances,
    pub(crate) boxes: [Nat; 2],
    pub(crate) forging: bool,
    pub(crate) arrival: ArrivalConfig,
    pub(crate) slowness: [Slowness; 2],
    pub(crate) start_skew: [Duration; 2],
    /// Whether the core answers a packet whose TTL is used up.
    pub(crate) time_exceeded: bool,
    /// Whether dials with a low TTL are shielded from ICMP errors.
    pub(crate) shielded: bool,
    pub(crate) measures_paths: bool,
}

/// What became of it.
pub(crate) struct Report {
    pub(crate) record: RunRecord,
    pub(crate) trace: Vec<String>,
    /// When each side was established, since the request.
    pub(crate) established: [Option<Duration>; 2],
    /// When the first byte of the other side had arrived, since the request.
    pub(crate) first_byte: [Option<Duration>; 2],
    /// Why each side failed.
    pub(crate) causes: [Option<Cause>; 2],
    /// When the later side failed, since the request.
    pub(crate) failed: Option<Duration>,
    pub(crate) syns: [u32; 2],
    pub(crate) forged: u32,
}

impl Experiment {
    pub(crate) fn run(&self) -> Report {
        let trial = Trial {
            forging: self.forging,
            leg: self.distances.between_hosts(),
            start_skew: self.start_skew,
            slowness: self.slowness,
            arrival: self.arrival,
            measures_paths: self.measures_paths,
            icmp_shield: self.shielded,
            detail: Detail::Trace,
            ..Trial::new(self.technique)
        };
        let network = self.distances.network(self.boxes, self.time_exceeded);
        let run = trial.make(network, 7);
        assert_eq!(run.violations, [], "{self:?}");
        let record = run.record;
        let hosts = ["a", "b"];
        Report {
            trace: run.trace,
            established: hosts.map(|host| moment_of(&record, host, "kernel: ESTABLISHED")),
            first_byte: hosts.map(|host| moment_of(&record, host, CONFIRMED)),
            causes: hosts.map(|host| {
                let failed = |cause: &Cause| {
                    moment_of(&record, host, &format!("failed: {}", cause.sentence())).is_some()
                };
                Cause::ALL.iter().copied().find(failed)
            }),
            failed: hosts.iter().filter_map(|host| moment_of(&record, host, "failed: ")).max(),
            syns: record.delivered.map(|host| host.syns_sent),
            forged: record.packets_sent.forged,
            record,
        }
    }
}

/// What a timeline says when a side is confirmed.
const CONFIRMED: &str = "the other side has shown who it is: confirmed";

/// When a host's timeline first had a line that begins so.
fn moment_of(record: &RunRecord, host: &str, words: &str) -> Option<Duration> {
    let mut lines = record.timeline.iter();
    let line = lines.find(|line| line.host == host && line.event.starts_with(words))?;
    Some(Duration::from_micros((line.at_ms * 1e3).round() as u64))
}

impl Report {
    pub(crate) fn is_connected(&self) -> bool {
        self.record.outcome == Outcome::Connected
    }

    #[track_caller]
    pub(crate) fn assert_connected(&self) {
        assert!(self.record.is_success(), "{:?}\n{}", self.record.outcome, self.trace.join("\n"));
    }

    /// Why the box of a host dropped packets.
    pub(crate) fn dropped_by_box(&self, host: usize) -> Vec<&str> {
        let name = ["box-a", "box-b"][host];
        let at_box = self.record.timeline.iter().filter(|line| line.host == name);
        at_box.filter_map(|line| line.event.strip_prefix("drops it: ")).collect()
    }

    /// Whether the box of a host met a SYN-ACK before the SYN that it answers.
    pub(crate) fn was_too_early(&self, host: usize) -> bool {
        self.dropped_by_box(host).contains(&&*DropReason::SynAckWithoutSyn.to_string())
    }

    pub(crate) fn resets_from_boxes(&self) -> usize {
        let from_box = |from: &str| ["box-a", "box-b"].contains(&from);
        let ladder = self.record.ladder.iter();
        ladder.filter(|packet| from_box(&packet.from) && packet.label.contains("RST")).count()
    }

    /// SYNs whose TTL was used up on the way.
    pub(crate) fn expired(&self) -> usize {
        let expired = Fate::Dropped(simopen_fabric::DropReason::TtlExceeded.to_string());
        self.record.ladder.iter().filter(|packet| packet.fate == expired).count()
    }
}
