//! A broker's orders on their way to a relay that runs apart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use simopen_broker::PairingOrder;
use simopen_protocol::control::{KeyFingerprint, Proxy};
use simopen_protocol::identity::SessionId;
use tokio::sync::Notify;

/// Pairs that wait to be opened; beyond, further ones fail at once.
const OPENINGS: usize = 4096;

/// What waits to be written. An order to end is never refused: it may be a revocation. There is one
/// for each session at most, and the broker ends only pairs that it remembers.
#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    openings: VecDeque<Proxy>,
    endings: BTreeSet<SessionId>,
    /// Relays that were revoked since the last link, and the pairs that stood then.
    left: BTreeMap<KeyFingerprint, Vec<SessionId>>,
    is_over: bool,
}

/// What is to be asked of the relay.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Open(Proxy),
    End(SessionId),
    Leave(KeyFingerprint, Vec<SessionId>),
    /// The broker has ended, and this was all.
    Over,
}

impl Orders {
    /// Takes an order; where there is no room for it, the session that is not opened.
    pub(super) fn give(&self, order: PairingOrder) -> Option<SessionId> {
        let mut waiting = self.waiting();
        if let PairingOrder::Open(proxy) = order {
            if waiting.openings.len() >= OPENINGS {
                return Some(proxy.session);
            }
            waiting.openings.push_back(proxy);
        } else if let PairingOrder::End(session) = order {
            // It overtakes others, but not the opening of its own pair: that one is called off.
            waiting.openings.retain(|proxy| proxy.session != session);
            waiting.endings.insert(session);
        } else if let PairingOrder::Leave { relay, pairs } = order {
            waiting.left.insert(relay, pairs);
        }
        drop(waiting);
        self.arrived.notify_one();
        None
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        self.waiting().is_over = true;
        self.arrived.notify_one();
    }

    /// Ends that a relay may not have heard wait again.
    pub(super) fn give_back(&self, endings: impl IntoIterator<Item = SessionId>) {
        self.waiting().endings.extend(endings);
    }

    /// The relay that had the pairs is left: nobody has to hear of their ends.
    pub(super) fn forget_endings(&self) {
        self.waiting().endings.clear();
    }

    /// The next one: revoked relays first, then ends. Without room only revoked relays. May be
    /// dropped and called again, as [`Orders::opening`]; by one task only.
    pub(super) async fn next(&self, has_room: bool) -> Order {
        self.first(|waiting| {
            if let Some((relay, pairs)) = waiting.left.pop_first() {
                return Some(Order::Leave(relay, pairs));
            }
            if !has_room {
                return None;
            }
            let end = waiting.endings.pop_first().map(Order::End);
            end.or_else(|| waiting.openings.pop_front().map(Order::Open))
        })
        .await
    }

    /// The next pair to be opened, while nobody can be told of an end; `None` when the broker has
    /// ended.
    pub(super) async fn opening(&self) -> Option<SessionId> {
        match self.first(|waiting| waiting.openings.pop_front().map(Order::Open)).await {
            Order::Open(proxy) => Some(proxy.session),
            Order::End(_) | Order::Leave(..) | Order::Over => None,
        }
    }

    async fn first(&self, take: impl Fn(&mut Waiting) -> Option<Order>) -> Order {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(order) = take(&mut waiting) {
                    return order;
                }
                if waiting.is_over {
                    return Order::Over;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No holder of the lock can leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
