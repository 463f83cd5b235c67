//! What came of one run, told alike by every world.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::milliseconds;

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// What all chance of the run followed from.
    pub seed: u64,
    /// Whether there was a connection.
    pub outcome: Outcome,
    /// Whether bytes still flowed after broker and relay were cut off; `None` without a connection.
    /// Through the relay none may.
    pub direct: Option<bool>,
    /// When each phase was over, since the request.
    pub phases: Phases,
    /// `established` in one-way trips between two hosts. Through the relay, whose host says
    /// ESTABLISHED whoever else has come, it is when the first byte of `a` had come to `b`.
    pub legs: Option<f64>,
    /// Packets that `a` and `b` sent on the flow between them until it was established, or had
    /// failed, and packets that the broker sent in another's name.
    pub packets_sent: PacketsSent,
    /// Mappings that the boxes of `a` and `b` had made by then.
    pub mappings: [u32; 2],
    /// What the journal of the network says was delivered to `a` and `b`.
    pub delivered: [Delivered; 2],
    /// Why the run does not count, if so; what came of it does not enter into this.
    pub void: Option<Void>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// The packets between `a` and `b`, and those sent in their names, for a ladder diagram.
    pub ladder: Vec<LadderPacket>,
}

/// Whether there was a connection. May grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Authenticated bytes went both ways.
    Connected,
    /// The same by way of the relay, which is in their way for as long as the connection lasts.
    Relayed,
    /// No connection.
    Failed {
        /// The one word of the protocol, `unspecified` where there is none.
        cause: String,
        /// The cause, and what boxes and routers did, in words.
        words: String,
    },
}

/// When each phase was over, in milliseconds since the request.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Phases {
    /// Before the request: how long it took to prove a port to the broker (gather).
    pub gather_ms: Option<f64>,
    /// The originator knew where to dial (signal).
    pub signal_ms: Option<f64>,
    /// The first packet of the other side, or in its name, came through to either side.
    pub first_packet_ms: Option<f64>,
    /// Both ends said ESTABLISHED.
    pub established_ms: Option<f64>,
    /// Authenticated bytes had come to both ends.
    pub first_byte_ms: Option<f64>,
}

/// Packets sent in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PacketsSent {
    /// By `a`.
    pub a: u32,
    /// By `b`.
    pub b: u32,
    /// By the broker, in another's name.
    pub forged: u32,
}

/// What was delivered to one host on the flow between `a` and `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delivered {
    /// Bare SYNs that it sent.
    pub syns_sent: u32,
    /// Bare SYNs that reached it.
    pub syns: u32,
    /// SYN-ACKs that reached it.
    pub syn_acks: u32,
    /// Those of them that entered the network at the broker's port.
    pub syn_acks_from_broker: u32,
}

/// Why a run does not count. May grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Void {
    /// A packet left the network later than the bound.
    Late {
        /// By how much.
        by_ms: f64,
        /// The bound.
        bound_ms: f64,
    },
    /// Packets were lost between the network and a host's kernel.
    PortDropped {
        /// How many.
        packets: u64,
    },
    /// The journal did not hold everything.
    JournalIncomplete,
    /// A box was found not to be what its specification says.
    Misclassified {
        /// Which, and how.
        words: String,
    },
    /// The two sides, which were to dial at one moment, did not.
    OutOfStep {
        /// How far apart their first SYNs left, without the skew that was asked for.
        apart_ms: f64,
        /// The bound.
        bound_ms: f64,
    },
    /// An echo through the topology took another time than configured.
    RoundTrip {
        /// As configured.
        configured_ms: f64,
        /// As measured.
        measured_ms: f64,
    },
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TimelineEntry {
    /// Milliseconds since the request; negative before it.
    pub at_ms: f64,
    /// Which host, box or router; `lab` or `sim` for what the experiment itself did.
    pub host: String,
    /// What happened.
    pub event: String,
    /// The packet, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
}

/// One packet's way from one vertical line of a ladder diagram to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LadderPacket {
    /// Where it was seen first: `a`, `box-a`, `core`, `box-b`, `b` or `c`.
    pub from: String,
    /// When, in milliseconds since the request.
    pub sent_ms: f64,
    /// Where it ended.
    pub to: String,
    /// When.
    pub ended_ms: f64,
    /// The packet in a few words: `SYN`, `SYN|ACK`, `RST`, `ICMP time exceeded`.
    pub label: String,
    /// Whether it reached a host, and if not, why.
    pub fate: Fate,
    /// Whether it was sent in another's name.
    pub forged: bool,
}

/// How a packet ended. Complete: it will not grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It reached a host.
    Delivered,
    /// It was dropped, lost, or died of its TTL; why.
    Dropped(String),
}

impl RunRecord {
    /// Whether the run counts.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.void.is_none()
    }

    /// Whether authenticated bytes went both ways and, once the broker was cut off, still did. What
    /// meets at the relay has to stop with it: else it was not what it claims to be.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self.outcome {
            Outcome::Connected => self.direct == Some(true),
            Outcome::Relayed => self.direct == Some(false),
            Outcome::Failed { .. } => false,
        }
    }
}

/// A moment in milliseconds, for [`Phases`] and [`TimelineEntry`].
#[must_use]
pub fn in_milliseconds(since_request: Duration) -> f64 {
    milliseconds::of(since_request)
}
