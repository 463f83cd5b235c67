//! A session in an imagined box: which segments tracking believes.

use std::time::Duration;

use simopen_nat::{MiddleboxSpec, OnReset, TcpTracking};

use super::chance::Chance;
use super::segment::{Endpoint, Kind, Sack, Segment};

/// A session between the proven port and an endpoint of the other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) own: Endpoint,
    pub(super) remote: Endpoint,
    pub(super) until: Duration,
    opened_by: Side,
    state: State,
    crossed: bool,
    answered: bool,
    /// Of the inside and the outside: the initial number, once seen, and the greetings counted.
    numbering: [Option<u8>; 2],
    counted: [u8; 2],
    luck: Luck,
}

/// How numbers lie that were drawn apart from each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Luck {
    /// A segment that counts from another number looks like an old copy, which passes.
    is_old: bool,
    /// A SACK block of wrong numbers looks as if it told nothing new.
    is_behind: bool,
}

impl Luck {
    pub(super) fn drawn(chance: &mut Chance) -> Self {
        Self { is_old: chance.part() < 0.5, is_behind: chance.part() < 0.5 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Outside,
}

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    BySyn,
    InTheMiddle,
}

/// What tracking says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    Passes,
    /// It passes, and the session with it.
    Ends,
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SynSent,
    BothSynsSeen,
    SynReceived,
    Established,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Leads(State),
    Ignored,
    Invalid,
}

impl Session {
    pub(super) fn new(
        spec: &MiddleboxSpec,
        own: Endpoint,
        first: Segment,
        by: Side,
        opened: Opened,
        luck: Luck,
        now: Duration,
    ) -> Self {
        let state = match opened {
            Opened::BySyn => State::SynSent,
            Opened::InTheMiddle => State::Established,
        };
        let remote = match by {
            Side::Inside => first.destination,
            Side::Outside => first.source,
        };
        let mut session = Self {
            own,
            remote,
            until: now,
            opened_by: by,
            state,
            crossed: false,
            answered: false,
            numbering: [None; 2],
            counted: [0; 2],
            luck,
        };
        session.note(first, by);
        session.until = now + session.lifetime(spec);
        session
    }

    /// Takes the next segment.
    pub(super) fn follow(
        &mut self,
        spec: &MiddleboxSpec,
        segment: Segment,
        from: Side,
        now: Duration,
    ) -> Followed {
        if spec.tracking == TcpTracking::None {
            self.until = now + spec.timers.established;
            return Followed::Passes;
        }
        if matches!(segment.kind, Kind::Rst { .. }) {
            return self.reset(spec, now);
        }
        let is_reply = from != self.opened_by;
        let meaning = self.meaning(segment.kind, is_reply);
        let Meaning::Leads(next) = meaning else {
            self.answered |= is_reply && meaning == Meaning::Ignored;
            return if meaning == Meaning::Ignored { Followed::Passes } else { Followed::Invalid };
        };
        if spec.tracking == TcpTracking::Strict && !self.counts_on(segment, from) {
            let is_ignored = self.luck.is_old && !self.keeps_to(segment, from);
            return if is_ignored { Followed::Passes } else { Followed::Invalid };
        }
        let repeats = segment.kind == Kind::Syn && self.state == next && !self.answered;
        self.crossed |= next == State::BothSynsSeen;
        self.answered |= is_reply;
        self.state = next;
        self.note(segment, from);
        // A SYN that is only repeated does not prolong a session which nobody has answered.
        if !repeats || is_reply {
            self.until = now + self.lifetime(spec);
        }
        Followed::Passes
    }

    /// Where a segment leads (K17, K18, K41).
    const fn meaning(&self, kind: Kind, is_reply: bool) -> Meaning {
        use State::{BothSynsSeen, Closed, Established, SynReceived, SynSent};
        match (kind, self.state) {
            (Kind::Syn, SynSent) if is_reply => Meaning::Leads(BothSynsSeen),
            (Kind::Syn, SynSent) => Meaning::Leads(SynSent),
            (Kind::Syn, BothSynsSeen) => Meaning::Leads(BothSynsSeen),
            (Kind::Syn, Closed) if !is_reply => Meaning::Leads(SynSent),
            (Kind::Syn, _) if is_reply => Meaning::Invalid,
            (Kind::Syn, _) => Meaning::Ignored,
            (Kind::SynAck, SynSent) if is_reply => Meaning::Leads(SynReceived),
            (Kind::SynAck, BothSynsSeen) => Meaning::Leads(SynReceived),
            (Kind::SynAck, SynReceived) if !is_reply => Meaning::Leads(SynReceived),
            // Nobody answers his own SYN.
            (Kind::SynAck, _) if !is_reply => Meaning::Invalid,
            (Kind::SynAck, _) => Meaning::Ignored,
            // Who has dialled cannot acknowledge what has not come; the other side's segment may
            // belong to an older connection.
            (_, SynSent | BothSynsSeen) if is_reply => Meaning::Ignored,
            (_, SynSent | BothSynsSeen) => Meaning::Invalid,
            (_, SynReceived) if is_reply && !self.crossed => Meaning::Leads(SynReceived),
            (_, SynReceived | Established) => Meaning::Leads(Established),
            (_, Closed) => Meaning::Leads(Closed),
        }
    }

    /// Whether strict tracking believes the numbers: a side keeps to its first SYN, unless it opens
    /// anew before anybody has answered, and acknowledges only what the box has counted.
    fn counts_on(&self, segment: Segment, from: Side) -> bool {
        let tells_nothing_new = segment.sack != Some(Sack::Wrong) || self.luck.is_behind;
        self.keeps_to(segment, from)
            && segment.acknowledged <= self.counted[1 - from as usize]
            && tells_nothing_new
    }

    fn keeps_to(&self, segment: Segment, from: Side) -> bool {
        let known = self.numbering[from as usize];
        let opens_anew = segment.kind == Kind::Syn && self.state == State::SynSent;
        known.is_none_or(|known| known == segment.numbering) || opens_anew
    }

    fn note(&mut self, segment: Segment, from: Side) {
        let place = from as usize;
        self.numbering[place] = Some(segment.numbering);
        self.counted[place] = self.counted[place].max(segment.sent);
        if self.state == State::Established && self.numbering[1 - place].is_none() {
            // Picked up in its middle: the other side's history is taken as it is told.
            self.counted[1 - place] = self.counted[1 - place].max(segment.acknowledged);
        }
    }

    fn reset(&mut self, spec: &MiddleboxSpec, now: Duration) -> Followed {
        let ends = match spec.on_reset {
            OnReset::Ignored => return Followed::Passes,
            OnReset::Deletes => true,
            OnReset::StartsCloseTimer => false,
            // While nothing else came back.
            OnReset::DeletesUnanswered | _ => !self.answered,
        };
        self.state = State::Closed;
        self.until = now + spec.timers.close;
        if ends { Followed::Ends } else { Followed::Passes }
    }

    fn lifetime(&self, spec: &MiddleboxSpec) -> Duration {
        let timers = &spec.timers;
        if spec.tracking == TcpTracking::None {
            return timers.established;
        }
        match self.state {
            State::SynSent | State::BothSynsSeen => timers.syn_sent,
            State::SynReceived => timers.syn_received,
            State::Established => timers.established,
            State::Closed => timers.close,
        }
    }
}
