//! Two hosts, each a namespace with one TUN device, and a wire between the two that keeps a
//! journal.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simopen_device::capability::Capability;
use simopen_device::capture::{CapturedPacket, SynCapture};
use simopen_device::namespace::Namespace;
use simopen_device::tun::{Tun, TunConfig};
use simopen_packet::{Packet, SeqNumber, Syn, SynOptions, Timestamps, Ttl};

pub(crate) use crate::requires::requires;

/// Longest wait for a fact; only a failing test comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a network of two hosts takes.
pub(crate) const TWO_HOSTS: &[Capability] = &[
    Capability::NetworkNamespace,
    Capability::TunDevice,
    Capability::PacketSocket,
    Capability::RawSocket,
    Capability::TcpRepair,
];

/// A host: a namespace whose only way out is one TUN device.
pub(crate) struct Host {
    namespace: Namespace,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
}

impl Host {
    fn new(number: u8) -> (Self, Tun) {
        let v4 = IpAddr::from([10, 0, 0, number]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)]);
        let thread = Namespace::spawn("host", move || {
            let tun = Tun::open(&TunConfig::named("tun0")).unwrap();
            let interface = tun.interface();
            interface.add_address(v4, 32).unwrap();
            interface.add_address(v6, 128).unwrap();
            interface.set_up().unwrap();
            interface.add_default_route_v4().unwrap();
            interface.add_default_route_v6().unwrap();
            (Namespace::current().unwrap(), tun)
        });
        let (namespace, tun) = thread.unwrap().join().unwrap();
        (Self { namespace, v4, v6 }, tun)
    }

    /// Runs `f` in the host's namespace and returns what it made.
    pub(crate) fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        self.namespace.spawn_inside("host", f).unwrap().join().unwrap()
    }

    /// Returns an endpoint of the host, of that IP version.
    pub(crate) fn endpoint(&self, version: Version, port: u16) -> SocketAddr {
        match version {
            Version::V4 => SocketAddr::new(self.v4, port),
            Version::V6 => SocketAddr::new(self.v6, port),
        }
    }
}

/// Which IP a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

/// Both, for loops.
pub(crate) const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

/// Which host sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    A,
    B,
}

/// A packet on the wire, and whether the wire delivered it.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) from: From,
    pub(crate) bytes: Vec<u8>,
}

impl Passed {
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.bytes).unwrap()
    }
}

/// Answers a packet: what shall be delivered to which host instead of it.
pub(crate) type Policy = Box<dyn FnMut(From, &[u8]) -> Action + Send>;

/// What the wire does with a packet.
pub(crate) enum Action {
    Deliver,
    Drop,
    /// Gives the sender this packet and delivers nothing.
    Answer(Vec<u8>),
}

/// Two hosts and the wire between them.
pub(crate) struct Network {
    pub(crate) a: Host,
    pub(crate) b: Host,
    wire: Wire,
}

impl Network {
    /// Joins two new hosts by a wire that delivers everything.
    pub(crate) fn new() -> Self {
        Self::with_policy(Box::new(|_, _| Action::Deliver))
    }

    /// Joins two new hosts by a wire that does as the policy says.
    pub(crate) fn with_policy(policy: Policy) -> Self {
        let ((a, tun_a), (b, tun_b)) = (Host::new(1), Host::new(2));
        Self { a, b, wire: Wire::start(tun_a, tun_b, policy) }
    }

    /// Returns the TCP packets that entered the wire so far.
    pub(crate) fn tcp(&self) -> Vec<Passed> {
        let journal = self.wire.journal.0.lock().unwrap();
        journal.iter().filter(|passed| passed.packet().tcp().is_some()).cloned().collect()
    }

    /// Waits until the TCP packets on the wire fulfil a condition, and returns them.
    pub(crate) fn wait_for_tcp(&self, what: &str, met: impl Fn(&[Passed]) -> bool) -> Vec<Passed> {
        let (journal, news) = &*self.wire.journal;
        let tcp = |all: &Vec<Passed>| -> Vec<Passed> {
            all.iter().filter(|passed| passed.packet().tcp().is_some()).cloned().collect()
        };
        let guard = journal.lock().unwrap();
        let (guard, timeout) =
            news.wait_timeout_while(guard, PATIENCE, |all| !met(&tcp(all))).unwrap();
        let found = tcp(&guard);
        drop(guard);
        let lines: Vec<_> = found.iter().map(|it| it.packet().to_string()).collect();
        assert!(!timeout.timed_out(), "never came: {what}; on the wire: {lines:#?}");
        found
    }
}

/// A thread that carries packets between two TUN devices.
struct Wire {
    journal: Arc<(Mutex<Vec<Passed>>, Condvar)>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    fn start(a: Tun, b: Tun, mut policy: Policy) -> Self {
        let journal = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (stop, stopped) = UnixStream::pair().unwrap();
        let shared = Arc::clone(&journal);
        let body = move || {
            let mut buffer = vec![0; 2048];
            loop {
                let wanted = PollFlags::POLLIN;
                let mut fds =
                    [&stopped.as_fd(), &a.as_fd(), &b.as_fd()].map(|fd| PollFd::new(*fd, wanted));
                poll(&mut fds, PollTimeout::NONE).unwrap();
                if fds[0].any().unwrap_or(true) {
                    return;
                }
                for (from, source, target) in [(From::A, &a, &b), (From::B, &b, &a)] {
                    while let Ok(length) = source.read(&mut buffer) {
                        let bytes = &buffer[..length];
                        shared.0.lock().unwrap().push(Passed { from, bytes: bytes.to_vec() });
                        shared.1.notify_all();
                        match policy(from, bytes) {
                            Action::Deliver => drop(target.write(bytes)),
                            Action::Answer(answer) => drop(source.write(&answer)),
                            Action::Drop => {}
                        }
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("wire".into()).spawn(body).unwrap();
        Self { journal, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until a descriptor has something to read, or, for `POLLOUT`, can be written.
pub(crate) fn wait(fd: BorrowedFd<'_>, flags: PollFlags) {
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    let ready = poll(&mut [PollFd::new(fd, flags)], patience).unwrap();
    assert!(ready > 0, "the descriptor never became ready");
}

/// Waits for the next packet of a capture and returns its bytes.
pub(crate) fn next_packet(capture: &mut dyn SynCapture) -> (CapturedPacket, Vec<u8>) {
    let mut buffer = vec![0; 2048];
    loop {
        if let Some(captured) = capture.poll_packet(&mut buffer).unwrap() {
            buffer.truncate(captured.length);
            return (captured, buffer);
        }
        wait(capture.as_fd(), PollFlags::POLLIN);
    }
}

/// Makes a stream block, with an end to all waiting.
pub(crate) fn blocking(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `length` bytes each way at once and compares what arrives.
pub(crate) fn exchange(one: &TcpStream, other: &TcpStream, length: usize) {
    let pattern = |salt: usize| -> Vec<u8> { (0..length).map(|i| (i * 31 + salt) as u8).collect() };
    thread::scope(|scope| {
        for (from, to, salt) in [(one, other, 1), (other, one, 2)] {
            let (mut from, mut to) = (from, to);
            scope.spawn(move || from.write_all(&pattern(salt)).unwrap());
            scope.spawn(move || {
                let mut received = vec![0; length];
                to.read_exact(&mut received).unwrap();
                assert!(received == pattern(salt), "the bytes differ");
            });
        }
    });
}

/// What a SYN offers besides its MSS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) window_scale: Option<u8>,
    pub(crate) timestamps: Option<u32>,
    pub(crate) sack: bool,
}

/// Builds a SYN as a peer would send it.
pub(crate) fn syn(source: SocketAddr, destination: SocketAddr, isn: u32, offer: Offer) -> Syn {
    let mut options = SynOptions::default();
    options.mss = Some(1460);
    options.window_scale = offer.window_scale;
    options.sack_permitted = offer.sack;
    options.timestamps = offer.timestamps.map(|value| Timestamps { value, echo: 0 });
    Syn {
        source,
        destination,
        sequence: SeqNumber(isn),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options,
    }
}
