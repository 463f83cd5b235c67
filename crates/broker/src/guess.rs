//! Slowing down whoever guesses: failed logins by source address.
//!
//! A secret has 255 random bits and a key cannot be guessed at all; this keeps the noise of those
//! who try small, and tells the operator.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use simopen_packet::Timestamp;

use crate::limits::Limits;

/// After how long without a failure a source is forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// The sources that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Guessers {
    sources: BTreeMap<IpAddr, Guesser>,
    /// The same by the moment at which they may try again.
    order: BTreeSet<(Timestamp, IpAddr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Guesser {
    failures: u32,
    until: Timestamp,
    held: usize,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is judged at once.
    Now,
    /// It waits for that moment.
    At(Timestamp),
    /// Too many wait.
    TooMany,
}

impl Guessers {
    /// Whether an attempt from there is judged now.
    pub(crate) fn verdict(&self, source: IpAddr, now: Timestamp, limits: &Limits) -> Verdict {
        match self.sources.get(&network(source)) {
            Some(guesser) if guesser.until <= now => Verdict::Now,
            Some(guesser) if guesser.held >= limits.held_per_guesser => Verdict::TooMany,
            Some(guesser) => Verdict::At(guesser.until),
            None => Verdict::Now,
        }
    }

    /// An attempt failed; gives the moment at which it is answered.
    pub(crate) fn failed(&mut self, source: IpAddr, now: Timestamp, limits: &Limits) -> Timestamp {
        let source = network(source);
        self.forget(now, limits);
        let before = self.sources.get(&source).copied();
        let before = before.unwrap_or(Guesser { failures: 0, until: now, held: 0 });
        self.order.remove(&(before.until, source));
        let factor = 1_u32.checked_shl(before.failures).unwrap_or(u32::MAX);
        let delay = limits.guess_delay.saturating_mul(factor).min(limits.longest_guess_delay);
        let until = before.until.max(now) + delay;
        let failures = before.failures.saturating_add(1);
        self.sources.insert(source, Guesser { failures, until, ..before });
        self.order.insert((until, source));
        until
    }

    /// Something from there is held back, or no longer.
    pub(crate) fn hold(&mut self, source: IpAddr, change: isize) {
        if let Some(guesser) = self.sources.get_mut(&network(source)) {
            guesser.held = guesser.held.saturating_add_signed(change);
        }
    }

    /// Those that have been quiet, and the quietest where there are too many.
    fn forget(&mut self, now: Timestamp, limits: &Limits) {
        while let Some((until, source)) = self.order.first().copied()
            && (until + MEMORY < now || self.sources.len() >= limits.guessers)
        {
            self.order.remove(&(until, source));
            self.sources.remove(&source);
        }
    }
}

/// An IPv6 host has a whole /64 to choose from (RFC 4291 §2.5.1), so that counts as one source.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_failure_doubles_the_delay_up_to_the_longest() {
        let (mut guessers, limits) = (Guessers::default(), Limits::default());
        let source = address("192.0.2.1");
        let mut now = Timestamp::ZERO;
        let mut delays = Vec::new();
        for _ in 0..10 {
            let at = guessers.failed(source, now, &limits);
            delays.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn others_are_not_delayed_and_a_whole_ipv6_network_is_one_source() {
        let (mut guessers, limits) = (Guessers::default(), Limits::default());
        let at = guessers.failed(address("2001:db8::1"), Timestamp::ZERO, &limits);
        for (source, expected) in [
            ("2001:db8::2", Verdict::At(at)),
            ("2001:db8:0:1::1", Verdict::Now),
            ("192.0.2.1", Verdict::Now),
        ] {
            assert_eq!(guessers.verdict(address(source), Timestamp::ZERO, &limits), expected);
        }
        assert_eq!(guessers.verdict(address("2001:db8::2"), at, &limits), Verdict::Now);
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let limits = Limits { guessers: 8, ..Limits::default() };
        let mut guessers = Guessers::default();
        for host in 0..100 {
            guessers.failed(IpAddr::from([192, 0, 2, host]), Timestamp::ZERO, &limits);
            assert!(guessers.sources.len() <= 8 && guessers.order.len() == guessers.sources.len());
        }
        let later = Timestamp::ZERO + MEMORY + Duration::from_secs(1);
        guessers.failed(address("198.51.100.1"), later, &limits);
        assert_eq!(guessers.sources.len(), 1);
    }
}
