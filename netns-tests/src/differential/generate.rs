//! Random sequences that go deep: most packets fit the connection so far, some do not.

use simopen_nat::Side;
use simopen_packet::{IcmpError, TcpFlags};

use super::draw::Draw;
use super::place::{INSIDE_ENDPOINTS, REMOTE_ENDPOINTS};
use super::sequence::{Content, Reporter, Sequence, Step};

/// The longest sequence.
const MAX_STEPS: u32 = 20;

/// Makes a sequence of up to twenty packets.
#[must_use]
pub fn generate(draw: &mut Draw) -> Sequence {
    let inside_port = match draw.below(20) {
        0 => 80,
        1 => 600,
        _ => 20_000 + draw.below(30_000) as u16,
    };
    let length = 1 + draw.below(MAX_STEPS);
    let mut conversations =
        [[Conversation::default(); REMOTE_ENDPOINTS as usize]; INSIDE_ENDPOINTS as usize];
    for conversation in conversations.iter_mut().flatten() {
        *conversation = Conversation::begin(draw);
    }
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..length {
        let (inside, remote) = match draw.percent(65) {
            true => (0, 0),
            false => (
                draw.below(INSIDE_ENDPOINTS.into()) as u8,
                draw.below(REMOTE_ENDPOINTS.into()) as u8,
            ),
        };
        if draw.percent(8) && !steps.is_empty() {
            let repeated = steps[draw.below(steps.len() as u32) as usize].clone();
            steps.push(repeated);
            continue;
        }
        let conversation = &mut conversations[usize::from(inside)][usize::from(remote)];
        let (side, content) = conversation.next(draw);
        steps.push(Step { side, inside, remote, content });
    }
    Sequence { inside_port, steps }
}

/// What two endpoints have said to each other.
#[derive(Clone, Copy, Default)]
struct Conversation {
    /// The next sequence number of the inside and of the outside.
    next: [u32; 2],
    stage: Stage,
    scaled: bool,
    sack: bool,
}

/// How far a connection has come, if all packets arrived.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Fresh,
    Dialled,
    Answered,
    Open,
    HalfClosed,
    Closed,
}

impl Conversation {
    fn begin(draw: &mut Draw) -> Self {
        let mut isn = || match draw.below(6) {
            0 => u32::MAX - draw.below(2000),
            1 => draw.below(2000),
            _ => draw.bits() as u32,
        };
        let next = [isn(), isn()];
        Self { next, stage: Stage::Fresh, scaled: draw.percent(40), sack: draw.percent(40) }
    }

    fn next(&mut self, draw: &mut Draw) -> (Side, Content) {
        if draw.percent(6) {
            return self.error(draw);
        }
        let (side, flags) = match draw.percent(60) {
            true => self.expected(draw),
            false => (draw.one_of(&[Side::Inside, Side::Outside]), draw.one_of(&FLAGS)),
        };
        let can_carry = !flags.contains(TcpFlags::RST) && flags.contains(TcpFlags::ACK);
        let payload = match draw.below(10) {
            0..4 if can_carry => 1 + draw.below(1400) as u16,
            4 if flags.contains(TcpFlags::SYN) => draw.below(3) as u16,
            _ => 0,
        };
        let own = index(side);
        let sequence = self.next[own].wrapping_add(offset(draw));
        let mut acknowledgment = self.next[1 - own].wrapping_add(offset(draw));
        if !flags.contains(TcpFlags::ACK) && draw.percent(80) {
            acknowledgment = 0;
        }
        let sequence = match flags.contains(TcpFlags::RST) && draw.percent(10) {
            true => 0,
            false => sequence,
        };
        let taken = u32::from(payload)
            + u32::from(flags.contains(TcpFlags::SYN))
            + u32::from(flags.contains(TcpFlags::FIN));
        let end = sequence.wrapping_add(taken);
        if end.wrapping_sub(self.next[own]) < 1 << 20 {
            self.next[own] = end;
        }
        let window = match draw.below(6) {
            0 => 0,
            1 => draw.below(2000) as u16,
            _ => 64_240,
        };
        let options = self.options(draw, flags, acknowledgment);
        (side, Content::Segment { flags, sequence, acknowledgment, window, options, payload })
    }

    /// What an ordinary connection would go on with.
    fn expected(&mut self, draw: &mut Draw) -> (Side, TcpFlags) {
        let either = draw.one_of(&[Side::Inside, Side::Outside]);
        let (next, side, flags) = match self.stage {
            Stage::Fresh => (Stage::Dialled, Side::Inside, SYN),
            Stage::Dialled => match draw.below(6) {
                0 => (Stage::Dialled, Side::Outside, SYN),
                1 => (Stage::Dialled, Side::Inside, SYN),
                2 => (Stage::Closed, Side::Outside, RST_ACK),
                _ => (Stage::Answered, Side::Outside, SYN_ACK),
            },
            Stage::Answered => (Stage::Open, Side::Inside, TcpFlags::ACK),
            Stage::Open => match draw.below(4) {
                0 => (Stage::HalfClosed, either, FIN_ACK),
                _ => (Stage::Open, either, TcpFlags::ACK),
            },
            Stage::HalfClosed => match draw.below(3) {
                0 => (Stage::Closed, either, FIN_ACK),
                _ => (Stage::HalfClosed, either, TcpFlags::ACK),
            },
            Stage::Closed => match draw.below(3) {
                0 => (Stage::Dialled, either, SYN),
                _ => (Stage::Closed, either, TcpFlags::ACK),
            },
        };
        self.stage = next;
        (side, flags)
    }

    fn options(&self, draw: &mut Draw, flags: TcpFlags, acknowledgment: u32) -> Vec<u8> {
        let mut options = Vec::new();
        if flags.contains(TcpFlags::SYN) {
            options.extend([2, 4, 5, 180]);
            if self.scaled && draw.percent(80) {
                options.extend([1, 3, 3, draw.below(16) as u8]);
            }
            if self.sack && draw.percent(80) {
                options.extend([1, 1, 4, 2]);
            }
        } else if self.sack && draw.percent(20) {
            let left = acknowledgment.wrapping_add(offset(draw));
            let right = left.wrapping_add(draw.below(3000));
            options.extend([1, 1, 5, 10]);
            options.extend(left.to_be_bytes());
            options.extend(right.to_be_bytes());
        } else if draw.percent(20) {
            options.extend([1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0]);
        }
        options
    }

    fn error(&self, draw: &mut Draw) -> (Side, Content) {
        let side = draw.one_of(&[Side::Inside, Side::Outside, Side::Outside]);
        let kind = draw.one_of(&[
            IcmpError::TimeExceeded,
            IcmpError::PortUnreachable,
            IcmpError::HostUnreachable,
            IcmpError::AdminProhibited,
        ]);
        let reporter = draw.one_of(&[Reporter::Endpoint, Reporter::Router]);
        let sequence = self.next[1 - index(side)];
        (side, Content::Error { kind, sequence, reporter })
    }
}

const SYN: TcpFlags = TcpFlags::SYN;
const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

/// What comes where nothing is expected; the last ones no TCP would send.
const FLAGS: [TcpFlags; 16] = [
    SYN,
    SYN,
    SYN,
    SYN_ACK,
    SYN_ACK,
    TcpFlags::ACK,
    TcpFlags::ACK,
    TcpFlags::ACK,
    FIN_ACK,
    FIN_ACK,
    TcpFlags::RST,
    TcpFlags::RST,
    RST_ACK,
    TcpFlags(TcpFlags::ACK.0 | TcpFlags::PSH.0 | TcpFlags::URG.0),
    TcpFlags(TcpFlags::FIN.0),
    TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0),
];

const fn index(side: Side) -> usize {
    match side {
        Side::Inside => 0,
        Side::Outside => 1,
    }
}

/// Mostly nothing, sometimes a little, seldom far out of every window.
fn offset(draw: &mut Draw) -> u32 {
    match draw.below(24) {
        0 => 1,
        1 => u32::MAX,
        2 => draw.below(3000),
        3 => draw.below(3000).wrapping_neg(),
        4 => 70_000 + draw.below(10),
        5 => (70_000 + draw.below(10)).wrapping_neg(),
        6 => draw.bits() as u32,
        _ => 0,
    }
}
