//! Windows: whether a segment's numbers can belong to the connection.
//!
//! The box sees what was sent, not what arrived, so it keeps bounds for each side: the end of what
//! it sent, how far the other allowed it to send, and the largest window it announced (Guido van
//! Rooij, "Real stateful TCP packet filtering in IP Filter", 2000; with RFC 7323 scaling).

use simopen_packet::{SeqNumber, SynOptions, TcpFlags, TcpSegment};

use super::state::{Direction, TcpState};
use crate::journal::DropReason;

/// How far below the newest byte an acknowledgement may lie, in bytes, where the window is smaller.
const ACK_WINDOW: u32 = 66_000;
/// RFC 7323 §2.3: a shift above 14 counts as 14.
const MAX_SCALE: u8 = 14;

/// What one side sent and announced.
#[derive(Clone, Copy, Default, Hash, Debug)]
pub(crate) struct Seen {
    /// End of the highest segment it sent.
    end: Sequence,
    /// End of what the other side allowed it to send.
    max_end: Sequence,
    /// The largest window it announced, scaled, in bytes; 0 until it has sent.
    max_window: u32,
    /// The highest acknowledgement it sent.
    max_ack: Sequence,
    offer: Offer,
    marks: Marks,
}

/// A sequence number that starts at zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Sequence(SeqNumber);

impl Default for Sequence {
    fn default() -> Self {
        Self(SeqNumber(0))
    }
}

/// What a SYN offered.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Offer {
    /// Window scale, at most 14; 0 where not offered or not agreed.
    scale: u8,
    flags: u8,
}

const SCALES: u8 = 1;
const SACKS: u8 = 2;

/// What else is known of a side, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
struct Marks(u8);

const HAS_ACKNOWLEDGED: u8 = 1;
const WAITS: u8 = 2;
const BEGAN_CLOSING: u8 = 4;
/// Its history is lost: its numbers are not judged.
const UNJUDGED: u8 = 8;

impl Marks {
    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }
}

impl Offer {
    /// No option at all.
    pub(crate) const NOTHING: Self = Self { scale: 0, flags: 0 };

    /// Reads the offer out of a SYN or SYN-ACK; options that cannot be read offer nothing.
    pub(crate) fn of(segment: &TcpSegment<'_>) -> Self {
        let Ok(options) = SynOptions::parse(segment.options) else { return Self::default() };
        let scales = if options.window_scale.is_some() { SCALES } else { 0 };
        let sacks = if options.sack_permitted { SACKS } else { 0 };
        Self { scale: options.window_scale.unwrap_or(0).min(MAX_SCALE), flags: scales | sacks }
    }
}

impl Seen {
    /// A side that has sent nothing.
    pub(crate) const NOTHING: Self = Self {
        end: Sequence(SeqNumber(0)),
        max_end: Sequence(SeqNumber(0)),
        max_window: 0,
        max_ack: Sequence(SeqNumber(0)),
        offer: Offer::NOTHING,
        marks: Marks(0),
    };

    /// The side that sent this first SYN.
    pub(crate) fn of_syn(segment: &TcpSegment<'_>) -> Self {
        let end = segment.sequence + segment.segment_len();
        Self::of_ignored_syn(end, segment.window, Offer::of(segment))
    }

    /// The side whose SYN ended at `end`.
    pub(crate) fn of_ignored_syn(end: SeqNumber, window: u16, offer: Offer) -> Self {
        Self {
            end: Sequence(end),
            max_end: Sequence(end),
            max_window: u32::from(window).max(1),
            offer,
            ..Self::default()
        }
    }

    /// Both sides of a connection that is first seen in its middle.
    pub(crate) fn of_picked_up(segment: &TcpSegment<'_>) -> [Self; 2] {
        let end = segment.sequence + segment.segment_len();
        let window = u32::from(segment.window).max(1);
        let offer = Offer { scale: 0, flags: SACKS };
        let unjudged = Self { offer, marks: Marks(UNJUDGED), ..Self::default() };
        let sender = Self {
            end: Sequence(end),
            max_end: Sequence(end + window),
            max_window: window,
            ..unjudged
        };
        [sender, unjudged]
    }

    /// The highest acknowledgement this side sent: the exact number of an RST that it believes.
    pub(crate) fn acknowledged(&self) -> Option<SeqNumber> {
        self.marks.has(HAS_ACKNOWLEDGED).then_some(self.max_ack.0)
    }

    /// The number after the last one that it sent, if it has sent any.
    pub(crate) fn next(&self) -> Option<SeqNumber> {
        (self.max_window != 0).then_some(self.end.0)
    }

    /// Whether this side sent the first FIN.
    pub(crate) fn began_closing(&self) -> bool {
        self.marks.has(BEGAN_CLOSING)
    }

    /// Notes that this side sent the first FIN.
    pub(crate) fn begin_closing(&mut self) {
        self.marks.0 |= BEGAN_CLOSING;
    }

    /// Whether bytes of this side wait for their acknowledgement.
    #[inline]
    pub(crate) fn waits_for_acknowledgment(&self) -> bool {
        self.marks.has(WAITS)
    }

    /// Starts this side anew from a SYN or SYN-ACK.
    fn start(&mut self, segment: &TcpSegment<'_>, end: SeqNumber) {
        self.end = Sequence(end);
        self.max_end = Sequence(end);
        self.max_window = u32::from(segment.window).max(1);
        // A SYN without any option takes nothing back of what an earlier one offered.
        if !segment.options.is_empty() {
            self.offer = Offer::of(segment);
            self.marks.0 &= UNJUDGED;
        }
    }

    /// Forgets all that this side sent, but not that its history is lost.
    pub(crate) fn forget(&mut self) {
        *self = Self { marks: Marks(self.marks.0 & UNJUDGED), ..Self::NOTHING };
    }
}

/// Whether numbers outside the windows are forgiven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Liberality {
    Strict,
    Liberal,
}

/// What the windows say of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WindowVerdict {
    Accepted,
    /// It does not fit, which is held against nobody: the bounds stay where they are.
    Forgiven,
    /// An old copy, or a little more than was allowed: it passes and changes nothing.
    Ignored,
    Invalid(DropReason),
}

/// Judges a segment and, if it fits, moves the bounds.
#[inline(always)]
pub(crate) fn check(
    seen: &mut [Seen; 2],
    segment: &TcpSegment<'_>,
    from: Direction,
    state: TcpState,
    liberality: Liberality,
) -> WindowVerdict {
    let [original, reply] = seen;
    let (sender, receiver) = match from {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    let numbers = Numbers::of(segment, receiver);
    let is_syn = segment.flags.contains(TcpFlags::SYN);
    if (is_syn || sender.max_window == 0)
        && begin(sender, receiver, *segment, numbers, from, state) == Begun::Settled
    {
        return WindowVerdict::Accepted;
    }
    let numbers = numbers.completed(segment, sender, receiver, state);
    let verdict = judge(sender, receiver, &numbers);
    let WindowVerdict::Accepted = verdict else {
        return outside(verdict, sender, receiver, numbers, liberality);
    };
    update(sender, receiver, segment, &numbers);
    WindowVerdict::Accepted
}

/// What a segment outside the windows comes to.
#[cold]
fn outside(
    verdict: WindowVerdict,
    sender: &mut Seen,
    receiver: &Seen,
    numbers: Numbers,
    liberality: Liberality,
) -> WindowVerdict {
    let overshoots = overshoots_a_little(sender, receiver, &numbers);
    if overshoots {
        // The excess passes: its acknowledgement must not look like one of bytes never sent.
        sender.end = Sequence(numbers.end);
        sender.marks.0 |= WAITS;
    }
    if liberality == Liberality::Liberal || sender.marks.has(UNJUDGED) {
        return WindowVerdict::Forgiven;
    }
    if overshoots { WindowVerdict::Ignored } else { verdict }
}

/// Whether the first segment of a side needs no further check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Settled,
    ToBeJudged,
}

/// The first segment of a side, or another SYN.
#[cold]
fn begin(
    sender: &mut Seen,
    receiver: &mut Seen,
    segment: TcpSegment<'_>,
    numbers: Numbers,
    from: Direction,
    state: TcpState,
) -> Begun {
    if !segment.flags.contains(TcpFlags::SYN) {
        start_in_the_middle(sender, receiver, &numbers);
        return Begun::ToBeJudged;
    }
    if !starts_side(sender, &numbers, state) {
        return Begun::ToBeJudged;
    }
    sender.start(&segment, numbers.end);
    if from == Direction::Original {
        return Begun::ToBeJudged;
    }
    agree_on_scale(sender, receiver);
    if segment.flags.contains(TcpFlags::ACK) { Begun::ToBeJudged } else { Begun::Settled }
}

/// The numbers of a segment as the checks use them.
#[derive(Clone, Copy)]
struct Numbers {
    sequence: SeqNumber,
    end: SeqNumber,
    acknowledgment: SeqNumber,
    /// The highest number acknowledged, selectively or not.
    highest_ack: SeqNumber,
    window: u32,
}

impl Numbers {
    #[inline(always)]
    fn of(segment: &TcpSegment<'_>, receiver: &Seen) -> Self {
        let acknowledgment = segment.acknowledgment;
        let mut highest_ack = acknowledgment;
        if receiver.offer.flags & SACKS != 0 {
            highest_ack = highest_sack(segment.options, acknowledgment);
        }
        Self {
            sequence: segment.sequence,
            end: segment.sequence + segment.segment_len(),
            acknowledgment,
            highest_ack,
            window: u32::from(segment.window),
        }
    }

    /// Fills in what the segment leaves out: no ACK, an RST with a zero ACK, an RST that answers a
    /// SYN with sequence number zero.
    #[inline(always)]
    fn completed(
        mut self,
        segment: &TcpSegment<'_>,
        sender: &Seen,
        receiver: &Seen,
        state: TcpState,
    ) -> Self {
        let is_reset = segment.flags.contains(TcpFlags::RST);
        let lacks_ack = !segment.flags.contains(TcpFlags::ACK);
        if lacks_ack || (is_reset && segment.acknowledgment == SeqNumber(0)) {
            self.acknowledgment = receiver.end.0;
            self.highest_ack = receiver.end.0;
        }
        if is_reset && self.sequence == SeqNumber(0) && state == TcpState::SynSent {
            self.sequence = sender.end.0;
            self.end = sender.end.0;
        }
        self
    }
}

/// A SYN starts its side if that has sent nothing, or goes on from newer numbers while the
/// handshake lasts.
fn starts_side(sender: &Seen, numbers: &Numbers, state: TcpState) -> bool {
    sender.max_window == 0
        || (sender.end.0.precedes(numbers.end)
            && matches!(state, TcpState::SynSent | TcpState::SynReceived))
}

/// RFC 7323 §2.2: both SYNs must carry the option, else no window is scaled.
fn agree_on_scale(sender: &mut Seen, receiver: &mut Seen) {
    if sender.offer.flags & receiver.offer.flags & SCALES == 0 {
        sender.offer.scale = 0;
        receiver.offer.scale = 0;
    }
}

/// The side speaks for the first time, and not with a SYN: its segment is believed.
fn start_in_the_middle(sender: &mut Seen, receiver: &mut Seen, numbers: &Numbers) {
    sender.end = Sequence(numbers.end);
    sender.max_window = (numbers.window << sender.offer.scale).max(1);
    sender.max_end = Sequence(numbers.end + sender.max_window);
    if receiver.max_window == 0 {
        receiver.end = Sequence(numbers.highest_ack);
        receiver.max_end = receiver.end;
    } else if numbers.highest_ack == receiver.end.0 + 1 {
        // An answer to a keepalive.
        receiver.end = Sequence(receiver.end.0 + 1);
    }
}

#[inline(always)]
fn judge(sender: &Seen, receiver: &Seen, numbers: &Numbers) -> WindowVerdict {
    if !numbers.sequence.at_or_precedes(sender.max_end.0) {
        return WindowVerdict::Invalid(DropReason::OutOfWindow);
    }
    if !numbers.highest_ack.at_or_precedes(receiver.end.0) {
        return WindowVerdict::Invalid(DropReason::AckOutOfWindow);
    }
    let in_window = receiver.max_window == 0 || ends_in_window(sender, receiver, numbers);
    if !in_window || !ack_is_recent(sender, receiver, numbers) {
        return WindowVerdict::Ignored;
    }
    WindowVerdict::Accepted
}

#[inline(always)]
fn ends_in_window(sender: &Seen, receiver: &Seen, numbers: &Numbers) -> bool {
    (sender.end.0 - receiver.max_window).at_or_precedes(numbers.end)
}

#[inline(always)]
fn ack_is_recent(sender: &Seen, receiver: &Seen, numbers: &Numbers) -> bool {
    (receiver.end.0 - sender.max_window.max(ACK_WINDOW)).at_or_precedes(numbers.highest_ack)
}

/// Whether a side sent a little more than it was allowed, and all else fits.
fn overshoots_a_little(sender: &Seen, receiver: &Seen, numbers: &Numbers) -> bool {
    let overshoot = (numbers.end + 1).distance_from(sender.max_end.0);
    !numbers.sequence.at_or_precedes(sender.max_end.0)
        && receiver.max_window != 0
        && ends_in_window(sender, receiver, numbers)
        && ack_is_recent(sender, receiver, numbers)
        && overshoot <= receiver.max_window
        && numbers.highest_ack.at_or_precedes(receiver.end.0)
}

#[inline(always)]
fn update(sender: &mut Seen, receiver: &mut Seen, segment: &TcpSegment<'_>, numbers: &Numbers) {
    let mut window = numbers.window;
    if !segment.flags.contains(TcpFlags::SYN) {
        window <<= sender.offer.scale;
    }
    let sacked = numbers.highest_ack.distance_from(numbers.acknowledgment);
    sender.max_window = sender.max_window.max(window.wrapping_add(sacked));
    if sender.end.0.precedes(numbers.end) {
        sender.end = Sequence(numbers.end);
        sender.marks.0 |= WAITS;
    }
    if segment.flags.contains(TcpFlags::ACK) {
        let newer = !sender.marks.has(HAS_ACKNOWLEDGED)
            || sender.max_ack.0.precedes(numbers.acknowledgment);
        if newer {
            sender.max_ack = Sequence(numbers.acknowledgment);
            sender.marks.0 |= HAS_ACKNOWLEDGED;
        }
    }
    if receiver.max_window != 0 && sender.max_end.0.precedes(numbers.end) {
        let excess = numbers.end.distance_from(sender.max_end.0);
        receiver.max_window = receiver.max_window.wrapping_add(excess);
    }
    let allowed = numbers.highest_ack + window;
    if receiver.max_end.0.at_or_precedes(allowed) {
        receiver.max_end = Sequence(if window == 0 { allowed + 1 } else { allowed });
    }
    if numbers.acknowledgment == receiver.end.0 {
        receiver.marks.0 &= !WAITS;
    }
}

/// The highest right edge of the SACK blocks among the options (RFC 2018 §3), at least `ack`.
#[inline]
fn highest_sack(options: &[u8], ack: SeqNumber) -> SeqNumber {
    // By far the most common: nothing but timestamps.
    if options.is_empty() || (options.len() == 12 && options.starts_with(&[1, 1, 8, 10])) {
        return ack;
    }
    search_sack(options, ack)
}

#[inline(never)]
fn search_sack(options: &[u8], ack: SeqNumber) -> SeqNumber {
    let highest = ack;
    let mut rest = options;
    loop {
        rest = match rest {
            [] | [0, ..] => return highest,
            [1, tail @ ..] => tail,
            [kind, length, ..] => {
                let Some((option, tail)) = rest.split_at_checked(usize::from(*length)) else {
                    return highest;
                };
                let [_, _, blocks @ ..] = option else { return highest };
                if *kind == 5 {
                    return blocks.chunks_exact(8).fold(highest, later_right_edge);
                }
                tail
            }
            [_] => return highest,
        };
    }
}

fn later_right_edge(highest: SeqNumber, block: &[u8]) -> SeqNumber {
    let [_, _, _, _, right @ ..] = block else { return highest };
    let Ok(right) = <[u8; 4]>::try_from(right) else { return highest };
    highest.max(SeqNumber(u32::from_be_bytes(right)))
}
