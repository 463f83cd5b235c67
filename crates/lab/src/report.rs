//! The demo's result as one JSON object.

use std::time::Duration;

use serde::Serialize;
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::run::{Delivered, Outcome};

use crate::demo::{CaseResult, DemoResult};
use crate::lateness::Lateness;

/// A demo. Fields may be added; none changes its meaning.
#[derive(Debug, Serialize)]
pub struct DemoReport {
    /// Whether every attempt came out as it must.
    pub ok: bool,
    /// How late the fabric was, in microseconds, over all packets of all attempts.
    pub lateness_us: LatenessReport,
    /// One entry for each attempt.
    pub attempts: Vec<AttemptReport>,
}

/// Quantiles of lateness in microseconds.
#[derive(Debug, Serialize)]
pub struct LatenessReport {
    /// Packets counted.
    pub packets: u64,
    /// Half of them were no later.
    pub p50: u64,
    /// 99 of 100 were no later.
    pub p99: u64,
    /// 999 of 1000 were no later.
    pub p999: u64,
    /// The longest time by which the thread woke too late.
    pub max_stall: u64,
}

/// One attempt.
#[derive(Debug, Serialize)]
pub struct AttemptReport {
    /// The name of the case.
    pub name: &'static str,
    /// `simultaneous-open` or `forged-syn-ack`.
    pub technique: &'static str,
    /// Who made the SYN, where the technique leaves the choice.
    pub syn: Option<&'static str>,
    /// Whether the broker sent its forged packets.
    pub forging: bool,
    /// The boxes before `a` and `b`.
    pub boxes: [&'static str; 2],
    /// Whether it must connect.
    pub expected: bool,
    /// Whether it did.
    pub connected: bool,
    /// Whether bytes flowed without the broker; null without a connection.
    pub direct: Option<bool>,
    /// From the request until both kernels said ESTABLISHED, in milliseconds.
    pub established_ms: Option<f64>,
    /// The same in one-way trips.
    pub legs: Option<f64>,
    /// Why it failed.
    pub cause: Option<String>,
    /// The same as one word of the protocol.
    pub cause_word: Option<String>,
    /// Bare SYNs that were delivered to `a` or `b`.
    pub syns_delivered: u32,
    /// SYN-ACKs that were delivered to `a` or `b` on their flow.
    pub syn_acks_delivered: u32,
    /// The same for each host, and which of them entered the fabric at the broker's port.
    pub delivered: [DeliveredReport; 2],
    /// Void runs before this one: the machine was late, whatever came of them.
    pub voided: u32,
    /// How long the topology took to build, in milliseconds.
    pub built_ms: f64,
    /// What happened.
    pub timeline: Vec<TimelineReport>,
}

/// What was delivered to one host.
#[derive(Debug, Serialize)]
pub struct DeliveredReport {
    /// Which.
    pub host: &'static str,
    /// Bare SYNs that it sent.
    pub syns_sent: u32,
    /// Bare SYNs that reached it.
    pub syns: u32,
    /// SYN-ACKs that reached it.
    pub syn_acks: u32,
    /// Those that entered the fabric at the broker's port.
    pub syn_acks_from_broker: u32,
}

/// One line of a timeline.
#[derive(Debug, Serialize)]
pub struct TimelineReport {
    /// Milliseconds since the request.
    pub at_ms: f64,
    /// Where.
    pub host: String,
    /// What.
    pub event: String,
    /// The packet, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
}

impl DemoReport {
    /// The report of a demo.
    #[must_use]
    pub fn of(demo: &DemoResult) -> Self {
        Self {
            ok: demo.is_ok(),
            lateness_us: LatenessReport::of(&demo.lateness),
            attempts: demo.cases.iter().map(AttemptReport::of).collect(),
        }
    }
}

impl LatenessReport {
    fn of(lateness: &Lateness) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            packets: lateness.packets,
            p50: micros(lateness.p50),
            p99: micros(lateness.p99),
            p999: micros(lateness.p999),
            max_stall: micros(lateness.max_stall),
        }
    }
}

impl AttemptReport {
    fn of(case: &CaseResult) -> Self {
        let result = &case.result;
        let (technique, syn) = match result.technique {
            Technique::ForgedSynAck(SynOwner::Kernel) => ("forged-syn-ack", Some("kernel")),
            Technique::ForgedSynAck(SynOwner::Userspace) => ("forged-syn-ack", Some("userspace")),
            Technique::Direct
            | Technique::SimultaneousOpen
            | Technique::SimultaneousOpenLowTtl
            | Technique::PunchAndListen
            | Technique::Relay(_)
            | _ => (result.technique.name(), None),
        };
        let record = &result.record;
        let cause = match &record.outcome {
            Outcome::Failed { cause, words } => Some((cause.clone(), words.clone())),
            Outcome::Connected | Outcome::Relayed | _ => None,
        };
        let (cause_word, cause) = cause.unzip();
        let total = |count: fn(&Delivered) -> u32| record.delivered.iter().map(count).sum();
        let lines = record.timeline.iter().map(|entry| TimelineReport {
            at_ms: entry.at_ms,
            host: entry.host.clone(),
            event: entry.event.clone(),
            packet: entry.packet.clone(),
        });
        Self {
            name: case.case.name,
            technique,
            syn,
            forging: result.forging,
            boxes: [case.case.boxes; 2],
            expected: case.case.expected,
            connected: result.connected(),
            direct: record.direct,
            established_ms: record.phases.established_ms,
            legs: record.legs.map(|legs| rounded(legs, 100.0)),
            cause,
            cause_word,
            syns_delivered: total(|host| host.syns),
            syn_acks_delivered: total(|host| host.syn_acks),
            delivered: ["a", "b"].map(|host| {
                let counts = &record.delivered[usize::from(host == "b")];
                DeliveredReport {
                    host,
                    syns_sent: counts.syns_sent,
                    syns: counts.syns,
                    syn_acks: counts.syn_acks,
                    syn_acks_from_broker: counts.syn_acks_from_broker,
                }
            }),
            voided: result.voided,
            built_ms: milliseconds(result.built_in),
            timeline: lines.collect(),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 1000.0)
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
