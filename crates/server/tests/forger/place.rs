//! A broker and its peers in one namespace, and somebody who looks on.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simopen_broker::Forging;
use simopen_broker::consent::ConsentPolicy;
use simopen_device::capability::{Capabilities, Capability};
use simopen_device::interface::Interface;
use simopen_device::namespace::Namespace;
use simopen_device::socket::{DialOptions, bind_dialer, listener_saving_syn};
use simopen_packet::{
    MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpFlags, Timestamps, Ttl,
};
use simopen_protocol::identity::SessionId;
use simopen_server::forger::message::{Answer, Counts, Request};
use simopen_server::forger::{ForgerProcess, Limits, Policy, Refusal, Spawn};
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) const SESSION: SessionId = SessionId(7);

const PORT: u16 = 7443;

/// All are addresses of the loopback interface, so that whatever is sent is seen on it.
const ADDRESSES: [&str; 11] = [
    "192.0.2.1",
    "198.51.100.7",
    "198.51.100.8",
    "203.0.113.9",
    "10.9.9.9",
    "100.64.0.9",
    "169.254.1.1",
    "2001:db8::1",
    "2001:db8::7",
    "2001:db8::9",
    "fd00::9",
];

/// Runs a test where the broker's listeners, a forger and a packet socket are, and nowhere else.
/// Gives what the forger has counted.
pub(crate) fn in_place(
    limits: Limits,
    test: impl FnOnce(&Place) + Send + 'static,
) -> Option<Counts> {
    let in_namespace = move || {
        let place = Place::new(limits);
        test(&place);
        place.counts()
    };
    requires().then(|| Namespace::spawn("forger-test", in_namespace).unwrap().join().unwrap())
}

pub(crate) struct Place {
    listeners: [TcpListener; 2],
    watch: Socket,
    marker: UdpSocket,
    forger: Option<ForgerProcess>,
}

/// A connection to the broker from both sides.
pub(crate) struct Peer {
    pub(crate) dialled: TcpStream,
    pub(crate) accepted: TcpStream,
    pub(crate) endpoint: SocketAddr,
    pub(crate) sequence: SeqNumber,
}

impl Place {
    fn new(limits: Limits) -> Self {
        Self { forger: Some(forger(limits).start_process().unwrap()), ..Self::without_forger() }
    }

    /// The same addresses and listeners, and nobody who forges.
    pub(crate) fn without_forger() -> Self {
        let loopback = take_addresses();
        // A packet to anywhere else would be seen too.
        loopback.add_default_route_v4().unwrap();
        let listeners = ["192.0.2.1", "2001:db8::1"].map(|address| {
            listener_saving_syn(SocketAddr::new(address.parse().unwrap(), PORT)).unwrap()
        });
        let all = Protocol::from(i32::from(0x0003_u16.to_be()));
        let watch = Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).unwrap();
        let marker = UdpSocket::bind("127.0.0.1:0").unwrap();
        marker.connect(marker.local_addr().unwrap()).unwrap();
        Self { listeners, watch, marker, forger: None }
    }

    /// Connects a peer; it has captured its own SYN, as peers do.
    pub(crate) fn connect(&self, from: &str) -> Peer {
        let from: SocketAddr = from.parse().unwrap();
        let listener = &self.listeners[usize::from(from.is_ipv6())];
        self.drain();
        let dialled = bind_dialer(from, &DialOptions::default()).unwrap();
        let dialled = dialled.connect(listener.local_addr().unwrap()).unwrap();
        let accepted = loop {
            wait(listener.as_fd(), PollFlags::POLLIN);
            let (accepted, endpoint) = listener.accept().unwrap();
            if endpoint == from {
                break accepted;
            }
        };
        wait(dialled.as_fd(), PollFlags::POLLOUT);
        let mut syns = self.drain().into_iter().filter_map(|bytes| Syn::parse(&bytes).ok());
        let sequence = syns.find(|syn| syn.source == from).unwrap().sequence;
        Peer { dialled, accepted, endpoint: from, sequence }
    }

    /// Connects a peer that has shown its endpoint to be its own.
    pub(crate) fn proven(&self, from: &str) -> Peer {
        let peer = self.connect(from);
        let answer = self.prove(&peer.accepted, peer.sequence);
        let Answer::Done(syn) = answer else { panic!("{from}: {answer:?}") };
        assert_eq!(Syn::parse(&syn).unwrap().sequence, peer.sequence, "as it arrived");
        peer
    }

    pub(crate) fn prove(&self, socket: &impl AsFd, claimed: SeqNumber) -> Answer {
        self.forger().ask(&Request::Prove { claimed }, &[socket.as_fd()]).unwrap()
    }

    pub(crate) fn ask(&self, packet: &[u8], receiver: &impl AsFd, sender: &impl AsFd) -> Answer {
        self.ask_for(SESSION, packet, &[receiver.as_fd(), sender.as_fd()])
    }

    pub(crate) fn ask_for(
        &self,
        session: SessionId,
        packet: &[u8],
        sockets: &[BorrowedFd<'_>],
    ) -> Answer {
        self.drain();
        self.forger().ask(&Request::Forge { session, packet }, sockets).unwrap()
    }

    pub(crate) fn ask_bytes(&self, bytes: &[u8], sockets: &[BorrowedFd<'_>]) -> Answer {
        self.drain();
        self.forger().ask_bytes(bytes, sockets).unwrap()
    }

    /// Asserts that this was refused for that reason, counted once more, and that nothing left.
    pub(crate) fn assert_refused(&self, answer: &Answer, refusal: Refusal, what: &str) {
        let seen: Vec<String> =
            self.drain().iter().map(|bytes| Packet::parse(bytes).unwrap().to_string()).collect();
        assert_eq!(seen, Vec::<String>::new(), "{what}: this left");
        assert_eq!(*answer, Answer::Refused(refusal), "{what}");
        assert!(self.counts().refused.contains_key(&refusal), "{what}: it is counted");
    }

    /// Asserts that this packet left.
    pub(crate) fn assert_sent(&self, answer: &Answer, packet: &[u8]) {
        assert_eq!(*answer, Answer::Done(Vec::new()));
        let expected = SynAck::parse(packet).unwrap();
        let seen = self.drain();
        assert!(
            seen.iter().any(|bytes| SynAck::parse(bytes) == Ok(expected)),
            "it did not leave; seen: {seen:?}"
        );
    }

    pub(crate) fn counts(&self) -> Counts {
        let Answer::Done(bytes) = self.forger().ask(&Request::Counts, &[]).unwrap() else {
            panic!("it counts");
        };
        Counts::parse(&bytes).unwrap()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.forger().id()
    }

    fn forger(&self) -> &ForgerProcess {
        self.forger.as_ref().expect("this place has one")
    }

    /// Takes what was seen until now. Loopback hands a packet to who looks on before the call
    /// that sends it returns, so that what comes before a marker was sent before it.
    fn drain(&self) -> Vec<Vec<u8>> {
        self.marker.send(b"until here").unwrap();
        let port = self.marker.local_addr().unwrap().port().to_be_bytes();
        let mut found = Vec::new();
        loop {
            let mut buffer = [0; 2048];
            let length = (&self.watch).read(&mut buffer).unwrap();
            let bytes = &buffer[..length];
            // UDP over IPv4, seen as it comes in.
            if bytes.first() == Some(&0x45)
                && bytes.get(9) == Some(&17)
                && bytes.get(20..22) == Some(&port)
            {
                // It is seen twice: on its way out and on its way in.
                let _ = (&self.watch).read(&mut buffer).unwrap();
                return found;
            }
            if Packet::parse(bytes).is_ok_and(|packet| packet.tcp().is_some()) {
                found.push(bytes.to_vec());
            }
        }
    }
}

/// Makes all addresses the namespace's own.
pub(crate) fn take_addresses() -> Interface {
    let loopback = Interface::find("lo").unwrap();
    for address in ADDRESSES {
        let address: IpAddr = address.parse().unwrap();
        loopback.add_address(address, if address.is_ipv4() { 32 } else { 128 }).unwrap();
    }
    loopback
}

/// A whole packet as the broker writes it: from the one to the other.
pub(crate) fn proper(from: &Peer, to: &Peer) -> Vec<u8> {
    written(&syn_ack(from, to))
}

pub(crate) fn syn_ack(from: &Peer, to: &Peer) -> SynAck {
    SynAck {
        source: from.endpoint,
        destination: to.endpoint,
        sequence: from.sequence + 1000,
        acknowledgment: to.sequence + 1001,
        window: 64_240,
        ttl: Ttl::DEFAULT,
        ece: false,
        options: SynOptions::new(Some(1460), Some(7), true, Some(Timestamps { value: 1, echo: 2 })),
    }
}

pub(crate) fn written(packet: &SynAck) -> Vec<u8> {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = packet.emit(&mut buffer).unwrap();
    assert!(Packet::parse(&buffer).unwrap().tcp().unwrap().flags.contains(TcpFlags::SYN));
    buffer[..length].to_vec()
}

/// A forger for the calling thread's namespace.
pub(crate) fn forger(limits: Limits) -> Spawn {
    let consent = ConsentPolicy { forging: Forging::Dangerous, ..ConsentPolicy::default() };
    Spawn::program(env!("CARGO_BIN_EXE_simopen-forger")).policy(Policy { consent, limits })
}

pub(crate) fn wait(fd: BorrowedFd<'_>, flags: PollFlags) {
    let patience = PollTimeout::from(20_000_u16);
    assert!(poll(&mut [PollFd::new(fd, flags)], patience).unwrap() > 0, "it never came");
}

/// Says whether the tests can run here; where not, says why.
pub(crate) fn requires() -> bool {
    use std::io::Write;
    let needed = [Capability::NetworkNamespace, Capability::RawSocket, Capability::PacketSocket];
    let present = Capabilities::probe();
    let missing: Vec<String> = present
        .missing()
        .filter(|it| needed.contains(&it.capability))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        // Not by a print macro: the harness keeps what those say in a test that passes.
        let _ = writeln!(std::io::stderr(), "NOT RUN: needs {}", missing.join("; "));
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(missing.is_empty() || !in_ci, "CI=true forbids tests that cannot run");
    missing.is_empty()
}
