//! One channel: what waits in each direction, and who may send.

use std::collections::VecDeque;

use simopen_protocol::peer_frame::{ChannelHeader, ChannelNumber, Flags, PartA, PeerFrame};

use super::{MAX_UNREAD, Violation};

/// Bytes that a sender sends at most from one *resume* to the next; from the opening to the first
/// too. At 100 ms of round trip that is 10 MB/s and more.
pub(super) const WINDOW: usize = 1024 * 1024;
/// Unread bytes at which a receiver says *suspend*.
const HIGH: usize = 256 * 1024;
/// The same on a link of which a quarter of what may be unread is unread.
const HIGH_WHEN_CROWDED: usize = 32 * 1024;
/// Unread bytes at which it says *resume*.
const LOW: usize = 16 * 1024;
/// Unread bytes that no honest sender comes near: it has at most one [`WINDOW`] under way, and one
/// more for each *resume* that is.
pub(super) const MOST: usize = MAX_UNREAD / 4;
/// Bytes that wait to be sent.
const OUTGOING: usize = 64 * 1024;
/// Bytes of one channel in one frame, so that the next channel has its turn soon.
const CHUNK: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct ChannelState {
    /// The other side's number, once it is known.
    remote: Option<ChannelNumber>,
    incoming: VecDeque<u8>,
    outgoing: VecDeque<u8>,
    own: Direction,
    theirs: Direction,
    /// The other side has said *suspend*.
    is_suspended: bool,
    /// How many bytes may go out before the next *resume*.
    allowance: usize,
    /// This side has said *suspend*.
    has_suspended: bool,
    /// Bytes read since this side has said *resume*.
    read_since: usize,
    /// What is to be said, and has not been.
    flow: Option<Flow>,
    user: User,
    breach: Breach,
    has_turn: bool,
}

/// What a receiver tells a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Suspend,
    Resume,
}

/// Why nothing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// Nothing has come yet.
    Empty,
    /// Nothing will come any more.
    Finished,
    /// Nothing will come any more, and what came was not all.
    Broken,
}

/// Whether a channel broke, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    None,
    /// Here: the other side is told when everything is sent.
    Here,
    /// At the other side, which has said so.
    There,
}

/// How far one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    /// It ends when everything is sent.
    Ending,
    Ended,
}

/// Whether anybody holds this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Present,
    /// Nobody does, and the other side is to be told.
    Gone,
    /// Nobody does, and the other side knows.
    GoneKnown,
}

impl ChannelState {
    pub(super) fn new(remote: Option<ChannelNumber>) -> Self {
        Self {
            remote,
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            own: Direction::Open,
            theirs: Direction::Open,
            is_suspended: false,
            allowance: WINDOW,
            has_suspended: false,
            read_since: 0,
            flow: None,
            user: User::Present,
            breach: Breach::None,
            has_turn: false,
        }
    }

    pub(super) const fn remote(&self) -> Option<ChannelNumber> {
        self.remote
    }

    pub(super) const fn opened(&mut self, remote: ChannelNumber) {
        self.remote = Some(remote);
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.own != Direction::Open {
            return None;
        }
        let taken = bytes.len().min(OUTGOING - self.outgoing.len());
        self.outgoing.extend(bytes.iter().take(taken));
        Some(taken)
    }

    pub(super) fn finish(&mut self) {
        if self.own == Direction::Open {
            self.own = Direction::Ending;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.own == Direction::Ended
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadEnd> {
        if self.incoming.is_empty() {
            return Err(match self.theirs {
                Direction::Open | Direction::Ending => ReadEnd::Empty,
                Direction::Ended if self.is_broken() => ReadEnd::Broken,
                Direction::Ended => ReadEnd::Finished,
            });
        }
        let length = buffer.len().min(self.incoming.len());
        for (place, byte) in buffer.iter_mut().zip(self.incoming.drain(..length)) {
            *place = byte;
        }
        self.took(length);
        Ok(length)
    }

    fn took(&mut self, length: usize) {
        self.read_since += length;
        if self.incoming.is_empty() {
            // A thousand quiet channels hold nothing.
            self.incoming = VecDeque::new();
        }
    }

    /// Whether the other side is to be told to go on.
    pub(super) fn wants_more(&self) -> bool {
        self.theirs == Direction::Open
            && self.incoming.len() <= LOW
            && (self.has_suspended || self.read_since >= WINDOW / 2)
    }

    /// Whether the other side is to be told to stop, when so much is unread on the whole link.
    pub(super) fn is_full(&self, unread: usize) -> bool {
        let high = if unread < MAX_UNREAD / 4 { HIGH } else { HIGH_WHEN_CROWDED };
        self.theirs == Direction::Open && !self.has_suspended && self.incoming.len() > high
    }

    /// Whether the other side has said that it broke.
    pub(super) fn is_broken(&self) -> bool {
        self.breach == Breach::There
    }

    /// It broke here.
    pub(super) fn break_off(&mut self) {
        if self.breach == Breach::None {
            self.breach = Breach::Here;
        }
    }

    /// Nobody reads or writes any more; says how much was unread. What was not finished broke.
    pub(super) fn abandon(&mut self) -> usize {
        let unread = self.incoming.len();
        self.incoming.clear();
        self.took(unread);
        if self.own == Direction::Open {
            self.break_off();
        }
        self.finish();
        if self.user == User::Present {
            self.user = User::Gone;
        }
        unread
    }

    /// Takes what came, and says how much of it is kept to be read.
    pub(super) fn receive(&mut self, flags: Flags, data: &[u8]) -> Result<usize, Violation> {
        let is_abort = flags.contains(Flags::ABORT);
        if self.theirs == Direction::Ended && (!data.is_empty() || flags == Flags::CLOSE) {
            return Err(Violation::AfterClose);
        }
        let kept = if self.user == User::Present { data.len() } else { 0 };
        if kept == 0 {
            self.read_since += data.len();
        } else {
            self.incoming.extend(data);
        }
        if self.incoming.len() > MOST {
            return Err(Violation::TooMuch);
        }
        if flags.contains(Flags::CLOSE) {
            self.theirs = Direction::Ended;
        }
        if flags.contains(Flags::BREAK) {
            self.breach = Breach::There;
        }
        if is_abort {
            // Nobody reads there: what waits is of no use.
            self.outgoing = VecDeque::new();
            self.finish();
        } else if flags.contains(Flags::SUSPEND) {
            self.is_suspended = true;
        } else if flags.contains(Flags::RESUME) {
            self.is_suspended = false;
            self.allowance = WINDOW;
        }
        Ok(kept)
    }

    /// Notes what is to be told; whether that was not to be told yet.
    pub(super) fn tell(&mut self, flow: Flow) -> bool {
        self.has_suspended = flow == Flow::Suspend;
        if flow == Flow::Resume {
            self.read_since = 0;
        }
        self.flow.replace(flow).is_none()
    }

    /// What is to be told, once.
    pub(super) fn poll_flow(&mut self) -> Option<Flags> {
        self.flow.take().map(|flow| match flow {
            Flow::Suspend => Flags::SUSPEND,
            Flow::Resume => Flags::RESUME,
        })
    }

    /// Whether there is something to send, and no turn for it yet; there is one then.
    pub(super) fn take_turn(&mut self) -> bool {
        let is_due = self.can_send() || self.can_end() || self.can_leave();
        let takes = is_due && !self.has_turn && self.remote.is_some();
        self.has_turn |= takes;
        takes
    }

    /// What is sent in a turn.
    pub(super) fn poll_data(&mut self) -> Option<(Flags, Vec<u8>)> {
        self.has_turn = false;
        let mut data = Vec::new();
        if self.can_send() {
            let length = CHUNK.min(self.allowance).min(self.outgoing.len());
            data.extend(self.outgoing.drain(..length));
            self.allowance -= length;
            if self.outgoing.is_empty() {
                self.outgoing = VecDeque::new();
            }
        }
        let mut flags = Flags::NONE;
        if self.can_end() {
            self.own = Direction::Ended;
            flags = Flags::CLOSE;
        }
        if self.can_leave() {
            self.user = User::GoneKnown;
            // Whoever has ended its own direction already needs no such word.
            if self.breach == Breach::Here {
                flags = Flags::BREAK;
            } else if self.theirs != Direction::Ended || flags == Flags::CLOSE {
                flags = Flags::ABORT;
            }
        }
        (flags != Flags::NONE || !data.is_empty()).then_some((flags, data))
    }

    pub(super) fn frame(&self, own: ChannelNumber, flags: Flags, data: Vec<u8>) -> PeerFrame {
        let destination = self.remote.unwrap_or(own);
        PeerFrame { head: PartA::Channel(ChannelHeader { flags, source: own, destination }), data }
    }

    /// Whether neither side has anything to say, and nobody holds this side.
    pub(super) fn is_over(&self) -> bool {
        let ended = self.own == Direction::Ended && self.theirs == Direction::Ended;
        ended && self.user != User::Present
    }

    fn can_send(&self) -> bool {
        !self.outgoing.is_empty() && !self.is_suspended && self.allowance > 0
    }

    fn can_end(&self) -> bool {
        self.own == Direction::Ending && self.outgoing.is_empty()
    }

    /// The other side learns that nobody is here any more after all that was written.
    fn can_leave(&self) -> bool {
        self.user == User::Gone && self.own == Direction::Ended
    }
}
