//! Attackers, each a process of its own, so that descriptors and time are theirs.
//!
//! The program that starts them becomes them: it calls [`be_attacker`] first.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::dial;

/// By this argument a program knows that it is to be an attacker.
const ATTACK: &str = "attack";

/// The one line that an attacker says: it is at it.
const READY: &str = "ready";

/// How a connection begins that never says enough: a TLS record whose handshake never ends.
const HANDSHAKE: [u8; 5] = [0x16, 3, 1, 2, 0];

/// What an attacker does. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attack {
    /// Keeps connections open, and sends one byte a second on each. One that is closed comes again.
    SlowBytes,
    /// Opens connections and says nothing. One that is closed comes again.
    Silent,
}

impl Attack {
    const fn name(self) -> &'static str {
        match self {
            Self::SlowBytes => "slow-bytes",
            Self::Silent => "silent",
        }
    }
}

/// Descriptors of an attacker that are for no connection.
const OWN_DESCRIPTORS: u64 = 100;

/// An attack that goes on until this is dropped: of one process, or of as many as it takes where one
/// may not have so many descriptors.
#[derive(Debug)]
pub struct Attacker(Vec<Child>);

impl Attacker {
    /// Starts it, and waits until it has opened all its connections once.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn start(attack: Attack, at: SocketAddr, connections: usize) -> io::Result<Self> {
        let of_one = take_all_descriptors().saturating_sub(OWN_DESCRIPTORS).max(1);
        let of_one = usize::try_from(of_one).unwrap_or(usize::MAX);
        let mut attacker = Self(Vec::new());
        let mut left = connections;
        while left > 0 {
            let part = left.min(of_one);
            let child = Command::new("/proc/self/exe")
                .args([ATTACK, attack.name(), &at.to_string(), &part.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            attacker.0.push(child);
            left -= part;
        }
        for child in &mut attacker.0 {
            let mut line = String::new();
            if let Some(output) = child.stdout.take() {
                BufReader::new(output).read_line(&mut line)?;
            }
            if line.trim() != READY {
                return Err(io::Error::other(format!("an attacker said {line:?}")));
            }
        }
        Ok(attacker)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How many of so many connections one broker can have at a time under the limit of descriptors of
/// this process, `reserved` of which are for everything else. Says aloud where those are not all.
#[must_use]
pub fn that_can_stand(wanted: u64, reserved: u64) -> u64 {
    let limit = take_all_descriptors();
    let standing = wanted.min(limit.saturating_sub(reserved));
    if standing < wanted {
        println!(
            "  NOT RUN IN FULL: of {wanted} connections only {standing} can stand at a time. One broker \
             that has them all needs a hard RLIMIT_NOFILE of {}, and here it is {limit}",
            wanted + reserved
        );
    }
    standing
}

/// Becomes an attacker, where the arguments say so; does not return then before the attack is over.
#[must_use]
pub fn be_attacker(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<String> =
        arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let [first, name, at, connections] = arguments.as_slice() else {
        return None;
    };
    if first != ATTACK {
        return None;
    }
    let attack = [Attack::SlowBytes, Attack::Silent].into_iter().find(|it| it.name() == name)?;
    let (at, connections) = (at.parse().ok()?, connections.parse().ok()?);
    take_all_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(go_on(attack, at, connections));
    Some(ExitCode::SUCCESS)
}

/// Lets this process open as many descriptors as it may without asking anybody, and says how many
/// that are.
pub fn take_all_descriptors() -> u64 {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    // Up to the hard limit nobody is asked.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    hard
}

/// Until standard input ends.
async fn go_on(attack: Attack, at: SocketAddr, connections: usize) {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    for number in 0..connections {
        // Spread over a second, as clocks are.
        let offset = Duration::from_micros(1_000_000 * number as u64 / connections as u64);
        // From several addresses: one alone has too few ports, and the kernel looks long for a free one.
        let from = Ipv4Addr::new(127, 0, 1, (number % 100 + 1) as u8);
        let from = at.is_ipv4().then_some(IpAddr::V4(from));
        tokio::spawn(connection(attack, at, from, offset, &OPENED));
    }
    let mut often = interval_at(Instant::now(), Duration::from_millis(10));
    while OPENED.load(Ordering::Relaxed) < connections as u64 {
        often.tick().await;
    }
    println!("{READY}");
    let _ = io::stdout().flush();
    // It is a pipe that ends with whoever started this.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

async fn connection(
    attack: Attack,
    at: SocketAddr,
    from: Option<IpAddr>,
    offset: Duration,
    opened: &AtomicU64,
) {
    let mut seconds = interval_at(Instant::now() + offset, Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        seconds.tick().await;
        let Ok(mut stream) = dial(at, from).await else {
            continue;
        };
        if is_first {
            is_first = false;
            opened.fetch_add(1, Ordering::Relaxed);
        }
        let mut sent = 0;
        let mut answer = [0];
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                _ = seconds.tick() => {
                    if attack == Attack::SlowBytes {
                        let byte = HANDSHAKE.get(sent).copied().unwrap_or_default();
                        sent += 1;
                        if stream.write_all(&[byte]).await.is_err() {
                            break;
                        }
                    }
                }
            }
        }
    }
}
