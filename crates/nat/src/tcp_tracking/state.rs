//! States of a tracked connection, and which segment leads from one to the next.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use simopen_packet::TcpFlags;

use crate::spec::TcpTimers;

/// The state of a connection as a box in the middle knows it. Complete: it will not grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum TcpState {
    /// A SYN was seen.
    SynSent,
    /// A SYN-ACK was seen.
    SynReceived,
    /// The handshake is complete.
    Established,
    /// A FIN was seen.
    FinWait,
    /// The first FIN was acknowledged.
    CloseWait,
    /// FINs were seen both ways.
    LastAck,
    /// The last FIN was acknowledged.
    TimeWait,
    /// An RST was seen.
    Close,
    /// SYNs were seen both ways: a simultaneous open.
    SynSent2,
}

impl TcpState {
    /// All states, in the order of their numbers.
    pub(crate) const ALL: [Self; 9] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// How long the state lasts without traffic.
    pub(crate) const fn timer(self, timers: &TcpTimers) -> Duration {
        match self {
            Self::SynSent | Self::SynSent2 => timers.syn_sent,
            Self::SynReceived => timers.syn_received,
            Self::Established => timers.established,
            Self::FinWait => timers.fin_wait,
            Self::CloseWait => timers.close_wait,
            Self::LastAck => timers.last_ack,
            Self::TimeWait => timers.time_wait,
            Self::Close => timers.close,
        }
    }

    /// Whether the connection is on its way out; an RST then needs no exact number.
    pub(crate) const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
    }

    /// Whether a SYN may open a new connection on the same endpoints.
    pub(crate) const fn may_be_reopened(self) -> bool {
        matches!(self, Self::TimeWait | Self::Close)
    }
}

/// Direction of a segment relative to the one that opened the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Direction {
    Original,
    Reply,
}

impl Direction {
    /// The other direction.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

/// What a segment is to tracking.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum SegmentKind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
}

impl SegmentKind {
    /// Sorts a segment by its flags; none if no TCP would send this combination.
    #[inline(always)]
    pub(crate) fn of(flags: TcpFlags) -> Option<Self> {
        const RELEVANT: u8 =
            TcpFlags::FIN.0 | TcpFlags::SYN.0 | TcpFlags::RST.0 | TcpFlags::ACK.0 | TcpFlags::URG.0;
        let relevant = flags.0 & RELEVANT;
        if relevant == TcpFlags::ACK.0 { Some(Self::Ack) } else { Self::of_rare(relevant) }
    }

    /// Out of line, so that nearly every segment takes one comparison and no jump table.
    #[cold]
    fn of_rare(relevant: u8) -> Option<Self> {
        const ACK: u8 = TcpFlags::ACK.0;
        const SYN: u8 = TcpFlags::SYN.0;
        const SYN_ACK: u8 = TcpFlags::SYN.0 | ACK;
        const FIN_ACK: u8 = TcpFlags::FIN.0 | ACK;
        const RST: u8 = TcpFlags::RST.0;
        const RST_ACK: u8 = TcpFlags::RST.0 | ACK;
        const URG: u8 = TcpFlags::URG.0;
        match relevant {
            SYN => Some(Self::Syn),
            SYN_ACK => Some(Self::SynAck),
            FIN_ACK => Some(Self::Fin),
            RST | RST_ACK => Some(Self::Rst),
            other if other & URG != 0 => match other & !URG {
                ACK => Some(Self::Ack),
                SYN => Some(Self::Syn),
                FIN_ACK => Some(Self::Fin),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transition {
    /// To this state, if the windows agree.
    To(TcpState),
    /// Nowhere, but it passes.
    Ignored,
    /// It cannot belong to the connection.
    Invalid,
}

/// Where a segment leads from a state.
#[inline]
pub(crate) const fn transition(state: TcpState, from: Direction, kind: SegmentKind) -> Transition {
    match kind {
        SegmentKind::Ack => after_ack(state, from),
        SegmentKind::Syn => after_syn(state, from),
        SegmentKind::SynAck => after_syn_ack(state, from),
        SegmentKind::Fin => after_fin(state),
        SegmentKind::Rst => Transition::To(TcpState::Close),
    }
}

#[inline]
const fn after_ack(state: TcpState, from: Direction) -> Transition {
    match (state, from) {
        // The side that dialled cannot acknowledge what has not come; the other side's ACK may be
        // a challenge of an older connection.
        (TcpState::SynSent | TcpState::SynSent2, Direction::Original) => Transition::Invalid,
        (TcpState::SynSent | TcpState::SynSent2, Direction::Reply) => Transition::Ignored,
        (TcpState::SynReceived, Direction::Reply) => Transition::To(TcpState::SynReceived),
        (TcpState::SynReceived, Direction::Original) | (TcpState::Established, _) => {
            Transition::To(TcpState::Established)
        }
        (TcpState::FinWait | TcpState::CloseWait, _) => Transition::To(TcpState::CloseWait),
        (TcpState::LastAck | TcpState::TimeWait, _) => Transition::To(TcpState::TimeWait),
        (TcpState::Close, _) => Transition::To(TcpState::Close),
    }
}

const fn after_syn(state: TcpState, from: Direction) -> Transition {
    match (state, from) {
        (TcpState::SynSent, Direction::Original) => Transition::To(TcpState::SynSent),
        (TcpState::SynSent, Direction::Reply) | (TcpState::SynSent2, _) => {
            Transition::To(TcpState::SynSent2)
        }
        (TcpState::TimeWait, _) | (TcpState::Close, Direction::Original) => {
            Transition::To(TcpState::SynSent)
        }
        // The box may be out of step: the other end will say.
        (_, Direction::Original) => Transition::Ignored,
        (_, Direction::Reply) => Transition::Invalid,
    }
}

const fn after_syn_ack(state: TcpState, from: Direction) -> Transition {
    match (state, from) {
        (TcpState::SynSent, Direction::Reply) | (TcpState::SynSent2, _) => {
            Transition::To(TcpState::SynReceived)
        }
        // Repeated in a simultaneous open.
        (TcpState::SynReceived, Direction::Original) => Transition::To(TcpState::SynReceived),
        // Nobody answers his own SYN.
        (_, Direction::Original) => Transition::Invalid,
        (_, Direction::Reply) => Transition::Ignored,
    }
}

const fn after_fin(state: TcpState) -> Transition {
    match state {
        TcpState::SynSent | TcpState::SynSent2 => Transition::Invalid,
        TcpState::SynReceived | TcpState::Established => Transition::To(TcpState::FinWait),
        TcpState::FinWait | TcpState::CloseWait | TcpState::LastAck => {
            Transition::To(TcpState::LastAck)
        }
        TcpState::TimeWait => Transition::To(TcpState::TimeWait),
        TcpState::Close => Transition::To(TcpState::Close),
    }
}
