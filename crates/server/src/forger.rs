//! The process that sends packets in other names, and its broker's end of it.
//!
//! A broker that forges hands each packet to a process of its own, together with the accepted
//! connections of the two peers. That process holds the raw sockets, and nothing else: no
//! capability, no file, no other system call than it needs. It believes the broker nothing. It looks at the
//! two connections itself: they live in its own network namespace, they are established, their other ends are the
//! packet's source and destination, and each peer has named the sequence number of the SYN by which
//! it came, which the kernel gives to the forger alone and once. Then it looks at the packet, at the
//! rules for endpoints, and at how many have gone.
//!
//! ```no_run
//! use simopen_broker::Forging;
//! use simopen_broker::consent::ConsentPolicy;
//! use simopen_server::forger::{Policy, Spawn};
//!
//! // First of all: what is left of CAP_NET_RAW in this process is given up afterwards.
//! let own = vec!["192.0.2.1".parse()?];
//! let consent = ConsentPolicy { forging: Forging::Dangerous, own, networks: vec![] };
//! let forger = Spawn::program("/usr/libexec/simopen-forger").policy(Policy::of(consent)).start()?;
//! simopen_device::capability::keep_only(&[])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The forger ends with its broker: when the last end of their pair of sockets is gone.

pub mod confinement;
mod evidence;
#[cfg(test)]
mod exercise;
pub mod message;
mod packet;
mod process;
mod refusal;
mod totals;

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use simopen_broker::Forging;
use simopen_broker::consent::ConsentPolicy;
use simopen_device::DeviceError;
use simopen_device::rights::MessageSocket;
use simopen_packet::{SeqNumber, Syn};
use simopen_protocol::identity::SessionId;
use thiserror::Error;
use tokio::sync::oneshot;

use self::message::{Answer, Counts, MAX_MESSAGE, Request};
pub use self::process::run;
pub use self::refusal::Refusal;
pub use self::totals::Limits;

/// Requests that may wait for the forger.
const QUEUE: usize = 1024;

/// How long one answer may take; a forger that needs longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a forger allows, fixed when it starts: nobody can change it afterwards, the broker neither.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The broker's addresses and networks, by the broker's own rules.
    pub consent: ConsentPolicy,
    /// How many packets may go.
    pub limits: Limits,
}

impl Policy {
    /// That of a broker, with the usual limits.
    #[must_use]
    pub fn of(consent: ConsentPolicy) -> Self {
        Self { consent, limits: Limits::default() }
    }

    /// The arguments that say it.
    fn arguments(&self) -> Vec<OsString> {
        let own = self.consent.own.iter().map(|address| format!("own={address}"));
        let networks = self.consent.networks.iter();
        let networks = networks.map(|(address, length)| format!("network={address}/{length}"));
        let limits = [
            format!("per-second={}", self.limits.per_second),
            format!("towards={}", self.limits.towards),
        ];
        own.chain(networks).chain(limits).map(OsString::from).collect()
    }

    /// Takes one of these arguments; `None` where it is none.
    fn read(&mut self, argument: &str) -> Option<()> {
        self.consent.forging = Forging::Dangerous;
        let (key, value) = argument.split_once('=')?;
        match key {
            "own" => self.consent.own.push(value.parse().ok()?),
            "network" => {
                let (address, length) = value.split_once('/')?;
                let network: (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
                self.consent.networks.push(network);
            }
            "per-second" => self.limits.per_second = value.parse().ok()?,
            "towards" => self.limits.towards = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

/// How a forger is started.
#[derive(Debug, Clone)]
pub struct Spawn {
    program: OsString,
    arguments: Vec<OsString>,
    policy: Policy,
}

impl Spawn {
    /// By this program, which calls [`run`] with the arguments it gets: `simopen-forger`, or the
    /// running program itself (`/proc/self/exe`) with a first argument by which it knows.
    #[must_use]
    pub fn program(path: impl Into<OsString>) -> Self {
        Self { program: path.into(), arguments: Vec::new(), policy: Policy::default() }
    }

    /// An argument that comes before those that [`run`] takes.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// What it allows.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The broker's rules, and as many packets as were allowed before.
    #[must_use]
    pub fn consent(mut self, consent: ConsentPolicy) -> Self {
        self.policy.consent = consent;
        self
    }

    /// Starts it in the calling thread's network namespace, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`ForgerError`], where the program is missing, or has no CAP_NET_RAW.
    pub fn start(self) -> Result<Forger, ForgerError> {
        let process = self.start_process()?;
        let (orders, queue) = mpsc::sync_channel(QUEUE);
        let id = process.child.id();
        thread::Builder::new()
            .name("forger".to_owned())
            .spawn(move || attend(process, &queue))
            .map_err(ForgerError::Start)?;
        Ok(Forger { orders, id })
    }

    /// As [`Spawn::start`], and hands out the bare channel: whoever holds it may ask for anything.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn start_process(self) -> Result<ForgerProcess, ForgerError> {
        let (channel, its_end) = MessageSocket::pair().map_err(ForgerError::Channel)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .args(self.policy.arguments())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(its_end)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ForgerError::Start)?;
        let mut process = ForgerProcess { channel, child };
        process.channel.set_patience(PATIENCE).map_err(ForgerError::Channel)?;
        let mut buffer = [0; MAX_MESSAGE];
        let received = process.channel.receive(&mut buffer).map_err(ForgerError::Channel)?;
        let told = received.and_then(|received| buffer.get(..received.length));
        match told {
            Some([0]) => Ok(process),
            Some([_, why @ ..]) => {
                Err(ForgerError::Told(String::from_utf8_lossy(why).into_owned()))
            }
            Some([]) | None => {
                let ended = process.child.wait().map_err(ForgerError::Start)?;
                Err(ForgerError::Told(format!("it ended with {ended}")))
            }
        }
    }
}

/// A forger as a process: its channel, and the process itself, which is killed when this is dropped.
#[derive(Debug)]
pub struct ForgerProcess {
    channel: MessageSocket,
    child: Child,
}

impl ForgerProcess {
    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// Where the forger is gone.
    pub fn ask(&self, request: &Request<'_>, sockets: &[BorrowedFd<'_>]) -> io::Result<Answer> {
        self.ask_bytes(&request.to_bytes(), sockets)
    }

    /// As [`ForgerProcess::ask`], with whatever bytes.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ask_bytes(&self, request: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<Answer> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.channel.send(request, sockets)?;
        let mut buffer = [0; MAX_MESSAGE];
        let received = self.channel.receive(&mut buffer)?.ok_or_else(gone)?;
        buffer.get(..received.length).and_then(Answer::parse).ok_or_else(gone)
    }
}

impl Drop for ForgerProcess {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running forger. It ends when the last of these is dropped.
#[derive(Debug, Clone)]
pub struct Forger {
    orders: SyncSender<Order>,
    id: u32,
}

#[derive(Debug)]
struct Order {
    request: Vec<u8>,
    sockets: Vec<OwnedFd>,
    reply: oneshot::Sender<Answer>,
}

impl Forger {
    /// The process's number.
    #[must_use]
    pub const fn process_id(&self) -> u32 {
        self.id
    }

    /// Whether the peer at the other end of this accepted connection named the right number; gives
    /// the SYN as it arrived. One connection has one try, and nobody may have read its SYN before.
    ///
    /// # Errors
    ///
    /// Why it counts as not proven.
    pub async fn prove(&self, socket: OwnedFd, claimed: SeqNumber) -> Result<Syn, Refusal> {
        let answer = self.order(&Request::Prove { claimed }, vec![socket]);
        let bytes = answer.await?;
        Syn::parse(&bytes).map_err(|_| Refusal::NoSyn)
    }

    /// Sends a packet to the peer at the other end of `receiver`, in the name of the one at the
    /// other end of `sender`. It is queued before this returns, so that the order of calls is the
    /// order of packets.
    ///
    /// # Errors
    ///
    /// Why it was not sent.
    pub fn forge(
        &self,
        session: SessionId,
        packet: &[u8],
        receiver: OwnedFd,
        sender: OwnedFd,
    ) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let answer = self.order(&Request::Forge { session, packet }, vec![receiver, sender]);
        async move { answer.await.map(drop) }
    }

    /// What it has done; `None` where it is gone.
    pub async fn counts(&self) -> Option<Counts> {
        Counts::parse(&self.order(&Request::Counts, Vec::new()).await.ok()?)
    }

    fn order(
        &self,
        request: &Request<'_>,
        sockets: Vec<OwnedFd>,
    ) -> impl Future<Output = Result<Vec<u8>, Refusal>> + use<> {
        let (reply, answer) = oneshot::channel();
        let order = Order { request: request.to_bytes(), sockets, reply };
        let queued = self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Gone,
        });
        async move {
            queued?;
            match answer.await {
                Ok(Answer::Done(with)) => Ok(with),
                Ok(Answer::Refused(refusal)) => Err(refusal),
                Err(_) => Err(Refusal::Gone),
            }
        }
    }
}

/// Hands orders to the process one by one, until nobody is left to give any or it is gone.
fn attend(process: ForgerProcess, orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        let sockets: Vec<BorrowedFd<'_>> = order.sockets.iter().map(AsFd::as_fd).collect();
        match process.ask_bytes(&order.request, &sockets) {
            // Whoever asked may have gone.
            Ok(answer) => drop(order.reply.send(answer)),
            Err(error) => {
                tracing::error!(%error, "the forger is gone; nothing is forged any more");
                return;
            }
        }
    }
}

/// What keeps a forger from starting.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForgerError {
    /// The process could not be started.
    #[error("the forger's program cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The channel to it could not be had, or it did not answer.
    #[error("the channel between broker and forger: {0}")]
    Channel(#[source] io::Error),
    /// It started and said why it cannot work.
    #[error("the forger: {0}")]
    Told(String),
    /// A privilege is missing.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The filter of system calls could not be installed.
    #[error(
        "the forger's filter of system calls: {0}; it needs a kernel with CONFIG_SECCOMP_FILTER"
    )]
    Filter(String),
    /// It was given an argument that it does not know.
    #[error("the forger does not know the argument {0}; only a broker starts it")]
    Argument(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reaches_the_forger_as_it_is() {
        let consent = ConsentPolicy {
            forging: Forging::Dangerous,
            own: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            networks: vec![("10.0.0.0".parse().unwrap(), 8), ("fd00::".parse().unwrap(), 7)],
        };
        let policy = Policy { consent, limits: Limits { per_second: 7, towards: 3 } };
        let mut read = Policy::default();
        for argument in policy.arguments() {
            read.read(argument.to_str().unwrap()).unwrap();
        }
        assert_eq!(read, policy);
        for unknown in ["", "own", "own=x", "network=10.0.0.0", "forging=off"] {
            assert_eq!(read.read(unknown), None, "{unknown}");
        }
    }
}
