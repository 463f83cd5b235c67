//! What came of an attempt, read from what the hosts told and what the journal proves.

use std::time::Duration;

use simopen_broker::Event as BrokerEvent;
use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_traversal::{Event, Failure, What};

use crate::evidence::{Evidence, seen_by_peers};
use crate::run::{LadderPacket, Outcome, Phases, RunRecord, TimelineEntry, in_milliseconds};
use crate::timeline::{Timeline, since};

/// The longest journal time after the verdict that a ladder shows.
const AFTERMATH: Duration = Duration::from_millis(1);

/// What the hosts told of an attempt.
#[derive(Debug, Clone)]
pub struct Account {
    /// When the attempt began; the end of the logins where there was none.
    pub requested: Timestamp,
    /// When all was over.
    pub ended: Timestamp,
    /// When originator and responder were established, or why each was not.
    pub ends: [Result<Timestamp, Option<Failure>>; 2],
    /// Why there was no attempt, if there was none.
    pub not_begun: Option<String>,
    /// How long the originator took to prove a port.
    pub gather: Option<Duration>,
    /// Whether the two sides met at the relay.
    pub relayed: bool,
    /// Whether bytes still flowed without broker and relay; `None` without a connection.
    pub direct: Option<bool>,
    /// What became true at originator (0) and responder (1), in the order in which each told it.
    pub events: Vec<(usize, Event)>,
    /// What the broker did.
    pub broker: Vec<BrokerEvent>,
    /// What the world did itself.
    pub steps: Vec<(Timestamp, String)>,
    /// The world's name in a timeline.
    pub world: &'static str,
}

/// How much a record tells. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Figures alone: no timeline, no ladder.
    Left,
    /// All.
    Told,
}

impl Account {
    /// Of an attempt of which nothing has come yet.
    #[must_use]
    pub const fn beginning(requested: Timestamp, world: &'static str) -> Self {
        Self {
            requested,
            ended: requested,
            ends: [Err(None), Err(None)],
            not_begun: None,
            gather: None,
            relayed: false,
            direct: None,
            events: Vec::new(),
            broker: Vec::new(),
            steps: Vec::new(),
            world,
        }
    }

    /// When both ends said ESTABLISHED. That each says so of the relay means nothing yet: then it
    /// is when the originator's first byte had come to the responder.
    #[must_use]
    pub fn established(&self) -> Option<Timestamp> {
        match self.ends {
            [Ok(_), Ok(_)] if self.relayed => self.seen(1, |what| matches!(what, What::Confirmed)),
            [Ok(a), Ok(b)] => Some(a.max(b)),
            _ => None,
        }
    }

    /// When that became true first at originator (0) or responder (1).
    fn seen(&self, place: usize, wanted: fn(&What) -> bool) -> Option<Timestamp> {
        let mut own = self.events.iter().filter(|(host, _)| *host == place);
        own.find(|(_, event)| wanted(&event.what)).map(|(_, event)| event.at)
    }

    /// When it was established or, where it was not, had failed.
    #[must_use]
    pub fn decided(&self) -> Timestamp {
        self.established().unwrap_or_else(|| self.failed_at())
    }

    /// When the later side's attempt failed; the end, where none did.
    fn failed_at(&self) -> Timestamp {
        let failed = self.events.iter().filter(|(_, event)| matches!(event.what, What::Failed(_)));
        failed.map(|(_, event)| event.at).max().unwrap_or(self.ended)
    }

    /// The record of a run that counts. `leg` is one way from originator to responder.
    #[must_use]
    pub fn record(
        &self,
        seed: u64,
        leg: Duration,
        evidence: &Evidence<'_>,
        story: Story,
    ) -> RunRecord {
        let decided = self.decided();
        let (timeline, ladder) = match story {
            Story::Left => (Vec::new(), Vec::new()),
            Story::Told => (self.timeline(evidence), self.ladder(evidence)),
        };
        RunRecord {
            seed,
            outcome: self.outcome(evidence),
            direct: self.direct,
            phases: self.phases(evidence),
            legs: self
                .established()
                .map(|at| (at - self.requested).as_secs_f64() / leg.as_secs_f64()),
            packets_sent: evidence.sent(decided),
            mappings: evidence.mappings(decided),
            delivered: evidence.delivered(),
            void: None,
            timeline,
            ladder,
        }
    }

    fn outcome(&self, evidence: &Evidence<'_>) -> Outcome {
        if self.direct.is_some() {
            return if self.relayed { Outcome::Relayed } else { Outcome::Connected };
        }
        if let Some(words) = &self.not_begun {
            let cause = Cause::SignallingTimeout.word().to_owned();
            return Outcome::Failed { cause, words: words.clone() };
        }
        let [a, b] = self.ends.map(|end| end.err().flatten());
        let failure = a.or(b);
        let cause = failure.map_or(Cause::Unspecified, |failure| failure.cause);
        let words = evidence.explain(seen_by_peers(failure.as_ref()));
        Outcome::Failed { cause: cause.word().to_owned(), words }
    }

    fn phases(&self, evidence: &Evidence<'_>) -> Phases {
        let at = |time: Timestamp| in_milliseconds(time - self.requested);
        let acknowledged = self.seen(0, |what| matches!(what, What::Acknowledged { .. }));
        let confirmed =
            [0, 1].map(|place| self.seen(place, |what| matches!(what, What::Confirmed)));
        let confirmed = confirmed[0].zip(confirmed[1]).map(|(a, b)| a.max(b));
        Phases {
            gather_ms: self.gather.map(in_milliseconds),
            signal_ms: acknowledged.map(at),
            first_packet_ms: evidence.first_packet().map(at),
            established_ms: self.established().map(at),
            first_byte_ms: confirmed.map(at),
        }
    }

    fn timeline(&self, evidence: &Evidence<'_>) -> Vec<TimelineEntry> {
        let mut timeline = Timeline::new(self.requested, evidence.hosts());
        for (place, event) in &self.events {
            timeline.add_event(*place, event);
        }
        for event in &self.broker {
            timeline.add_broker(event);
        }
        timeline.add_packets(evidence);
        for (at, words) in &self.steps {
            timeline.add(*at, self.world, words.clone());
        }
        if let Some(words) = &self.not_begun {
            timeline.add(self.ended, self.world, words.clone());
        }
        timeline.finish(self.failed_at())
    }

    fn ladder(&self, evidence: &Evidence<'_>) -> Vec<LadderPacket> {
        evidence.ladder(|at| since(self.requested, at), self.decided() + AFTERMATH)
    }
}
