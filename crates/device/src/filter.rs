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
pub(crate) fn swallow_everything() -> Program {
    let mut program = Program::default();
    program.give(0);
    program
}

/// Program for an installed TCP socket: takes everything but segments with RST.
pub(crate) fn drop_resets() -> Program {
    // RFC 9293 §3.1: the flags are the byte at 13, RST is 4.
    let mut program = Program::default();
    program.load(BPF_ABS | BPF_B, 13);
    program.instructions.push(jump(BPF_JSET, 4, 0, 1));
    program.give(0).give(WHOLE);
    program
}

/// Program for a packet socket of type SOCK_DGRAM.
pub(crate) fn select(selection: &Selection) -> Program {
    let mut v4 = Program::default();
    v4.only_if(BPF_ABS | BPF_B, 9, libc::IPPROTO_TCP as u32)
        // Only a first fragment carries ports; TCP's own packets are not fragmented at all.
        .only_if_clear(BPF_ABS | BPF_H, 6, 0x1fff);
    v4.instructions.push(statement(BPF_LDX | BPF_MSH | BPF_B, 0));
    v4.segment(selection, &Addresses { source: 12, destination: 16 });

    let mut v6 = Program::default();
    v6.only_if(BPF_ABS | BPF_B, 6, libc::IPPROTO_TCP as u32);
    v6.instructions.push(statement(BPF_LDX | BPF_IMM, 40));
    v6.segment(selection, &Addresses { source: 8, destination: 24 });

    let (takes_v4, takes_v6) = match selection.remote {
        None => (true, true),
        Some(remote) => (remote.is_ipv4(), remote.is_ipv6()),
    };
    let mut program = Program::default();
    program.load(BPF_ABS | BPF_B, 0);
    program.instructions.push(statement(BPF_ALU | BPF_AND | BPF_K, 0xf0));
    if takes_v4 {
        program.branch(0x40, v4);
    }
    if takes_v6 {
        program.branch(0x60, v6);
    }
    program.give(0);
    program
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

/// A program; a condition that fails ends it with "take nothing".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Returns the program in the form that a socket takes.
    pub(crate) fn to_filter(&self) -> Vec<SockFilter> {
        self.instructions.iter().copied().map(SockFilter::from).collect()
    }

    /// Decides over a TCP segment; the index register holds the length of the IP header.
    fn segment(&mut self, selection: &Selection, addresses: &Addresses) -> &mut Self {
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
}

fn statement(code: u32, operand: u32) -> Instruction {
    Instruction { code: code as u16, if_true: 0, if_false: 0, operand }
}

fn jump(test: u32, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    let code = (BPF_JMP | test | BPF_K) as u16;
    Instruction { code, if_true, if_false, operand }
}

#[cfg(test)]
mod tests {
    use simopen_packet::{SeqNumber, TcpBuilder, TcpFlags, Ttl};

    use super::*;

    const ANYONE: Selection =
        Selection { local_port: 4000, remote: None, scope: Scope::OwnSynsAndIncoming };
    const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
    const ENDPOINTS: [(&str, &str); 2] =
        [("10.0.0.1:4000", "10.0.0.2:5000"), ("[fd00::1]:4000", "[fd00::2]:5000")];

    #[test]
    fn only_bare_syns_of_the_port_are_taken_on_their_way_out() {
        for (own, other) in ENDPOINTS {
            for scope in [Scope::OwnSyns, Scope::OwnSynsAndIncoming] {
                let program = select(&Selection { scope, ..ANYONE });
                let out = |from, to, flags| {
                    run(&program, &packet(from, to, flags), libc::PACKET_OUTGOING)
                };
                assert_eq!(out(own, other, TcpFlags::SYN), WHOLE);
                assert_eq!(out(other, own, TcpFlags::SYN), 0, "another port");
                let reset = TcpFlags(TcpFlags::SYN.0 | TcpFlags::RST.0);
                for flags in [TcpFlags::ACK, SYN_ACK, TcpFlags::RST, reset, TcpFlags(0)] {
                    assert_eq!(out(own, other, flags), 0, "{flags}");
                }
                let ecn = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ECE.0 | TcpFlags::CWR.0);
                assert_eq!(out(own, other, ecn), WHOLE, "a SYN may ask for ECN");
            }
        }
    }

    #[test]
    fn what_arrives_at_the_port_is_taken_in_the_wider_scope_only() {
        for (own, other) in ENDPOINTS {
            for flags in [TcpFlags::SYN, SYN_ACK, TcpFlags::ACK, TcpFlags::RST] {
                let arriving = packet(other, own, flags);
                let taken = |scope| {
                    let program = select(&Selection { scope, ..ANYONE });
                    run(&program, &arriving, libc::PACKET_HOST)
                };
                assert_eq!(taken(Scope::OwnSynsAndIncoming), WHOLE);
                assert_eq!(taken(Scope::OwnSyns), 0);
            }
            let elsewhere = packet(own, other, SYN_ACK);
            assert_eq!(run(&select(&ANYONE), &elsewhere, libc::PACKET_HOST), 0);
        }
    }

    #[test]
    fn a_chosen_remote_shuts_all_others_out_both_ways() {
        for (own, other) in ENDPOINTS {
            let remote = Some(other.parse().unwrap());
            let program = select(&Selection { remote, ..ANYONE });
            let both = |there: &str| {
                let out = packet(own, there, TcpFlags::SYN);
                let back = packet(there, own, SYN_ACK);
                (
                    run(&program, &out, libc::PACKET_OUTGOING),
                    run(&program, &back, libc::PACKET_HOST),
                )
            };
            assert_eq!(both(other), (WHOLE, WHOLE));
            assert_eq!(both(&other.replace("5000", "5001")), (0, 0), "another port");
            assert_eq!(both(&other.replace("2]", "3]").replace(".2:", ".3:")), (0, 0), "address");
        }
    }

    #[test]
    fn packets_of_the_other_version_fragments_and_stubs_are_left_alone() {
        let [(own4, other4), (own6, other6)] = ENDPOINTS;
        let (v4, v6) = (packet(own4, other4, TcpFlags::SYN), packet(own6, other6, TcpFlags::SYN));
        let remote = |text: &str| Selection { remote: Some(text.parse().unwrap()), ..ANYONE };
        assert_eq!(run(&select(&remote(other6)), &v4, libc::PACKET_OUTGOING), 0);
        assert_eq!(run(&select(&remote(other4)), &v6, libc::PACKET_OUTGOING), 0);
        let mut fragment = v4.clone();
        fragment[7] = 1;
        assert_eq!(run(&select(&ANYONE), &fragment, libc::PACKET_OUTGOING), 0);
        for whole in [v4, v6] {
            for length in 0..whole.len() - 6 {
                assert_eq!(run(&select(&ANYONE), &whole[..length], libc::PACKET_OUTGOING), 0);
            }
        }
    }

    #[test]
    fn the_shield_drops_segments_with_rst_and_the_swallower_drops_all() {
        let segment = |flags| packet(ENDPOINTS[0].0, ENDPOINTS[0].1, flags).split_off(20);
        let reset_ack = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);
        for (flags, taken) in
            [(TcpFlags::ACK, WHOLE), (SYN_ACK, WHOLE), (TcpFlags::RST, 0), (reset_ack, 0)]
        {
            assert_eq!(run(&drop_resets(), &segment(flags), libc::PACKET_HOST), taken, "{flags}");
            assert_eq!(run(&swallow_everything(), &segment(flags), libc::PACKET_HOST), 0);
        }
    }

    fn packet(source: &str, destination: &str, flags: TcpFlags) -> Vec<u8> {
        let builder = TcpBuilder {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ttl: Ttl(64),
            sequence: SeqNumber(1),
            acknowledgment: SeqNumber(2),
            flags,
            window: 3,
        };
        let mut buffer = vec![0; 128];
        let length = builder.emit(&[], &[], &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Interprets a program as the kernel does: a load outside the packet takes nothing.
    fn run(program: &Program, packet: &[u8], packet_type: u8) -> u32 {
        let (mut accumulator, mut index, mut next) = (0_u32, 0_u32, 0);
        loop {
            let Instruction { code, if_true, if_false, operand } = program.instructions[next];
            let code = u32::from(code);
            next += 1;
            let load = |at: u32, size: usize| {
                let bytes = packet.get(at as usize..at as usize + size)?;
                Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
            };
            let size = |code: u32| match code & 0x18 {
                BPF_W => 4,
                BPF_H => 2,
                _ => 1,
            };
            let loaded = match code & 0x07 {
                BPF_RET => return operand,
                BPF_LD if operand == PACKET_TYPE => Some(u32::from(packet_type)),
                BPF_LD if code & 0xe0 == BPF_IND => load(index + operand, size(code)),
                BPF_LD => load(operand, size(code)),
                BPF_LDX => {
                    let header = load(operand, 1).map(|byte| 4 * (byte & 0x0f));
                    let value = if code & 0xe0 == BPF_MSH { header } else { Some(operand) };
                    let Some(value) = value else { return 0 };
                    index = value;
                    Some(accumulator)
                }
                BPF_ALU => Some(accumulator & operand),
                BPF_JMP => {
                    let holds = match code & 0xf0 {
                        BPF_JSET => accumulator & operand != 0,
                        _ => accumulator == operand,
                    };
                    next += usize::from(if holds { if_true } else { if_false });
                    Some(accumulator)
                }
                _ => panic!("unknown instruction {code:#x}"),
            };
            let Some(loaded) = loaded else { return 0 };
            accumulator = loaded;
        }
    }
}
