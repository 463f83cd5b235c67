//! What a process holds (proc_pid_status(5)).

use std::fs;

/// Bytes of memory that this process holds at this moment and that belong to it alone.
#[must_use]
pub fn resident() -> u64 {
    field("self", "RssAnon:")
}

/// The same of another process; zero where there is none.
#[must_use]
pub fn resident_of(process: u32) -> u64 {
    field(&process.to_string(), "RssAnon:")
}

/// How many descriptors this process has open.
#[must_use]
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn field(process: &str, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
