//! TCP tracking: the state of one connection as a box in the middle can know it.
//!
//! The states and the rules between them follow what Linux's connection tracking does (6.x), in
//! own words. "Original" is the direction of the packet that opened the session, "reply" the other
//! one; inside and outside play no part here.
//!
//! ```text
//!              SYN                SYN-ACK reply            ACK original
//!   (none) ──────────▶ SynSent ────────────────▶ SynReceived ─────────▶ Established
//!                         │ SYN reply               ▲                      │ FIN
//!                         ▼       SYN-ACK any way   │                      ▼
//!                      SynSent2 ────────────────────┘          FinWait ─ACK▶ CloseWait
//!                                                                 │ FIN        │ FIN
//!   any ── RST ──▶ Close                                          ▼            ▼
//!                                          TimeWait ◀──── ACK ── LastAck ◀─────┘
//! ```
//!
//! What passes without being believed is *ignored*: it may come from a connection that is in step
//! while the box is not. What cannot belong to the connection is *invalid*.

pub(crate) mod lifetime;
pub(crate) mod state;
pub(crate) mod window;

use core::hint::select_unpredictable;

use simopen_packet::{SeqNumber, TcpSegment};

use crate::journal::DropReason;
use crate::spec::{OnReset, TcpTracking};
use lifetime::{Lifetime, Lifetimes};
use state::{Direction, SegmentKind, TcpState, Transition};
use window::{Liberality, Seen, WindowVerdict};

/// After so many repetitions of one segment the retransmission timer holds.
const MANY_REPEATS: u8 = 3;

/// What one packet meant for its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It passes; the session lives on for this long, or as long as before.
    Accepted(Option<Lifetime>),
    /// It passes and changes nothing.
    Ignored,
    /// It does not belong to the connection.
    Invalid(DropReason),
    /// Nor does this one, but it wants to end the connection after the other side wanted to: the
    /// session lives no longer than this.
    InvalidEnd(DropReason, Lifetime),
    /// It opens a new connection on the same endpoints; the old session is to be deleted.
    Reopening,
    /// It passes and the session ends at once.
    Ended,
}

/// The axes of the specification that tracking depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) tracking: TcpTracking,
    pub(crate) on_reset: OnReset,
    pub(crate) lifetimes: &'a Lifetimes,
}

/// The tracked state of one connection.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Tracking {
    seen: [Seen; 2],
    last: LastSegment,
    state: TcpState,
    reply: Reply,
    opening: Opening,
}

/// What the box remembers of the last segment that passed.
#[derive(Clone, Debug, Hash)]
struct LastSegment {
    sequence: SeqNumber,
    acknowledgment: SeqNumber,
    end: SeqNumber,
    window: u16,
    kind: SegmentKind,
    direction: Direction,
    repeats: u8,
    /// What an ignored SYN offered.
    offered: window::Offer,
    /// A SYN was let through in LAST-ACK: the next ACK the other way is a challenge (RFC 5961 §4).
    challenge: Challenge,
}

/// Whether an RFC 5961 challenge ACK is to be expected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Challenge {
    NotExpected,
    Expected,
}

/// How far the other side has taken part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Reply {
    /// Nothing came back yet.
    Unseen,
    /// Something came back.
    Seen,
    /// The handshake was completed before our eyes.
    Assured,
}

/// Whether SYNs have crossed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Opening {
    OneSided,
    Simultaneous,
    /// No SYN: it was first seen in its middle.
    MidStream,
}

impl Tracking {
    /// Where no connection is.
    pub(crate) const NOTHING_SEEN: Self =
        Self::new(TcpState::Close, SegmentKind::Rst, [Seen::NOTHING; 2]);

    /// The tracking of a connection whose first segment is a SYN.
    pub(crate) fn opened_by_syn(segment: &TcpSegment<'_>) -> Self {
        Self::new(TcpState::SynSent, SegmentKind::Syn, [Seen::of_syn(segment), Seen::default()])
    }

    /// The tracking of a connection that is first seen in its middle.
    pub(crate) fn picked_up(segment: &TcpSegment<'_>) -> Self {
        let kind = SegmentKind::Ack;
        let mut tracking = Self::new(TcpState::Established, kind, Seen::of_picked_up(segment));
        tracking.opening = Opening::MidStream;
        // An acknowledgement near zero fits by chance what the other side, unseen, has sent.
        let (from, state) = (Direction::Original, tracking.state);
        let verdict = window::check(&mut tracking.seen, segment, from, state, Liberality::Liberal);
        if verdict == WindowVerdict::Accepted {
            tracking.count_repeats(segment, from);
        }
        tracking
    }

    /// What stands for a connection that is not tracked.
    pub(crate) fn untracked(segment: &TcpSegment<'_>) -> Self {
        let mut tracking = Self::new(TcpState::Established, SegmentKind::Ack, [Seen::NOTHING; 2]);
        if !segment.flags.is_bare_syn() {
            tracking.opening = Opening::MidStream;
        }
        tracking
    }

    const fn new(state: TcpState, kind: SegmentKind, seen: [Seen; 2]) -> Self {
        Self {
            seen,
            last: LastSegment {
                sequence: SeqNumber(0),
                acknowledgment: SeqNumber(0),
                end: SeqNumber(0),
                // As long as nobody has announced another one.
                window: u16::MAX,
                kind,
                direction: Direction::Original,
                repeats: 0,
                offered: window::Offer::NOTHING,
                challenge: Challenge::NotExpected,
            },
            state,
            reply: Reply::Unseen,
            opening: Opening::OneSided,
        }
    }

    /// The state the connection is in.
    pub(crate) const fn state(&self) -> TcpState {
        self.state
    }

    /// Whether the box has seen the connection from its first SYN on.
    pub(crate) fn is_known_from_its_syn(&self) -> bool {
        self.opening != Opening::MidStream
    }

    /// The number after the last one that a side has sent, if it has sent any.
    pub(crate) fn next_of(&self, sender: Direction) -> Option<SeqNumber> {
        self.seen[sender as usize].next()
    }

    /// How long a fresh session lives.
    pub(crate) fn first_lifetime(&self, lifetimes: &Lifetimes) -> Lifetime {
        // Nobody has answered yet: a picked-up connection may be anybody's invention.
        lifetimes.of(self.state).min(lifetimes.unacknowledged)
    }

    /// Takes the next segment of the connection.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        segment: &TcpSegment<'_>,
        from: Direction,
        rules: &Rules<'_>,
    ) -> Outcome {
        if rules.tracking == TcpTracking::None {
            return Outcome::Accepted(Some(rules.lifetimes.of(self.state)));
        }
        let Some(kind) = SegmentKind::of(segment.flags) else {
            return Outcome::Invalid(DropReason::InvalidFlags);
        };
        // Nearly every segment there is goes from Established to Established.
        let next = if kind == SegmentKind::Ack && self.state == TcpState::Established {
            TcpState::Established
        } else {
            match self.next_state(*segment, from, kind, *rules) {
                Ok(next) => next,
                Err(outcome) => return outcome,
            }
        };
        self.advance(segment, from, kind, next, rules)
    }

    /// The state to which a segment leads if the windows agree, or what it meant without them.
    #[inline(never)]
    fn next_state(
        &mut self,
        segment: TcpSegment<'_>,
        from: Direction,
        kind: SegmentKind,
        rules: Rules<'_>,
    ) -> Result<TcpState, Outcome> {
        if kind == SegmentKind::Rst && rules.on_reset == OnReset::Ignored {
            return Err(Outcome::Ignored);
        }
        let next = match state::transition(self.state, from, kind) {
            Transition::Invalid => return Err(Outcome::Invalid(DropReason::InvalidInState)),
            Transition::Ignored => return self.ignore(&segment, from, kind),
            Transition::To(next) => next,
        };
        match next {
            TcpState::SynSent if self.state.may_be_reopened() => {
                if self.was_closed_by(from) {
                    return Err(Outcome::Reopening);
                }
                self.ignore(&segment, from, kind)
            }
            TcpState::TimeWait if self.is_challenge_ack(from, kind) => {
                self.last.challenge = Challenge::NotExpected;
                Err(Outcome::Ignored)
            }
            TcpState::SynSent2 => {
                self.opening = Opening::Simultaneous;
                Ok(next)
            }
            TcpState::SynReceived if self.completes_crossing(from, kind) => {
                Ok(TcpState::Established)
            }
            TcpState::Close if kind == SegmentKind::Rst => self.reset(&segment, from, &rules),
            TcpState::SynSent
            | TcpState::SynReceived
            | TcpState::Established
            | TcpState::FinWait
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::TimeWait
            | TcpState::Close => Ok(next),
        }
    }

    /// Whether this side closed or reset the old connection, so that its SYN opens a new one.
    fn was_closed_by(&self, from: Direction) -> bool {
        self.seen.iter().any(Seen::began_closing)
            || (self.last.direction == from && self.last.kind == SegmentKind::Rst)
    }

    fn is_challenge_ack(&self, from: Direction, kind: SegmentKind) -> bool {
        self.state == TcpState::LastAck
            && kind == SegmentKind::Ack
            && self.last.direction != from
            && self.last.kind == SegmentKind::Syn
            && self.last.challenge == Challenge::Expected
    }

    /// In a simultaneous open the reply side's ACK ends the handshake as well as the original's.
    fn completes_crossing(&self, from: Direction, kind: SegmentKind) -> bool {
        from == Direction::Reply
            && kind == SegmentKind::Ack
            && self.opening == Opening::Simultaneous
    }

    /// Lets a segment pass that may be right while the box is out of step, and remembers it.
    fn ignore(
        &mut self,
        segment: &TcpSegment<'_>,
        from: Direction,
        kind: SegmentKind,
    ) -> Result<TcpState, Outcome> {
        let answers_ignored_syn = kind == SegmentKind::SynAck
            && self.last.kind == SegmentKind::Syn
            && self.last.direction != from
            && segment.acknowledgment == self.last.end;
        if answers_ignored_syn {
            // Both ends agree on a connection which the box did not believe in: follow them.
            self.seen[from.other() as usize] =
                Seen::of_ignored_syn(self.last.end, self.last.window, self.last.offered);
            self.seen[from as usize].forget();
            self.state = TcpState::SynSent;
            return Ok(TcpState::SynReceived);
        }
        self.last.kind = kind;
        self.last.direction = from;
        self.last.sequence = segment.sequence;
        self.last.end = segment.sequence + segment.segment_len();
        self.last.window = segment.window;
        if kind == SegmentKind::Syn && from == Direction::Original {
            self.last.offered = window::Offer::of(segment);
            self.opening = Opening::OneSided;
            self.last.challenge = match self.state == TcpState::LastAck {
                true => Challenge::Expected,
                false => Challenge::NotExpected,
            };
        }
        if self.state == TcpState::SynSent && kind == SegmentKind::Ack && from == Direction::Reply {
            self.last.acknowledgment = segment.acknowledgment;
        }
        self.note_reply(from);
        Err(Outcome::Ignored)
    }

    /// Judges an RST: exact, in the window, an answer to something ignored, or invalid.
    fn reset(
        &mut self,
        segment: &TcpSegment<'_>,
        from: Direction,
        rules: &Rules<'_>,
    ) -> Result<TcpState, Outcome> {
        let kind = SegmentKind::Rst;
        if self.state.is_closing() {
            return Err(self.commit(from, kind, TcpState::Close, rules));
        }
        let mut next = TcpState::Close;
        let established = self.state == TcpState::Established && self.reply == Reply::Assured;
        let sequence = segment.sequence;
        if let Some(expected) = self.seen[from.other() as usize].acknowledged()
            && self.last.kind != SegmentKind::Syn
        {
            if sequence == SeqNumber(0) && !established {
                return Ok(next);
            }
            if sequence.precedes(expected) {
                return Err(Outcome::Invalid(DropReason::InvalidReset));
            }
            let ends_a_train = self.last.kind == SegmentKind::Ack
                && self.last.direction == from
                && sequence == self.last.end;
            if !established || sequence == expected || ends_a_train {
                return Ok(next);
            }
            // In the window but not exact: the other end will challenge it (RFC 5961 §3).
            next = self.state;
        }
        let answers_syn = self.last.kind == SegmentKind::Syn && self.last.direction != from;
        let answers_ignored = (self.reply >= Reply::Seen && answers_syn)
            || (self.reply < Reply::Assured && self.last.kind == SegmentKind::Ack);
        let answers_challenge = self.state == TcpState::SynSent
            && self.last.kind == SegmentKind::Ack
            && self.last.direction == Direction::Reply
            && sequence == self.last.acknowledgment;
        if (answers_ignored && segment.acknowledgment == self.last.end) || answers_challenge {
            return Err(self.commit(from, kind, next, rules));
        }
        Ok(next)
    }

    /// Checks the windows and goes on to the next state.
    #[inline(always)]
    fn advance(
        &mut self,
        segment: &TcpSegment<'_>,
        from: Direction,
        kind: SegmentKind,
        next: TcpState,
        rules: &Rules<'_>,
    ) -> Outcome {
        let liberality = match rules.tracking {
            TcpTracking::Strict => Liberality::Strict,
            TcpTracking::Liberal | TcpTracking::None => Liberality::Liberal,
        };
        match window::check(&mut self.seen, segment, from, self.state, liberality) {
            WindowVerdict::Accepted => {}
            WindowVerdict::Forgiven => return self.commit(from, kind, next, rules),
            WindowVerdict::Ignored => {
                self.note_reply(from);
                return Outcome::Ignored;
            }
            WindowVerdict::Invalid(reason) => return self.invalid(reason, from, kind, rules),
        }
        if kind == SegmentKind::Ack {
            self.count_repeats(segment, from);
        }
        self.commit(from, kind, next, rules)
    }

    /// A FIN or RST outside the windows of an established connection is remembered as the last
    /// segment, unless it answers another one of them: then the box is out of step with both ends.
    #[cold]
    fn invalid(
        &mut self,
        reason: DropReason,
        from: Direction,
        kind: SegmentKind,
        rules: &Rules<'_>,
    ) -> Outcome {
        let is_end = |kind| matches!(kind, SegmentKind::Fin | SegmentKind::Rst);
        if self.reply != Reply::Assured || !is_end(kind) {
            return Outcome::Invalid(reason);
        }
        if self.last.direction != from && is_end(self.last.kind) {
            return Outcome::InvalidEnd(reason, rules.lifetimes.unacknowledged);
        }
        self.last.kind = kind;
        self.last.direction = from;
        Outcome::Invalid(reason)
    }

    #[inline(always)]
    fn count_repeats(&mut self, segment: &TcpSegment<'_>, from: Direction) {
        let end = segment.sequence + segment.segment_len();
        let last = &mut self.last;
        // Whether a segment repeats the last one is foreseeable for no branch predictor, and the
        // values to compare come late, so this must not branch.
        let repeated = (last.direction == from)
            & (last.sequence == segment.sequence)
            & (last.acknowledgment == segment.acknowledgment)
            & (last.end == end)
            & (last.window == segment.window);
        last.repeats = select_unpredictable(repeated, last.repeats.saturating_add(1), 0);
        last.sequence = segment.sequence;
        last.acknowledgment = segment.acknowledgment;
        last.end = end;
        last.window = segment.window;
    }

    /// Enters the next state and says how long it lasts.
    #[inline(always)]
    fn commit(
        &mut self,
        from: Direction,
        kind: SegmentKind,
        next: TcpState,
        rules: &Rules<'_>,
    ) -> Outcome {
        let old = self.state;
        self.last.kind = kind;
        self.last.direction = from;
        self.state = next;
        if next == TcpState::FinWait && old != next {
            self.seen[from as usize].begin_closing();
        }
        if kind == SegmentKind::Rst && self.is_deleted_by_reset(next, rules.on_reset) {
            return Outcome::Ended;
        }
        // A SYN does not prolong a session which nobody has answered.
        if kind == SegmentKind::Syn && old == TcpState::SynSent && self.reply == Reply::Unseen {
            self.note_reply(from);
            return Outcome::Accepted(None);
        }
        let handshake_done = matches!(old, TcpState::SynReceived | TcpState::Established)
            && next == TcpState::Established;
        if self.reply == Reply::Seen && handshake_done {
            self.reply = Reply::Assured;
        }
        let lifetime = self.lifetime(kind, rules.lifetimes);
        self.note_reply(from);
        Outcome::Accepted(Some(lifetime))
    }

    fn is_deleted_by_reset(&self, next: TcpState, on_reset: OnReset) -> bool {
        match on_reset {
            OnReset::DeletesUnanswered => self.reply == Reply::Unseen,
            OnReset::Deletes => next == TcpState::Close,
            OnReset::StartsCloseTimer | OnReset::Ignored => false,
        }
    }

    #[inline]
    fn lifetime(&self, kind: SegmentKind, lifetimes: &Lifetimes) -> Lifetime {
        let repeats_often = self.last.repeats >= MANY_REPEATS;
        if kind == SegmentKind::Rst && !repeats_often {
            return lifetimes.close;
        }
        let lifetime = lifetimes.of(self.state);
        // Of what was picked up in its middle, one side may be anybody's invention.
        let waits = self.seen[0].waits_for_acknowledgment()
            | self.seen[1].waits_for_acknowledgment()
            | ((self.reply == Reply::Unseen) & (self.state == TcpState::Established));
        // Who announced no room is probed like one that does not answer (RFC 9293 §3.8.6.1).
        let no_room = self.last.window == 0;
        let bound = select_unpredictable(no_room, lifetimes.retransmitting, Lifetime::MAX);
        let bound = select_unpredictable(waits, lifetimes.unacknowledged, bound);
        let bound = select_unpredictable(repeats_often, lifetimes.retransmitting, bound);
        lifetime.min(bound)
    }

    #[inline]
    fn note_reply(&mut self, from: Direction) {
        if from == Direction::Reply && self.reply == Reply::Unseen {
            self.reply = Reply::Seen;
        }
    }
}
