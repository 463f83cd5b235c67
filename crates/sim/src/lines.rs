//! The connections that carry control documents, seen from one of their ends.

use std::collections::BTreeMap;

use simopen_protocol::control::{ControlError, Message};
use simopen_protocol::document::DocumentError;
use simopen_protocol::frame::{self, Decoder};

use crate::host::SocketId;
use crate::trial::Carriage;
use crate::world::Context;

/// Tells the ends of one connection that belong together, where documents do not go by TCP.
pub(crate) type LineNumber = u32;

/// Bytes of a line's number, which is all that its TCP connection then carries.
const NUMBER_LEN: usize = LineNumber::BITS as usize / 8;

/// A document as it is written on the wire.
pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_bytes()).into_owned()
}

/// All lines that end at one host.
#[derive(Debug)]
pub(crate) struct Lines {
    carriage: Carriage,
    lines: BTreeMap<SocketId, Line>,
    /// Documents that leave beside the network.
    departing: Vec<(LineNumber, Message)>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    decoder: Decoder,
    /// Bytes that the socket has not taken yet.
    unsent: Vec<u8>,
    number: Option<LineNumber>,
}

impl Lines {
    pub(crate) fn new(carriage: Carriage) -> Self {
        Self { carriage, lines: BTreeMap::new(), departing: Vec::new(), scratch: Vec::new() }
    }

    /// A connection that this end has dialled stands. `number` is its own.
    pub(crate) fn dialled(
        &mut self,
        socket: SocketId,
        number: LineNumber,
        context: &mut Context<'_>,
    ) {
        self.insert(socket, frame::TO_PEER);
        if self.carriage == Carriage::Streams {
            self.write(socket, &number.to_be_bytes(), context);
            self.named(socket, number);
        }
    }

    /// A connection was accepted at this end.
    pub(crate) fn accepted(&mut self, socket: SocketId) {
        self.insert(socket, frame::BEFORE_LOGIN);
    }

    fn insert(&mut self, socket: SocketId, limit: usize) {
        let line = Line { decoder: Decoder::new(limit), unsent: Vec::new(), number: None };
        self.lines.insert(socket, line);
    }

    fn named(&mut self, socket: SocketId, number: LineNumber) {
        if let Some(line) = self.lines.get_mut(&socket) {
            line.number = Some(number);
        }
    }

    pub(crate) fn contains(&self, socket: SocketId) -> bool {
        self.lines.contains_key(&socket)
    }

    /// The line of that number, once it is known at this end.
    pub(crate) fn by_number(&self, number: LineNumber) -> Option<SocketId> {
        let mut lines = self.lines.iter();
        lines.find(|(_, line)| line.number == Some(number)).map(|(socket, _)| *socket)
    }

    /// Frames may be as long as from a peer that has logged in.
    pub(crate) fn allow_large_frames(&mut self, socket: SocketId) {
        if let Some(line) = self.lines.get_mut(&socket) {
            line.decoder.set_limit(frame::TO_BROKER);
        }
    }

    /// Sends a document.
    pub(crate) fn send(&mut self, socket: SocketId, message: Message, context: &mut Context<'_>) {
        let Some(line) = self.lines.get(&socket) else { return };
        context.log.tell(context.now, context.name, || format!("says {}", text(&message)));
        match (self.carriage, line.number) {
            (Carriage::Bytes, _) => {
                let mut wire = std::mem::take(&mut self.scratch);
                wire.clear();
                frame::encode(&message.to_bytes(), &mut wire);
                self.write(socket, &wire, context);
                self.scratch = wire;
            }
            (Carriage::Streams, Some(number)) => self.departing.push((number, message)),
            // Nothing is said on a line before its other end has said something.
            (Carriage::Streams, None) => {}
        }
    }

    fn write(&mut self, socket: SocketId, bytes: &[u8], context: &mut Context<'_>) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        let written = match line.unsent.is_empty() {
            true => context.host.write(socket, bytes, context.now),
            false => 0,
        };
        line.unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
    }

    /// Writes what sockets did not take before.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) {
        for (socket, line) in &mut self.lines {
            if !line.unsent.is_empty() {
                let written = context.host.write(*socket, &line.unsent, context.now);
                line.unsent.drain(..written.min(line.unsent.len()));
            }
        }
    }

    /// Reads what has come in.
    pub(crate) fn read(&mut self, socket: SocketId, context: &mut Context<'_>) {
        let Some(line) = self.lines.get_mut(&socket) else { return };
        self.scratch.clear();
        context.host.read(socket, &mut self.scratch);
        match self.carriage {
            Carriage::Bytes => line.decoder.push(&self.scratch),
            Carriage::Streams => {
                // It is the first segment's whole payload: nothing else is ever written.
                let number = self.scratch.first_chunk::<NUMBER_LEN>();
                line.number =
                    line.number.or(number.map(|number| LineNumber::from_be_bytes(*number)));
            }
        }
    }

    /// The next whole document that was read.
    pub(crate) fn poll(&mut self, socket: SocketId) -> Option<Result<Message, ControlError>> {
        let line = self.lines.get_mut(&socket)?;
        match line.decoder.poll_frame() {
            Ok(body) => Some(Message::parse(&body?)),
            Err(_) => {
                // The stream cannot be read on.
                line.decoder = Decoder::new(0);
                Some(Err(ControlError::Document(DocumentError::Malformed)))
            }
        }
    }

    /// The next document that leaves beside the network.
    pub(crate) fn poll_departing(&mut self) -> Option<(LineNumber, Message)> {
        if self.departing.is_empty() { None } else { Some(self.departing.remove(0)) }
    }

    /// Closes a line, as a descriptor is closed.
    pub(crate) fn close(&mut self, socket: SocketId, context: &mut Context<'_>) {
        if self.lines.remove(&socket).is_some() {
            context.host.drop_socket(socket);
        }
    }
}
