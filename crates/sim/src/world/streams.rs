//! Ordered streams beside the network, which may carry control documents.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::control::Message;

use crate::lines::LineNumber;

/// Documents under way. Each line and direction keeps its order.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    under_way: BTreeMap<(Timestamp, u64), Document>,
    /// When the last document of a line arrives, in each direction.
    latest: BTreeMap<(LineNumber, Towards), Timestamp>,
    count: u64,
    is_cut: bool,
    /// Documents wait until they are taken, whatever the time.
    is_still: bool,
}

/// Where a document goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Towards {
    Peer,
    Broker,
}

/// A document under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Document {
    pub(crate) line: LineNumber,
    pub(crate) towards: Towards,
    pub(crate) message: Message,
}

impl Hash for Streams {
    /// What is on which stream; how the streams lie among each other does not matter.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let under_way = self.under_way.iter();
        let mut under_way: Vec<_> = under_way.map(|((due, _), document)| (due, document)).collect();
        under_way.sort_by_key(|(_, document)| (document.line, document.towards));
        (under_way, self.is_cut).hash(state);
    }
}

impl Streams {
    /// Hashes in which order documents were sent.
    pub(super) fn hash_order(&self, state: &mut impl Hasher) {
        self.under_way.values().for_each(|document| document.hash(state));
    }

    /// Sends a document that takes `delay`.
    pub(crate) fn send(&mut self, document: Document, delay: Duration, now: Timestamp) {
        if self.is_cut {
            return;
        }
        let latest = self.latest.entry((document.line, document.towards)).or_default();
        *latest = (*latest).max(now + delay);
        self.count += 1;
        self.under_way.insert((*latest, self.count), document);
    }

    /// From now on documents wait until they are taken.
    pub(super) const fn stand_still(&mut self) {
        self.is_still = true;
    }

    /// Documents arrive when they are due; those that waited for longer arrive now.
    pub(super) const fn go_on(&mut self) {
        self.is_still = false;
    }

    /// The first document of each stream, in the order in which they were sent.
    pub(super) fn heads(&self) -> Vec<(LineNumber, Towards)> {
        let mut heads = Vec::new();
        for Document { line, towards, .. } in self.under_way.values() {
            if !heads.contains(&(*line, *towards)) {
                heads.push((*line, *towards));
            }
        }
        heads
    }

    /// The first document of a stream.
    pub(super) fn head(&self, stream: (LineNumber, Towards)) -> Option<&Document> {
        self.under_way.values().find(|document| (document.line, document.towards) == stream)
    }

    /// Takes the first document off a stream.
    pub(super) fn take(&mut self, (line, towards): (LineNumber, Towards)) -> Option<Document> {
        let is_of = |document: &Document| document.line == line && document.towards == towards;
        let key = *self.under_way.iter().find(|(_, document)| is_of(document))?.0;
        self.under_way.remove(&key)
    }

    /// Nothing comes through any more, not what is under way either.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
        self.under_way.clear();
    }

    /// The next document that is due and whose line `is_known` at its end.
    pub(crate) fn poll(
        &mut self,
        now: Timestamp,
        mut is_known: impl FnMut(&Document) -> bool,
    ) -> Option<Document> {
        if self.is_still {
            return None;
        }
        let due = self.under_way.range(..=(now, u64::MAX));
        let key = due.into_iter().find(|(_, document)| is_known(document)).map(|(key, _)| *key)?;
        self.under_way.remove(&key)
    }

    /// When the next document arrives. What waits for its line is not waited for.
    pub(crate) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_still {
            return None;
        }
        let later = self.under_way.range((now, u64::MAX)..).next();
        later.map(|((at, _), _)| *at)
    }
}
