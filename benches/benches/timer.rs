//! How late this machine wakes a thread that does nothing else: the floor under the lab's lateness.
//!
//! `cargo bench -p simopen-benches --bench timer`
//!
//! A thread with the fabric thread's own privileges waits for the next millisecond, for three
//! seconds, and notes by how much it woke too late. On a virtual machine most of the late ones are
//! moments in which the host ran somebody else; `steal` is the share of the processors' time which
//! the kernel knows it lost so.
#![expect(clippy::unwrap_used, reason = "what a bench cannot do ends it")]

use std::{fs, time::Duration};

use simopen_device::{
    clock::Clock,
    wait::{ReadableSet, Urgency, run_before_others, sharpen_timers},
};

const TICK: Duration = Duration::from_millis(1);
const TICKS: usize = 3000;

fn main() {
    // As criterion has it: without this flag a test run merely wants to see that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    sharpen_timers().unwrap();
    if let Err(error) = run_before_others(Urgency::Timekeeper) {
        eprintln!("measured among all other threads: {error}");
    }
    let clock = Clock::start();
    let mut nothing = ReadableSet::new([]);
    let before = processor_time();
    let mut late: Vec<_> = (0..TICKS)
        .map(|_| {
            let planned = clock.now() + TICK;
            nothing.wait_until(clock.instant(planned)).unwrap();
            (clock.now() - planned).as_micros()
        })
        .collect();
    let after = processor_time();
    late.sort_unstable();
    for (name, per_mille) in [("p50", 500), ("p99", 990), ("p999", 999)] {
        println!("timer_{name}_us {}", late[TICKS * per_mille / 1000]);
    }
    println!("timer_max_us {}", late[TICKS - 1]);
    let [stolen, all] = [0, 1].map(|place| after[place] - before[place]);
    println!("steal_percent {:.1}", 100.0 * stolen as f64 / all.max(1) as f64);
}

/// Stolen and all time of all processors, in ticks (proc(5)).
fn processor_time() -> [u64; 2] {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let first = text.lines().next().unwrap();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
    [ticks[7], ticks[..8].iter().sum()]
}
