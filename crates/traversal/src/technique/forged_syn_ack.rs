//! `forged-syn-ack`: each side sends an initial SYN and reports it; the broker answers each in the
//! other's name (seed 001 ¶164-174).
//!
//! There are two ways to own the SYN. With `/kernel` an ordinary socket dials and its SYN is
//! captured; with `/userspace` the peer builds the SYN, commits to it in its very first message,
//! holds the port silent and installs the finished connection into the kernel.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use simopen_packet::{
    Entropy, MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpFlags, Timestamp,
    Timestamps,
};
use simopen_protocol::control::SynBytes;

use super::{Answer, INITIAL_RTO, Outbox, Session};
use crate::attempt::{AttemptConfig, Role};
use crate::command::{Command, Handshake};

/// `forged-syn-ack/kernel`: whose acceptance carries the first captured SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KernelSyn {
    owes_acceptance: bool,
}

impl KernelSyn {
    pub(super) const fn new(role: Role) -> Self {
        Self { owes_acceptance: matches!(role, Role::Responder) }
    }

    pub(super) fn start(config: &AttemptConfig, session: &Session, out: &mut Outbox) {
        out.commands.push_back(Command::Dial {
            local: config.local,
            remote: session.remote,
            ttl: config.kernel_ttl,
            handshake: Handshake::ThroughBroker,
        });
    }

    pub(super) fn syn(
        &mut self,
        syn: SynBytes,
        config: &AttemptConfig,
        session: &Session,
        out: &mut Outbox,
    ) {
        if core::mem::take(&mut self.owes_acceptance) {
            out.accept(session, config.local, Some(syn));
        } else {
            out.report(session, syn);
        }
    }
}

/// What a SYN built by the peer itself carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SynTemplate {
    /// Maximum segment size in bytes, from the interface's MTU.
    pub mss: u16,
    /// The window in bytes that the SYN announces.
    pub window: u16,
    /// The shift that the kernel will use for this connection, from `tcp_rmem`; `None` leaves the
    /// option out.
    pub window_scale: Option<u8>,
}

impl Default for SynTemplate {
    /// MTU 1500 over IPv4, and no window scale.
    fn default() -> Self {
        Self { mss: 1460, window: 64_240, window_scale: None }
    }
}

/// `forged-syn-ack/userspace`: the SYN that this side has committed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UserspaceSyn {
    syn: Syn,
    owes_acceptance: bool,
    again: Option<Timestamp>,
}

impl UserspaceSyn {
    pub(super) fn new(config: &AttemptConfig, role: Role, entropy: Entropy) -> Self {
        let mut generator = ChaCha20Rng::from_seed(entropy.into_bytes());
        let template = config.syn;
        let mut options = SynOptions::default();
        options.mss = Some(template.mss);
        options.window_scale = template.window_scale;
        options.sack_permitted = true;
        // Even, because the kernel reads the low bit of an installed timestamp as its unit.
        options.timestamps = Some(Timestamps { value: generator.next_u32() & !1, echo: 0 });
        let syn = Syn {
            source: config.local,
            destination: unspecified_like(config.local),
            sequence: SeqNumber(generator.next_u32()),
            window: template.window,
            ttl: config.low_ttl,
            // ECN cannot be installed into a kernel socket, so it is not asked for.
            ecn_setup: false,
            options,
        };
        Self { syn, owes_acceptance: matches!(role, Role::Responder), again: None }
    }

    /// The port falls silent before anything is known of it.
    pub(super) fn hold(&self, out: &mut Outbox) {
        out.commands.push_back(Command::Swallow { local: self.syn.source });
    }

    pub(super) fn commit(&self, out: &mut Outbox) -> SynBytes {
        self.hold(out);
        self.bytes()
    }

    pub(super) fn start(
        &mut self,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> SeqNumber {
        self.syn.destination = session.remote;
        self.emit(now, out);
        if core::mem::take(&mut self.owes_acceptance) {
            out.accept(session, self.syn.source, Some(self.bytes()));
        }
        self.syn.sequence
    }

    pub(super) fn retransmit(
        &mut self,
        session: &Session,
        now: Timestamp,
        out: &mut Outbox,
    ) -> SeqNumber {
        self.emit(now, out);
        out.report(session, self.bytes());
        self.syn.sequence
    }

    pub(super) const fn retransmission(&self) -> Option<Timestamp> {
        self.again
    }

    pub(super) const fn stop(&mut self) {
        self.again = None;
    }

    /// The SYN-ACK or RST that answers exactly our SYN, from exactly the other side, while an answer
    /// is waited for: a copy of the SYN-ACK installs nothing again.
    pub(super) fn packet(&self, packet: &[u8], session: &Session) -> Option<(Syn, Answer)> {
        self.again?;
        let parsed = Packet::parse(packet).ok()?;
        let is_ours = parsed.source_endpoint() == Some(session.remote)
            && parsed.destination_endpoint() == Some(self.syn.source);
        let segment = parsed.tcp()?;
        let acknowledges = segment.flags.contains(TcpFlags::ACK)
            && segment.acknowledgment == self.syn.sequence + 1;
        if !is_ours || !acknowledges {
            return None;
        }
        if segment.flags.contains(TcpFlags::RST) {
            return Some((self.syn, Answer::Reset));
        }
        let answer = SynAck::parse(packet).ok()?;
        Some((self.syn, Answer::SynAck(answer)))
    }

    fn emit(&mut self, now: Timestamp, out: &mut Outbox) {
        out.commands.push_back(Command::Emit(self.syn));
        self.again = Some(now + INITIAL_RTO);
    }

    fn bytes(&self) -> SynBytes {
        let mut buffer = [0; MAX_SYN_LEN];
        let length = self.syn.emit(&mut buffer).expect("the buffer takes the longest SYN");
        SynBytes(buffer[..length].to_vec())
    }
}

/// The other side is not known when an originator commits.
fn unspecified_like(local: SocketAddr) -> SocketAddr {
    let address = match local.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(address, 0)
}
