//! Many channels on one stream, as a machine without IO (seed 001 ¶157-160).
//!
//! A channel is opened by `<PBPeerReq Action="Open">` and is a stream of bytes in each direction.
//! A receiver whose buffer fills says *suspend*, and *resume* when it has been emptied. So that a
//! buffer stays bounded on a long way too, a sender sends at most [`WINDOW`] from one *resume* to
//! the next, and a receiver that keeps up says *resume* in time. Nothing that one channel does
//! keeps another from sending or receiving.
//!
//! Hand in one thing, then drain [`Multiplexer::poll_event`] and [`Multiplexer::poll_frame`].

mod channel_state;

use std::collections::{BTreeMap, VecDeque};

use simopen_protocol::control::{ErrorName, TransactionId};
use simopen_protocol::peer_frame::{ChannelHeader, ChannelNumber, PartA, PeerFrame};
use simopen_protocol::peer_link::{Action, Message, Reply, Request, Response};
use thiserror::Error;

use self::channel_state::ChannelState;
use self::channel_state::Flow;
pub(crate) use self::channel_state::ReadEnd;

/// Channels that one link has at most, of both sides together.
pub(crate) const MAX_CHANNELS: usize = 1024;
/// Bytes that all channels of a link have received and not read: what a thousand suspended ones
/// hold, and what is under way on a long fast path.
pub(crate) const MAX_UNREAD: usize = 64 * 1024 * 1024;
/// Documents that wait to be sent. An honest peer causes fewer.
const MAX_DOCUMENTS: usize = 2 * MAX_CHANNELS + 64;

/// Instant messages that wait to be sent.
const MAX_INSTANTS: usize = 16;

/// The word with which an open is refused that is one too many.
const TOO_MANY: &str = "too-many-channels";

/// All channels of one link, as one side sees them.
#[derive(Debug, Default)]
pub(crate) struct Multiplexer {
    channels: BTreeMap<ChannelNumber, ChannelState>,
    opening: BTreeMap<TransactionId, ChannelNumber>,
    offered: BTreeMap<ChannelNumber, Request>,
    documents: VecDeque<PeerFrame>,
    /// Channels that have to say suspend or resume.
    urgent: VecDeque<ChannelNumber>,
    /// Channels that have data or an end to send, in turn.
    turns: VecDeque<ChannelNumber>,
    events: VecDeque<Event>,
    unread: usize,
    refused: usize,
    next_channel: u32,
    next_transaction: u32,
}

/// Something that became true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The other side has accepted a channel.
    Opened(ChannelNumber),
    /// The other side has refused a channel, which is gone.
    Refused(ChannelNumber, ErrorName),
    /// The other side wants to open a channel.
    Offered(ChannelNumber, String),
    /// There is something to read, or the end.
    Readable(ChannelNumber),
    /// There is room to write, everything is sent, or nobody reads any more.
    Writable(ChannelNumber),
    /// The other side sends an instant message.
    Instant(Vec<u8>),
    /// The other side has answered what was no [`Multiplexer::open`].
    Answered(TransactionId),
}

/// What an honest peer never does; the link is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Violation {
    #[error("the other side sends to a channel that does not exist")]
    UnknownChannel,
    #[error("the other side sends on a channel that it has closed")]
    AfterClose,
    #[error("the other side sends more than it may")]
    TooMuch,
    #[error("the other side asks without end")]
    TooManyRequests,
    #[error("the other side sends a document that is none")]
    Malformed,
}

impl Multiplexer {
    /// Asks the other side for a channel. `None` where there are too many.
    pub(crate) fn open(&mut self, service: &str) -> Option<ChannelNumber> {
        let channel = self.vacant()?;
        self.channels.insert(channel, ChannelState::new(None));
        let id = self.transaction();
        self.opening.insert(id, channel);
        let action = Action::Open { channel, service: service.to_owned() };
        self.say(&Message::Request(Request { id, action, unknown: Vec::new() }), Vec::new());
        Some(channel)
    }

    /// Opens a channel that the other side wants.
    pub(crate) fn accept(&mut self, channel: ChannelNumber) {
        if let Some(request) = self.offered.remove(&channel) {
            self.refused = 0;
            self.answer(&request, Ok(Reply::Opened(channel)));
        }
    }

    /// Refuses a channel that the other side wants.
    pub(crate) fn refuse(&mut self, channel: ChannelNumber, why: &str) {
        if let Some(request) = self.offered.remove(&channel) {
            self.channels.remove(&channel);
            self.answer(&request, Err(ErrorName(why.to_owned())));
        }
    }

    /// Takes bytes to send and says how many it took: zero where there is no room. `None` where
    /// nobody reads them any more.
    pub(crate) fn write(&mut self, channel: ChannelNumber, bytes: &[u8]) -> Option<usize> {
        let state = self.channels.get_mut(&channel)?;
        let taken = state.write(bytes)?;
        self.queue(channel);
        Some(taken)
    }

    /// Ends this side's direction once everything is sent.
    pub(crate) fn finish(&mut self, channel: ChannelNumber) {
        if let Some(state) = self.channels.get_mut(&channel) {
            state.finish();
            self.queue(channel);
        }
    }

    /// Whether everything was sent, the end too.
    pub(crate) fn is_finished(&self, channel: ChannelNumber) -> bool {
        self.channels.get(&channel).is_none_or(ChannelState::is_finished)
    }

    /// Reads received bytes into `buffer` and says how many; or that there are none, or none any
    /// more.
    pub(crate) fn read(
        &mut self,
        channel: ChannelNumber,
        buffer: &mut [u8],
    ) -> Result<usize, ReadEnd> {
        let state = self.channels.get_mut(&channel).ok_or(ReadEnd::Finished)?;
        let length = state.read(buffer)?;
        self.unread -= length;
        if state.wants_more() {
            self.tell(channel, Flow::Resume);
        }
        Ok(length)
    }

    /// Whether the other side has said that the channel broke.
    pub(crate) fn is_broken(&self, channel: ChannelNumber) -> bool {
        self.channels.get(&channel).is_some_and(ChannelState::is_broken)
    }

    /// The channel broke on this side. The other side learns it when this one is abandoned.
    pub(crate) fn break_off(&mut self, channel: ChannelNumber) {
        if let Some(state) = self.channels.get_mut(&channel) {
            state.break_off();
        }
    }

    /// Nobody uses this side of the channel any more. What was written is still sent; what comes is
    /// thrown away. Where it was not finished, the other side learns that it broke.
    pub(crate) fn abandon(&mut self, channel: ChannelNumber) {
        if self.offered.contains_key(&channel) {
            return self.refuse(channel, "refused");
        }
        if let Some(state) = self.channels.get_mut(&channel) {
            self.unread -= state.abandon();
            if state.wants_more() {
                self.tell(channel, Flow::Resume);
            }
            self.queue(channel);
            self.forget_if_over(channel);
        }
    }

    /// Sends an instant message. `false` where several wait already, because the other side does
    /// not read.
    pub(crate) fn instant(&mut self, text: Vec<u8>) -> bool {
        let waiting = self.documents.iter().filter(|document| !document.data.is_empty()).count();
        let has_room = waiting < MAX_INSTANTS;
        if has_room {
            self.say(&Message::Instant, text);
        }
        has_room
    }

    /// Asks the other side whether it is there.
    pub(crate) fn ping(&mut self) -> TransactionId {
        let id = self.transaction();
        let request = Request { id, action: Action::Ping, unknown: Vec::new() };
        self.say(&Message::Request(request), Vec::new());
        id
    }

    /// Takes a frame of the other side.
    ///
    /// # Errors
    ///
    /// [`Violation`] ends the link.
    pub(crate) fn handle_frame(&mut self, frame: PeerFrame) -> Result<(), Violation> {
        let handled = match frame.head {
            PartA::Channel(header) => self.handle_data(header, &frame.data),
            PartA::Document(document) => self.handle_document(&document, frame.data),
        };
        if self.documents.len() > MAX_DOCUMENTS {
            return Err(Violation::TooManyRequests);
        }
        handled
    }

    /// The next frame to send: documents first, then suspend and resume, then data, each channel in
    /// its turn.
    pub(crate) fn poll_frame(&mut self) -> Option<PeerFrame> {
        if let Some(document) = self.documents.pop_front() {
            return Some(document);
        }
        while let Some(channel) = self.urgent.pop_front() {
            if let Some(frame) = self.channels.get_mut(&channel).and_then(|state| {
                let flags = state.poll_flow()?;
                Some(state.frame(channel, flags, Vec::new()))
            }) {
                return Some(frame);
            }
        }
        while let Some(channel) = self.turns.pop_front() {
            let Some(state) = self.channels.get_mut(&channel) else {
                continue;
            };
            let Some((flags, data)) = state.poll_data() else {
                continue;
            };
            let frame = state.frame(channel, flags, data);
            self.events.push_back(Event::Writable(channel));
            self.queue(channel);
            self.forget_if_over(channel);
            return Some(frame);
        }
        None
    }

    /// What became true.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn handle_data(&mut self, header: ChannelHeader, data: &[u8]) -> Result<(), Violation> {
        let channel = header.destination;
        // Whoever was not told the number yet cannot know it.
        let is_offered = self.offered.contains_key(&channel);
        let known = self.channels.get_mut(&channel);
        let known = known.filter(|state| state.remote() == Some(header.source) && !is_offered);
        let Some(state) = known else {
            // What is said of the flow may be late: this side has closed and forgotten the channel.
            return if data.is_empty() { Ok(()) } else { Err(Violation::UnknownChannel) };
        };
        self.unread += state.receive(header.flags, data)?;
        if state.is_full(self.unread) {
            self.tell(channel, Flow::Suspend);
        } else if state.wants_more() {
            // Nobody reads here, and what comes is thrown away.
            self.tell(channel, Flow::Resume);
        }
        for event in [Event::Readable(channel), Event::Writable(channel)] {
            self.events.push_back(event);
        }
        self.queue(channel);
        self.forget_if_over(channel);
        if self.unread > MAX_UNREAD { Err(Violation::TooMuch) } else { Ok(()) }
    }

    fn handle_document(&mut self, document: &[u8], data: Vec<u8>) -> Result<(), Violation> {
        match Message::parse(document) {
            Ok(Message::Request(request)) => self.handle_request(request),
            Ok(Message::Response(response)) => {
                self.handle_response(response);
                Ok(())
            }
            Ok(Message::Instant) => {
                self.events.push_back(Event::Instant(data));
                Ok(())
            }
            Err(error) => {
                let answer = error.answer().ok_or(Violation::Malformed)?;
                self.say(&Message::Response(answer), Vec::new());
                Ok(())
            }
        }
    }

    fn handle_request(&mut self, request: Request) -> Result<(), Violation> {
        let Action::Open { channel: remote, service } = &request.action else {
            // A ping.
            self.answer(&request, Ok(Reply::Done));
            return Ok(());
        };
        let (remote, service) = (*remote, service.clone());
        let Some(channel) = self.vacant() else {
            self.refused += 1;
            if self.refused > MAX_CHANNELS {
                return Err(Violation::TooManyRequests);
            }
            self.answer(&request, Err(ErrorName(TOO_MANY.to_owned())));
            return Ok(());
        };
        self.channels.insert(channel, ChannelState::new(Some(remote)));
        self.offered.insert(channel, request);
        self.events.push_back(Event::Offered(channel, service));
        Ok(())
    }

    fn handle_response(&mut self, response: Response) {
        let Some(id) = response.head.id() else {
            return;
        };
        let Some(channel) = self.opening.remove(&id) else {
            self.events.push_back(Event::Answered(id));
            return;
        };
        match response.result {
            Ok(Reply::Opened(remote)) => {
                if let Some(state) = self.channels.get_mut(&channel) {
                    state.opened(remote);
                    self.events.push_back(Event::Opened(channel));
                    // It may have been given up while it was asked for.
                    self.queue(channel);
                }
            }
            Ok(Reply::Done) => self.not_opened(channel, ErrorName("no-channel".to_owned())),
            Err(name) => self.not_opened(channel, name),
        }
    }

    fn not_opened(&mut self, channel: ChannelNumber, name: ErrorName) {
        self.channels.remove(&channel);
        self.events.push_back(Event::Refused(channel, name));
    }

    fn answer(&mut self, request: &Request, result: Result<Reply, ErrorName>) {
        let response = Response { head: request.head(), result };
        self.say(&Message::Response(response), Vec::new());
    }

    fn say(&mut self, message: &Message, data: Vec<u8>) {
        let head = PartA::Document(message.to_bytes());
        self.documents.push_back(PeerFrame { head, data });
    }

    fn tell(&mut self, channel: ChannelNumber, flow: Flow) {
        if let Some(state) = self.channels.get_mut(&channel)
            && state.tell(flow)
        {
            self.urgent.push_back(channel);
        }
    }

    /// Gives the channel a turn, if it has something to send and none yet.
    fn queue(&mut self, channel: ChannelNumber) {
        if let Some(state) = self.channels.get_mut(&channel)
            && state.take_turn()
        {
            self.turns.push_back(channel);
        }
    }

    fn forget_if_over(&mut self, channel: ChannelNumber) {
        if self.channels.get(&channel).is_some_and(ChannelState::is_over) {
            self.channels.remove(&channel);
        }
    }

    fn vacant(&mut self) -> Option<ChannelNumber> {
        if self.channels.len() >= MAX_CHANNELS {
            return None;
        }
        loop {
            self.next_channel = self.next_channel.wrapping_add(1);
            let channel = ChannelNumber(self.next_channel);
            if !self.channels.contains_key(&channel) {
                return Some(channel);
            }
        }
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction = self.next_transaction.wrapping_add(1);
        TransactionId(self.next_transaction)
    }
}

#[cfg(test)]
mod tests;
