//! Ordered streams beside the network, which may carry control documents.

use std::collections::BTreeMap;
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

impl Streams {
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
        let due = self.under_way.range(..=(now, u64::MAX));
        let key = due.into_iter().find(|(_, document)| is_known(document)).map(|(key, _)| *key)?;
        self.under_way.remove(&key)
    }

    /// When the next document arrives. What waits for its line is not waited for.
    pub(crate) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let later = self.under_way.range((now, u64::MAX)..).next();
        later.map(|((at, _), _)| *at)
    }
}
