//! How late the fabric's thread was: the bound on what a measured latency means.

use std::collections::VecDeque;
use std::time::Duration;

use simopen_packet::Timestamp;

/// Microseconds that are counted one by one; what is later counts as this and shows in the maximum.
const RANGE: usize = 20_000;

/// Stalls shorter than this are the clock's own grain.
const GRAIN: Duration = Duration::from_micros(50);

/// Packets later than this are noted one by one, as many as this.
const NOTED: Duration = Duration::from_micros(100);
const NOTES: usize = 65_536;

/// Stalls that are remembered, for packets that were in the fabric meanwhile.
const REMEMBERED: usize = 256;

/// Collects how late packets left and how long the thread stood still.
#[derive(Debug, Clone)]
pub struct LatenessMeter {
    counts: Vec<u32>,
    packets: u64,
    max_stall: Duration,
    stalls: VecDeque<(Timestamp, Duration)>,
    /// Packets that were later than [`NOTED`], with the moment at which they left.
    late: Vec<(Timestamp, Duration)>,
}

/// Quantiles of lateness over all packets of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// How many packets were delivered.
    pub packets: u64,
    /// Half of them were no later than this.
    pub p50: Duration,
    /// 99 of 100 were no later than this.
    pub p99: Duration,
    /// 999 of 1000 were no later than this.
    pub p999: Duration,
    /// The longest time by which the thread woke too late.
    pub max_stall: Duration,
}

impl Default for LatenessMeter {
    fn default() -> Self {
        Self {
            counts: vec![0; RANGE + 1],
            packets: 0,
            max_stall: Duration::ZERO,
            stalls: VecDeque::with_capacity(REMEMBERED),
            late: Vec::new(),
        }
    }
}

impl LatenessMeter {
    /// The thread meant to wake at `planned` and woke at `now`.
    pub fn record_wake(&mut self, planned: Timestamp, now: Timestamp) {
        let stall = now - planned;
        self.max_stall = self.max_stall.max(stall);
        if stall >= GRAIN {
            if self.stalls.len() == REMEMBERED {
                self.stalls.pop_front();
            }
            self.stalls.push_back((now, stall));
        }
    }

    /// A packet that came in at `ingress` and was due at `due` left at `now`. A stall while it was
    /// inside counts as well: its reading may have been late by as much.
    pub fn record_packet(&mut self, ingress: Timestamp, due: Timestamp, now: Timestamp) {
        let inside = self.stalls.iter().rev().take_while(|(at, _)| *at >= ingress);
        let worst = inside.map(|(_, stall)| *stall).max().unwrap_or_default();
        let lateness = worst.max(now - due);
        let micros = usize::try_from(lateness.as_micros()).unwrap_or(RANGE).min(RANGE);
        self.counts[micros] = self.counts[micros].saturating_add(1);
        self.packets += 1;
        if lateness >= NOTED && self.late.len() < NOTES {
            self.late.push((now, lateness));
        }
    }

    /// The latest packet that left between two moments; zero where none was later than 100 µs.
    #[must_use]
    pub fn worst_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let within = self.late.iter().filter(|(at, _)| (from..=to).contains(at));
        within.map(|(_, lateness)| *lateness).max().unwrap_or_default()
    }

    /// Adds what another meter has counted.
    pub fn merge(&mut self, other: &Self) {
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*others);
        }
        self.packets += other.packets;
        self.max_stall = self.max_stall.max(other.max_stall);
    }

    /// The quantiles so far.
    #[must_use]
    pub fn summary(&self) -> Lateness {
        Lateness {
            packets: self.packets,
            p50: self.quantile(500),
            p99: self.quantile(990),
            p999: self.quantile(999),
            max_stall: self.max_stall,
        }
    }

    fn quantile(&self, per_mille: u64) -> Duration {
        let wanted = (self.packets * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (micros, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_micros(micros as u64);
            }
        }
        Duration::from_micros(RANGE as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(count: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_micros(count)
    }

    #[test]
    fn a_stall_during_a_packets_life_counts_for_that_packet_alone() {
        let mut meter = LatenessMeter::default();
        meter.record_wake(micros(1_000), micros(1_400));
        meter.record_packet(micros(500), micros(1_395), micros(1_400));
        meter.record_packet(micros(1_500), micros(1_600), micros(1_610));
        let summary = meter.summary();
        assert_eq!(summary.p99, Duration::from_micros(400));
        assert_eq!(summary.p50, Duration::from_micros(10));
        assert_eq!(summary.max_stall, Duration::from_micros(400));
    }
}
