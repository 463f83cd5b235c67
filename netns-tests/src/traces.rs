//! What an experiment can leave behind, as the kernel shows it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait for a fact; only a failing test comes near it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a fact is looked for that the kernel does not announce.
const LOOK: Duration = Duration::from_millis(2);

/// How `/proc/net/tcp` writes the state SYN-SENT.
const SYN_SENT: &str = "02";

/// The broker's port 7000, as `/proc/net/tcp` writes it.
const BROKER_PORT: &str = ":1B58";

/// What this process has which must be as before when an experiment is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTraces {
    threads: Vec<String>,
    descriptors: Vec<PathBuf>,
    namespaces: BTreeSet<u64>,
}

/// What would stay of a process that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineTraces {
    devices: BTreeSet<PathBuf>,
    namespaces_mounted: usize,
}

impl ProcessTraces {
    /// Looks at this process.
    #[must_use]
    pub fn now() -> Self {
        let process = Path::new("/proc/self");
        let mut threads: Vec<String> = entries(&process.join("task"))
            .filter_map(|task| fs::read_to_string(task.join("comm")).ok())
            .collect();
        threads.sort();
        let open = entries(&process.join("fd")).filter_map(|fd| fs::read_link(fd).ok());
        // The directory that is being read is open too.
        let mut descriptors: Vec<PathBuf> =
            open.filter(|target| !target.starts_with("/proc")).collect();
        descriptors.sort();
        Self { threads, descriptors, namespaces: namespaces_of(process) }
    }
}

impl MachineTraces {
    /// Looks at the network namespace that this process began in, and at what is mounted.
    #[must_use]
    pub fn now() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            devices: entries(Path::new("/sys/class/net")).collect(),
            namespaces_mounted: mounts.lines().filter(|line| line.contains("nsfs")).count(),
        }
    }
}

/// Waits until all is as it was. A thread that was joined is shown for a moment longer.
///
/// # Panics
///
/// Where something stays.
pub fn wait_until_restored<T: PartialEq + Debug>(before: &T, now: impl Fn() -> T, after: &str) {
    let restored = wait_for(|| (now() == *before).then_some(()));
    assert!(restored.is_some(), "after {after}: {:#?}\nbefore: {before:#?}", now());
}

/// Looks for a fact until it is there; `None` where it never came.
#[must_use]
pub fn wait_for<T>(fact: impl Fn() -> Option<T>) -> Option<T> {
    wait_within(PATIENCE, fact)
}

/// Looks for a fact until it is there; `None` where it did not come in this time.
#[must_use]
pub(crate) fn wait_within<T>(patience: Duration, fact: impl Fn() -> Option<T>) -> Option<T> {
    let (nobody, never) = (Mutex::new(()), Condvar::new());
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = fact() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        let guard = nobody.lock().unwrap_or_else(PoisonError::into_inner);
        drop(never.wait_timeout(guard, LOOK));
    }
}

/// The network namespaces that the threads of a process live in.
#[must_use]
pub fn namespaces_of(process: &Path) -> BTreeSet<u64> {
    entries(&process.join("task"))
        .filter_map(|task| Some(fs::metadata(task.join("ns/net")).ok()?.ino()))
        .collect()
}

/// Whether one host of an attempt that this process makes is dialling another host: a socket in
/// SYN-SENT which is not one towards the broker.
#[must_use]
pub fn is_dialling(process: &Path) -> bool {
    entries(&process.join("task"))
        .filter_map(|task| fs::read_to_string(task.join("net/tcp")).ok())
        .any(|sockets| sockets.lines().any(is_syn_sent))
}

/// The processes that were started with this in their environment.
#[must_use]
pub fn processes_with(variable: &str) -> Vec<PathBuf> {
    entries(Path::new("/proc"))
        .filter(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        })
        .collect()
}

fn is_syn_sent(line: &str) -> bool {
    let mut fields = line.split_whitespace().skip(2);
    let (remote, state) = (fields.next().unwrap_or_default(), fields.next());
    state == Some(SYN_SENT) && !remote.ends_with(BROKER_PORT)
}

/// The entries of a directory; none of one that is gone.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}
