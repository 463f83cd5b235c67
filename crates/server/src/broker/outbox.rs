//! What waits to be written to one link, and what the actor and the link's task tell each other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use simopen_protocol::frame;

use super::signing::Unsigned;

/// Requests of one link that wait for the actor; beyond, nothing is read from it. So no peer fills
/// the actor's queue alone.
const IN_FLIGHT: u8 = 8;
/// Things that are written at once: as many as there are for one task in a turn of the actor.
pub(super) const AT_ONCE: usize = 8;
/// Bytes that are written at once where there are several things: what one record of TLS holds
/// (RFC 8446, 5.1).
const RECORD: usize = 1 << 14;

/// Something to write to a link.
pub(super) enum Outgoing {
    /// A whole frame, shared by all links that get it.
    Frame(Arc<[u8]>),
    /// The same; the actor is told when it is written, for the next page.
    Page(Arc<[u8]>),
    /// A message that wants a certificate: the link's task signs it, so that the actor goes on.
    Unsigned(Box<Unsigned>),
}

impl Outgoing {
    fn length(&self) -> usize {
        match self {
            Self::Frame(frame) | Self::Page(frame) => frame.len(),
            Self::Unsigned(_) => Unsigned::USUAL_LENGTH,
        }
    }
}

/// How far a link's task may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// As usual.
    Open,
    /// What is queued is written, then the connection is closed.
    Closing,
    /// The connection is closed at once.
    Gone,
}

/// Whether something could be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Queued {
    Yes,
    /// The peer does not read, or all peers together do not.
    Full,
}

/// Shared by the actor and one link's task.
pub(super) struct Outbox {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

struct State {
    queue: VecDeque<Outgoing>,
    bytes: usize,
    /// Bytes of what was taken last, which is being written.
    written: usize,
    in_flight: u8,
    /// The largest frame that is taken.
    limit: usize,
    is_newcomer: bool,
    course: Course,
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) const fn new(budget: Arc<Budget>) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                bytes: 0,
                written: 0,
                in_flight: 0,
                limit: frame::BEFORE_LOGIN,
                is_newcomer: true,
                course: Course::Open,
                waker: None,
            }),
            budget,
        }
    }

    /// Queues one thing to write.
    pub(super) fn push(&self, outgoing: Outgoing) -> Queued {
        let length = outgoing.length();
        let mut state = self.lock();
        let fits = state.bytes == 0 || state.bytes + length <= self.budget.of_link;
        if !fits || !self.budget.take(length, state.bytes + state.written) {
            return Queued::Full;
        }
        state.bytes += length;
        state.queue.push_back(outgoing);
        state.wake();
        Queued::Yes
    }

    /// The peer has shown who it is: it is no newcomer any more, and may send larger frames.
    pub(super) fn admit(&self, limit: usize) {
        let mut state = self.lock();
        if state.is_newcomer || state.limit != limit {
            state.is_newcomer = false;
            state.limit = limit;
            state.wake();
        }
    }

    /// One request of this link has been dealt with.
    pub(super) fn dealt_with(&self) {
        let mut state = self.lock();
        state.in_flight -= 1;
        if state.in_flight == IN_FLIGHT - 1 {
            state.wake();
        }
    }

    /// Ends the link.
    pub(super) fn end(&self, course: Course) {
        let mut state = self.lock();
        if state.course != Course::Gone {
            state.course = course;
            state.wake();
        }
    }

    /// For the link's task: what it may do now. It is woken when that changes.
    pub(super) fn poll(&self, context: &Context<'_>) -> Turn {
        let mut state = self.lock();
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none @ None => *none = Some(context.waker().clone()),
        }
        Turn {
            course: state.course,
            limit: state.limit,
            is_newcomer: state.is_newcomer,
            may_read: state.in_flight < IN_FLIGHT,
        }
    }

    /// For the link's task: what to write next, several things where one write holds them, and none
    /// after a page. What it was given before is written.
    pub(super) fn take(&self) -> Vec<Outgoing> {
        let mut state = self.lock();
        self.budget.give_back(std::mem::take(&mut state.written));
        let mut taken = Vec::new();
        let mut ends = false;
        while !ends
            && taken.len() < AT_ONCE
            && let Some(next) = state.queue.front()
        {
            let length = next.length();
            if !taken.is_empty() && state.written + length > RECORD {
                break;
            }
            ends = matches!(next, Outgoing::Page(_));
            taken.extend(state.queue.pop_front());
            state.written += length;
            state.bytes -= length;
        }
        if state.queue.is_empty() {
            // An idle link holds no buffer.
            state.queue = VecDeque::new();
        }
        taken
    }

    /// For the link's task: one more request is on its way to the actor.
    pub(super) fn set_off(&self) {
        self.lock().in_flight += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let state = self.lock();
        self.budget.give_back(state.bytes + state.written);
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What a link's task may do now.
pub(super) struct Turn {
    pub(super) course: Course,
    pub(super) limit: usize,
    pub(super) is_newcomer: bool,
    pub(super) may_read: bool,
}

/// How many bytes may wait, in one link and in all of them. What all may hold is never exceeded.
pub(super) struct Budget {
    used: AtomicUsize,
    of_link: usize,
    of_all: usize,
}

/// What a link may hold without being one of those that do not read: a quarter of what all may hold
/// is kept for such links.
const SMALL: usize = 64 * 1024;

impl Budget {
    pub(super) const fn new(of_link: usize, of_all: usize) -> Self {
        Self { used: AtomicUsize::new(0), of_link, of_all }
    }

    /// Reserves bytes for a link that holds so many already.
    fn take(&self, length: usize, already: usize) -> bool {
        let is_small = already.saturating_add(length) <= SMALL;
        let most = if is_small { self.of_all } else { self.of_all - self.of_all / 4 };
        let reserve = |used: usize| used.checked_add(length).filter(|used| *used <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
    }

    fn give_back(&self, length: usize) {
        self.used.fetch_sub(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(of_link: usize, of_all: usize) -> (Outbox, Arc<Budget>) {
        let budget = Arc::new(Budget::new(of_link, of_all));
        (Outbox::new(Arc::clone(&budget)), budget)
    }

    fn frame(length: usize) -> Outgoing {
        Outgoing::Frame(vec![0; length].into())
    }

    #[test]
    fn a_link_that_does_not_read_is_found_out_by_bytes() {
        let (outbox, _) = outbox(100, 1000);
        assert_eq!(outbox.push(frame(60)), Queued::Yes);
        assert_eq!(outbox.push(frame(41)), Queued::Full);
        assert_eq!(outbox.take().len(), 1);
        assert_eq!(outbox.push(frame(41)), Queued::Yes);
    }

    #[test]
    fn one_message_is_taken_however_long_it_is() {
        let (outbox, _) = outbox(100, 1000);
        assert_eq!(outbox.push(frame(900)), Queued::Yes);
    }

    #[test]
    fn all_links_together_hold_no_more_than_is_allowed() {
        let budget = Arc::new(Budget::new(10 * SMALL, 4 * SMALL));
        let greedy = Outbox::new(Arc::clone(&budget));
        while greedy.push(frame(SMALL)) == Queued::Yes {}
        let modest = [(); 3].map(|()| Outbox::new(Arc::clone(&budget)));
        let queued = modest.each_ref().map(|outbox| outbox.push(frame(SMALL)));
        assert_eq!(queued, [Queued::Yes, Queued::Full, Queued::Full], "a quarter is kept");
        assert_eq!(budget.used.load(Ordering::Relaxed), 4 * SMALL);
        drop(greedy);
        assert_eq!(modest[1].push(frame(SMALL)), Queued::Yes);
        drop(modest);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_being_written_counts_until_it_is_written() {
        let (outbox, budget) = outbox(100, 1000);
        assert_eq!(outbox.push(frame(60)), Queued::Yes);
        assert_eq!(outbox.take().len(), 1);
        assert_eq!(budget.used.load(Ordering::Relaxed), 60);
        assert!(outbox.take().is_empty());
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_one_record_holds_is_written_at_once_and_a_page_is_the_last() {
        let (outbox, budget) = outbox(10 * RECORD, 20 * RECORD);
        let page = Outgoing::Page(vec![0; 10].into());
        let lengths = [10, RECORD - 10, 1, 2 * RECORD, 5];
        for outgoing in lengths.map(frame).into_iter().chain([page, frame(7)]) {
            assert_eq!(outbox.push(outgoing), Queued::Yes);
        }
        let mut writes = Vec::new();
        while let taken = outbox.take()
            && !taken.is_empty()
        {
            let lengths: Vec<usize> = taken.iter().map(Outgoing::length).collect();
            assert_eq!(outbox.lock().written, lengths.iter().sum::<usize>());
            writes.push(lengths);
        }
        assert_eq!(
            writes,
            [vec![10, RECORD - 10], vec![1], vec![2 * RECORD], vec![5, 10], vec![7]]
        );
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        for _ in 0..=AT_ONCE {
            assert_eq!(outbox.push(frame(1)), Queued::Yes);
        }
        assert_eq!([outbox.take().len(), outbox.take().len()], [AT_ONCE, 1]);
    }

    #[test]
    fn links_that_queue_at_the_same_time_do_not_exceed_what_is_allowed_either() {
        let budget = Budget::new(1000, 1000);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if budget.take(1, 0) {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 1000);
    }
}
