//! Connections that have not shown who they are: few, and not for long.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// All connections that have not shown who they are.
#[derive(Clone)]
pub(super) struct Newcomers(Arc<Shared>);

struct Shared {
    most: usize,
    deadline: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    counter: u64,
    /// The lowest number is the oldest; dropping its sender expels it.
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Newcomers {
    pub(super) fn new(most: usize, deadline: Duration) -> Self {
        Self(Arc::new(Shared { most, deadline, waiting: Mutex::default() }))
    }

    /// One more; where there are too many, the oldest has to go.
    pub(super) fn enter(&self) -> Newcomer {
        let (place, expelled) = oneshot::channel();
        let mut waiting = self.0.lock();
        waiting.counter += 1;
        let number = waiting.counter;
        waiting.places.insert(number, place);
        if waiting.places.len() > self.0.most {
            waiting.places.pop_first();
        }
        drop(waiting);
        Newcomer {
            all: Arc::clone(&self.0),
            number,
            expelled,
            deadline: Box::pin(sleep(self.0.deadline)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place; it is given up by dropping it. As a future it ends when the connection
/// has to be closed, and says why.
pub(super) struct Newcomer {
    all: Arc<Shared>,
    number: u64,
    expelled: oneshot::Receiver<()>,
    deadline: Pin<Box<Sleep>>,
}

/// Why a newcomer has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expelled {
    /// It took too long.
    TooSlow,
    /// Others came.
    Crowded,
}

impl Future for Newcomer {
    type Output = Expelled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.expelled).poll(context).is_ready() {
            return Poll::Ready(Expelled::Crowded);
        }
        self.deadline.as_mut().poll(context).map(|()| Expelled::TooSlow)
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.all.lock().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_newcomer_makes_room() {
        let newcomers = Newcomers::new(2, Duration::from_secs(3600));
        let oldest = newcomers.enter();
        let second = newcomers.enter();
        let third = newcomers.enter();
        assert_eq!(oldest.await, Expelled::Crowded);
        drop(third);
        let fourth = newcomers.enter();
        tokio::select! {
            biased;
            _ = second => panic!("there was room"),
            _ = fourth => panic!("there was room"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_that_takes_too_long_has_to_go() {
        let newcomers = Newcomers::new(2, Duration::from_secs(10));
        assert_eq!(newcomers.enter().await, Expelled::TooSlow);
    }
}
