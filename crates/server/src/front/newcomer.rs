//! Those who have not shown who they are.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// The table of seats.
#[derive(Debug, Clone)]
pub(super) struct Newcomers(Arc<Table>);

#[derive(Debug)]
struct Table {
    limit: usize,
    time: Duration,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, oneshot::Sender<()>>,
    crowded: u64,
    late: u64,
}

/// A seat among those who have not shown who they are. Dropping it says that they have.
#[derive(Debug)]
pub struct Newcomer {
    seat: Seat,
    dismissal: Dismissal,
    witness: Witness,
}

/// By which others learn that a newcomer has shown who it is: connections that carry its stream keep
/// seats of their own until then.
#[derive(Debug, Clone)]
pub struct Witness(Option<Arc<watch::Sender<bool>>>);

impl Witness {
    /// The newcomer has shown who it is.
    pub fn known(self) {
        if let Some(known) = self.0 {
            known.send_replace(true);
        }
    }
}

/// The seat itself; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    table: Arc<Table>,
}

/// By which the holder of a seat learns that it has to go.
#[derive(Debug)]
pub(super) struct Dismissal {
    accepted: Instant,
    until: Instant,
    word: oneshot::Receiver<()>,
    table: Arc<Table>,
}

impl Newcomers {
    /// How long each may take.
    pub(super) fn time(&self) -> Duration {
        self.0.time
    }

    pub(super) fn new(limit: usize, time: Duration) -> Self {
        Self(Arc::new(Table { limit, time, seats: Mutex::default() }))
    }

    /// A seat; the oldest goes where all are taken.
    pub(super) fn admit(&self) -> Newcomer {
        let accepted = Instant::now();
        let (sender, word) = oneshot::channel();
        let mut seats = self.0.seats();
        let number = seats.next;
        seats.next += 1;
        if seats.taken.len() >= self.0.limit {
            seats.dismiss_oldest();
        }
        seats.taken.insert(number, sender);
        drop(seats);
        let until = accepted + self.0.time;
        let seat = Seat { number, table: Arc::clone(&self.0) };
        let table = Arc::clone(&self.0);
        let dismissal = Dismissal { accepted, until, word, table };
        Newcomer { seat, dismissal, witness: Witness(None) }
    }

    pub(super) fn dismiss_oldest(&self) {
        self.0.seats().dismiss_oldest();
    }

    pub(super) fn len(&self) -> usize {
        self.0.seats().taken.len()
    }

    pub(super) fn crowded(&self) -> u64 {
        self.0.seats().crowded
    }

    pub(super) fn late(&self) -> u64 {
        self.0.seats().late
    }
}

impl Table {
    /// No holder of the lock can leave the seats half changed.
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn dismiss_oldest(&mut self) {
        if let Some((_, oldest)) = self.taken.pop_first() {
            self.crowded += 1;
            // It may have shown who it is at this very moment.
            let _ = oldest.send(());
        }
    }
}

impl Newcomer {
    /// When the connection was accepted.
    #[must_use]
    pub fn accepted(&self) -> Instant {
        self.dismissal.accepted
    }

    /// Returns when the connection has to go: its time is over, or newer ones need its place. May be
    /// dropped and called again.
    pub async fn dismissed(&mut self) {
        self.dismissal.wait().await;
    }

    /// For whoever lets the newcomer in: to be told as soon as it has shown who it is. Where it is
    /// not, what carries the stream goes when its time is over.
    #[must_use]
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    /// The same, whose being known is told to others.
    pub(super) fn watched(self, known: watch::Sender<bool>) -> Self {
        Self { witness: Witness(Some(Arc::new(known))), ..self }
    }

    pub(super) fn split(self) -> (Seat, Dismissal) {
        (self.seat, self.dismissal)
    }
}

impl Dismissal {
    /// Returns when the holder has to go; never once the seat was given back.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            word = &mut self.word, if !self.word.is_terminated() => if word.is_err() {
                pending::<()>().await;
            },
            () = sleep_until(self.until) => self.table.seats().late += 1,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.seats().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_newcomer_goes_where_all_seats_are_taken() {
        let newcomers = Newcomers::new(2, Duration::from_secs(3600));
        let (mut first, second, _third) = (newcomers.admit(), newcomers.admit(), newcomers.admit());
        first.dismissed().await;
        assert_eq!((newcomers.len(), newcomers.crowded()), (2, 1));
        drop(second);
        let _fourth = newcomers.admit();
        assert_eq!((newcomers.len(), newcomers.crowded()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_has_its_time_and_who_gave_the_seat_back_has_all() {
        let newcomers = Newcomers::new(2, Duration::from_secs(10));
        let began = Instant::now();
        newcomers.admit().dismissed().await;
        assert_eq!(began.elapsed().as_secs(), 10);

        let (seat, mut dismissal) = newcomers.admit().split();
        drop(seat);
        let waited = tokio::time::timeout(Duration::from_secs(60), dismissal.wait()).await;
        assert!(waited.is_err());
    }
}
