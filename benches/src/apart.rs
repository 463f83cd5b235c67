//! A broker with its relay in a process of its own, on one core.
//!
//! The program that starts it becomes it: it calls [`be_broker`] first.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use simopen_device::socket::listener_saving_syn;
use simopen_peer::Credentials;
use simopen_protocol::control::PublicKey;
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, ServiceLimits};
use simopen_server::front::ClearText;
use simopen_server::relay;
use simopen_server::wall_clock::WallClock;

use crate::attack::take_all_descriptors;
use crate::stand::{Crowd, Failure, Prepared};
use crate::{memory, processor};

/// By this argument a program knows that it is to be a broker.
const BROKER: &str = "broker-on-one-core";

/// Where the keys of devices are, a line of hexadecimal digits each.
const KEYS: &str = "keys";

/// Descriptors of a broker that are for everything but newcomers.
pub const RESERVED: u64 = 500;

/// How many connections that have not shown who they are stand at a time. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Newcomers {
    /// As many as by default.
    Usual,
    /// As many as there are descriptors, less [`RESERVED`].
    All,
}

impl Newcomers {
    const fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::All => "all",
        }
    }
}

/// A broker's process. It is killed when this is dropped.
pub struct Apart {
    child: Child,
    directory: PathBuf,
    /// Where it listens: links with TLS and in clear text, and values.
    pub address: SocketAddr,
    /// What each user's device shows.
    pub devices: Vec<Credentials>,
}

impl Apart {
    /// Starts it for such users, who tell it what they are by a directory of this name.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn start(name: &str, crowd: Crowd, newcomers: Newcomers) -> Result<Self, Failure> {
        let directory = std::env::temp_dir().join(format!("simopen-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let authority = Authority::open(&directory, WallClock::default().seconds())?;
        let prepared = Prepared::by(authority, crowd)?;
        let mut keys = String::new();
        for device in &prepared.devices {
            for byte in device.key.public()?.0 {
                write!(keys, "{byte:02x}")?;
            }
            keys.push('\n');
        }
        fs::write(directory.join(KEYS), keys)?;
        let mut child = Command::new("/proc/self/exe")
            .arg(BROKER)
            .arg(&directory)
            .arg(newcomers.name())
            .arg(crowd.of_community.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().parse()?;
        Ok(Self { child, directory, address, devices: prepared.devices })
    }

    /// Time that it has computed for since its start, its part of the kernel included.
    #[must_use]
    pub fn computed(&self) -> Duration {
        processor::computed_by(self.child.id())
    }

    /// Bytes of memory that belong to it alone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        memory::resident_of(self.child.id())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Becomes that broker, where the arguments say so, until whoever started it ends.
#[must_use]
pub fn be_broker(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let [first, directory, newcomers, of_community] = arguments.as_slice() else {
        return None;
    };
    if first != BROKER {
        return None;
    }
    let of_community = of_community.to_str()?.parse().ok()?;
    Some(match serve(Path::new(directory), newcomers == Newcomers::All.name(), of_community) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the broker: {error}");
            ExitCode::FAILURE
        }
    })
}

fn serve(directory: &Path, takes_all: bool, of_community: usize) -> Result<(), Failure> {
    let descriptors = take_all_descriptors();
    let mut core = CpuSet::new();
    core.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &core)?;
    let authority = Authority::open(directory, WallClock::default().seconds())?;
    let keys = fs::read_to_string(directory.join(KEYS))?;
    let keys = keys.lines().map(key).collect::<Result<_, _>>()?;
    let listener = listener_saving_syn("127.0.0.1:0".parse()?)?;
    let address = listener.local_addr()?;
    let prepared = Prepared::of_keys(authority, keys, of_community)?;
    let mut limits = ServiceLimits::default();
    if takes_all {
        limits.front.newcomers = usize::try_from(descriptors.saturating_sub(RESERVED))?;
    }
    let _stand = prepared
        .start_on(listener, move |builder| with_relay(builder.service_limits(limits), address))?;
    println!("{address}");
    std::io::stdout().flush()?;
    // Its end is the end of whoever started this.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn with_relay(builder: Builder, address: SocketAddr) -> Builder {
    let builder = builder.clear_text(ClearText::Taken);
    match relay::Builder::new().start() {
        Ok(relay) => builder.relay(vec![address.into()], relay),
        Err(_) => builder,
    }
}

fn key(hex: &str) -> Result<PublicKey, Failure> {
    let digits = |at| hex.get(at..at + 2).ok_or("half a byte");
    let bytes = (0..hex.len()).step_by(2);
    let bytes = bytes.map(|at| Ok::<_, Failure>(u8::from_str_radix(digits(at)?, 16)?));
    Ok(PublicKey(bytes.collect::<Result<_, _>>()?))
}
