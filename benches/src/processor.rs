//! How long a process has computed (proc_pid_stat(5)).

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// Since its start, its part of the kernel included; nothing where there is none.
#[must_use]
pub fn computed_by(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The 14th and 15th field, of which the second may hold blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}
