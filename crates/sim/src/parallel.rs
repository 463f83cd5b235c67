//! Work that is spread over threads, whose results do not depend on which was quicker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` for each number below `count`, on so many threads. What comes of it stands in the
/// order of the numbers.
pub(crate) fn spread<R: Send>(
    jobs: usize,
    count: usize,
    work: &(dyn Fn(usize) -> R + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    let take_turns = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let result = work(number);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(take_turns);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_their_numbers_on_any_number_of_threads() {
        for jobs in [0, 1, 3, 64] {
            assert_eq!(spread(jobs, 5, &|number| number * number), [0, 1, 4, 9, 16]);
        }
        assert!(spread(2, 0, &|number| number).is_empty());
    }
}
