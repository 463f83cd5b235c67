//! The first step by which a run that failed differs from one that worked.

use std::mem::discriminant;

use crate::run::{Fate, LadderPacket, RunRecord};

/// The first step by which a run that failed differs from one that worked.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The place in the failed run's ladder; `None` where a packet was never sent.
    pub packet: Option<usize>,
    /// What happened in the run that worked, and what happened here.
    pub words: String,
}

/// Compares, sender by sender, what became of each packet. `None` where all was alike: then the
/// difference is not in what the network carried.
///
/// Senders are looked at apart from each other, because the order of two packets that leave at one
/// moment means nothing.
#[must_use]
pub fn first(failed: &RunRecord, worked: &RunRecord) -> Option<Difference> {
    let mut senders: Vec<Sender<'_>> = Vec::new();
    for packet in failed.ladder.iter().chain(&worked.ladder) {
        let sender = Sender::of(packet);
        if !senders.contains(&sender) {
            senders.push(sender);
        }
    }
    let found = senders.iter().filter_map(|sender| sender.first(failed, worked));
    found.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, difference)| difference)
}

/// Who sends, to which side, in whose name.
#[derive(Clone, Copy, PartialEq)]
struct Sender<'r> {
    from: &'r str,
    towards_a: bool,
    forged: bool,
}

impl<'r> Sender<'r> {
    fn of(packet: &'r LadderPacket) -> Self {
        // Only of forged packets does the sender's place not say to whom they go.
        let towards_a = packet.forged && ["a", "box-a"].contains(&packet.to.as_str());
        Self { from: &packet.from, towards_a, forged: packet.forged }
    }

    fn packets(self, run: &RunRecord) -> impl Iterator<Item = (usize, &LadderPacket)> {
        let mut sent: Vec<_> = run
            .ladder
            .iter()
            .enumerate()
            .filter(|(_, packet)| Sender::of(packet) == self)
            .collect();
        sent.sort_by(|one, other| one.1.sent_ms.total_cmp(&other.1.sent_ms));
        sent.into_iter()
    }

    /// When it begins to differ, and how.
    fn first(self, failed: &RunRecord, worked: &RunRecord) -> Option<(f64, Difference)> {
        let mut here = self.packets(failed);
        for (_, expected) in self.packets(worked) {
            let Some((place, packet)) = here.next() else {
                let words = format!(
                    "in the run that worked {} at {} ms; here it never sent that",
                    told(expected),
                    super::words::figure(expected.sent_ms)
                );
                return Some((expected.sent_ms, Difference { packet: None, words }));
            };
            if !is_alike(packet, expected) {
                let words = format!(
                    "in the run that worked {}; here {} at {} ms",
                    told(expected),
                    told(packet),
                    super::words::figure(packet.ended_ms)
                );
                return Some((packet.sent_ms, Difference { packet: Some(place), words }));
            }
        }
        // What is sent beyond what was needed elsewhere follows from something before it, or
        // from a sender that was silent there.
        let (place, packet) = here.next()?;
        let words = format!(
            "here {} at {} ms; in the run that worked it did not",
            told(packet),
            super::words::figure(packet.ended_ms)
        );
        Some((packet.sent_ms, Difference { packet: Some(place), words }))
    }
}

/// Whether two packets are the same step: of one kind, and with one fate at one place. Two boxes
/// may drop it for two reasons: what follows is the same, unless one of them answers.
fn is_alike(one: &LadderPacket, other: &LadderPacket) -> bool {
    let kind = |packet: &LadderPacket| {
        packet.label.split_whitespace().next().unwrap_or_default().to_owned()
    };
    kind(one) == kind(other)
        && one.to == other.to
        && discriminant(&one.fate) == discriminant(&other.fate)
}

fn told(packet: &LadderPacket) -> String {
    let name = if packet.forged { " in another's name" } else { "" };
    let LadderPacket { from, label, to, .. } = packet;
    match &packet.fate {
        Fate::Delivered => format!("{from} sent {label}{name} and {to} received it"),
        Fate::Dropped(why) => format!("{from} sent {label}{name} and it ended at {to} ({why})"),
    }
}
