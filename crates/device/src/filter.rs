//! Classic BPF programs, each as the list of its instructions.
//!
//! A packet socket of type SOCK_DGRAM shows a filter the packet from its IP header on; a TCP
//! socket shows it the segment from its TCP header on.

use std::net::{IpAddr, SocketAddr};

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K,
    BPF_LD, BPF_LDX, BPF_MSH, BPF_RET, BPF_W,
};
use socket2::SockFilter;

/// Which packets a capture shall see; everything else stays in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The TCP port on this host.
    pub local_port: u16,
    /// The other side; `None` selects packets of all.
    pub remote: Option<SocketAddr>,
    /// What of the packets on that port.
    pub scope: Scope,
}

/// How much of a port's traffic a capture sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The bare SYNs that this host sends from the port.
    OwnSyns,
    /// Those, and every segment that arrives at the port.
    OwnSynsAndIncoming,
}

/// One instruction; jumps count the instructions that they skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

impl From<Instruction> for SockFilter {
    fn from(instruction: Instruction) -> Self {
        let Instruction { code, if_true, if_false, operand } = instruction;
        Self::new(code, if_true, if_false, operand)
    }
}

/// Program for a TCP socket: takes nothing.
pub(crate) fn swallow_everything() -> Vec<SockFilter> {
    Builder::default().give(0).finish()
}

/// Program for an installed TCP socket: takes everything but segments with RST.
pub(crate) fn drop_resets() -> Vec<SockFilter> {
    // RFC 9293 §3.1: the flags are the byte at 13, RST is 4.
    let mut program = Builder::default();
    program.load(BPF_ABS | BPF_B, 13);
    program.instructions.push(jump(BPF_JSET, 4, 0, 1));
    program.give(0).give(WHOLE).finish()
}

/// Program for a packet socket of type SOCK_DGRAM.
pub(crate) fn select(selection: &Selection) -> Vec<SockFilter> {
    let mut v4 = Builder::default();
    v4.only_if(BPF_ABS | BPF_B, 9, libc::IPPROTO_TCP as u32)
        // Only a first fragment carries ports; TCP's own packets are not fragmented at all.
        .only_if_clear(BPF_ABS | BPF_H, 6, 0x1fff);
    v4.instructions.push(statement(BPF_LDX | BPF_MSH | BPF_B, 0));
    v4.segment(selection, Addresses { source: 12, destination: 16 });

    let mut v6 = Builder::default();
    v6.only_if(BPF_ABS | BPF_B, 6, libc::IPPROTO_TCP as u32);
    v6.instructions.push(statement(BPF_LDX | BPF_IMM, 40));
    v6.segment(selection, Addresses { source: 8, destination: 24 });

    let (takes_v4, takes_v6) = match selection.remote {
        None => (true, true),
        Some(remote) => (remote.is_ipv4(), remote.is_ipv6()),
    };
    let mut program = Builder::default();
    program.load(BPF_ABS | BPF_B, 0);
    program.instructions.push(statement(BPF_ALU | BPF_AND | BPF_K, 0xf0));
    if takes_v4 {
        program.branch(0x40, v4);
    }
    if takes_v6 {
        program.branch(0x60, v6);
    }
    program.give(0).finish()
}

/// What a filter returns to take a packet at full length.
const WHOLE: u32 = 0x0004_0000;
/// Where the kernel shows the packet's type (PACKET_HOST and the like) to a load of a word.
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
/// RFC 9293 §3.1: FIN, SYN, RST, ACK; the four that decide what kind of segment it is.
const KIND_FLAGS: u32 = 0x17;
/// RFC 9293 §3.1: SYN.
const SYN: u32 = 0x02;

/// Offsets of the two addresses in an IP header.
struct Addresses {
    source: u32,
    destination: u32,
}

/// A program under construction; a test that fails leaves it with "take nothing".
#[derive(Default)]
struct Builder {
    instructions: Vec<Instruction>,
}

impl Builder {
    /// Decides over a TCP segment; the index register holds the length of the IP header.
    fn segment(&mut self, selection: &Selection, addresses: Addresses) -> &mut Self {
        let local = u32::from(selection.local_port);
        let mut outgoing = Self::default();
        outgoing.only_if(BPF_IND | BPF_H, 0, local);
        outgoing.load(BPF_IND | BPF_B, 13);
        outgoing.instructions.push(statement(BPF_ALU | BPF_AND | BPF_K, KIND_FLAGS));
        outgoing.instructions.push(jump(BPF_JEQ, SYN, 1, 0));
        outgoing.give(0);
        outgoing.remote(selection.remote, addresses.destination, 2).give(WHOLE);

        let mut incoming = Self::default();
        match selection.scope {
            Scope::OwnSyns => incoming.give(0),
            Scope::OwnSynsAndIncoming => incoming
                .only_if(BPF_IND | BPF_H, 2, local)
                .remote(selection.remote, addresses.source, 0)
                .give(WHOLE),
        };
        self.load(BPF_ABS | BPF_W, PACKET_TYPE);
        self.branch(u32::from(libc::PACKET_OUTGOING), outgoing);
        self.instructions.append(&mut incoming.instructions);
        self
    }

    /// Goes on only where the address at `address` and the port at `port` are the remote's.
    fn remote(&mut self, remote: Option<SocketAddr>, address: u32, port: u32) -> &mut Self {
        let Some(remote) = remote else { return self };
        let octets = match remote.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        for (place, word) in octets.chunks_exact(4).enumerate() {
            let expected = word.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet));
            self.only_if(BPF_ABS | BPF_W, address + 4 * place as u32, expected);
        }
        self.only_if(BPF_IND | BPF_H, port, u32::from(remote.port()))
    }

    /// Goes on only where a value of the packet is as expected.
    fn only_if(&mut self, mode: u32, at: u32, expected: u32) -> &mut Self {
        self.load(mode, at);
        self.instructions.push(jump(BPF_JEQ, expected, 1, 0));
        self.give(0)
    }

    /// Goes on only where none of these bits is set.
    fn only_if_clear(&mut self, mode: u32, at: u32, bits: u32) -> &mut Self {
        self.load(mode, at);
        self.instructions.push(jump(BPF_JSET, bits, 0, 1));
        self.give(0)
    }

    /// Runs `inner`, which must end in a return, where the accumulator has that value.
    fn branch(&mut self, value: u32, mut inner: Self) -> &mut Self {
        let skipped = u8::try_from(inner.instructions.len()).unwrap_or(u8::MAX);
        debug_assert!(skipped < u8::MAX, "a jump skips at most 255 instructions");
        self.instructions.push(jump(BPF_JEQ, value, 0, skipped));
        self.instructions.append(&mut inner.instructions);
        self
    }

    fn load(&mut self, mode: u32, at: u32) {
        self.instructions.push(statement(BPF_LD | mode, at));
    }

    fn give(&mut self, bytes: u32) -> &mut Self {
        self.instructions.push(statement(BPF_RET | BPF_K, bytes));
        self
    }

    fn finish(&self) -> Vec<SockFilter> {
        self.instructions.iter().copied().map(SockFilter::from).collect()
    }
}

fn statement(code: u32, operand: u32) -> Instruction {
    Instruction { code: code as u16, if_true: 0, if_false: 0, operand }
}

fn jump(test: u32, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    let code = (BPF_JMP | test | BPF_K) as u16;
    Instruction { code, if_true, if_false, operand }
}
