//! What travels in an imagined run: as much of a packet as any box or kernel decides by.

/// A side of the session: `a` originates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    A,
    B,
}

impl Party {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// Which outside endpoint of a side, compared with the one that the broker observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Observed,
    OtherPort,
    OtherAddress,
}

impl Endpoint {
    pub(super) fn shares_address(self, other: Self) -> bool {
        (self == Self::OtherAddress) == (other == Self::OtherAddress)
    }
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Ack,
    Data,
    /// An RST, with the kind of packet that it answers: that decides whom it convinces.
    Rst {
        answers: Answered,
    },
    /// An ICMP error that quotes a packet of the receiver.
    Icmp(Icmp),
}

/// What an RST answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// A bare SYN: it acknowledges the SYN, which convinces a socket in SYN-SENT only.
    Syn,
    /// Anything that acknowledges: its number is exact for a connection that has heard no more than
    /// was acknowledged.
    Acknowledging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Icmp {
    TimeExceeded,
    Unreachable,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) kind: Kind,
    /// Whose it is, or in whose name it was sent.
    pub(super) from: Party,
    /// Where it seems to come from.
    pub(super) source: Endpoint,
    /// Where it goes.
    pub(super) destination: Endpoint,
    /// The broker sent it.
    pub(super) forged: bool,
    /// It dies at the first router beyond the sender's own box.
    pub(super) low_ttl: bool,
    /// Which of its sender's initial sequence numbers it counts from.
    pub(super) numbering: u8,
    /// How many greetings of its sender it follows, itself included.
    pub(super) sent: u8,
    /// How many greetings of the other side it acknowledges.
    pub(super) acknowledged: u8,
    /// A SYN or SYN-ACK that offers window scaling.
    pub(super) scales: bool,
    /// It says by a SACK block what has come twice (RFC 2883).
    pub(super) sack: Option<Sack>,
}

/// The numbers of a SACK block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sack {
    Right,
    /// A box has changed all numbers but these.
    Wrong,
}

impl Segment {
    pub(super) const fn new(kind: Kind, from: Party) -> Self {
        Self {
            kind,
            from,
            source: Endpoint::Observed,
            destination: Endpoint::Observed,
            forged: false,
            low_ttl: false,
            numbering: 0,
            sent: 0,
            acknowledged: 0,
            scales: true,
            sack: None,
        }
    }

    /// The RST that a stack or a box gives to it, if it asks for one.
    pub(super) fn answered_by_reset(&self) -> Option<Self> {
        let answers = match self.kind {
            Kind::Syn => Answered::Syn,
            Kind::SynAck | Kind::Ack | Kind::Data => Answered::Acknowledging,
            Kind::Rst { .. } | Kind::Icmp(_) => return None,
        };
        // It counts from what the answered packet acknowledges.
        let sent = self.acknowledged;
        Some(Self { sent, ..self.returned(Kind::Rst { answers }) })
    }

    /// A packet that goes back to where this one seems to come from.
    pub(super) const fn returned(&self, kind: Kind) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..Self::new(kind, self.from.other())
        }
    }
}
