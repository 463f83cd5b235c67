//! One connection: a socket of smoltcp, how it reads on the wire, and what its owner was told.

use std::collections::VecDeque;
use std::net::SocketAddr;

use simopen_packet::{Packet, SeqNumber, Syn, SynOptions, TcpBuilder, TcpFlags, Timestamp, Ttl};
use simopen_traversal::DialOutcome;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

use super::dialect::Dialect;
use super::engine::{Edit, Engine};
use super::handshake::Handshake;
use super::outbox::Outbox;
use super::round_trip::{Flight, RoundTrip};
use super::{HostEvent, SocketId};
use crate::stack::Stack;

/// Bytes that a socket holds for its reader, and for its peer until they are acknowledged. A
/// window never exceeds it, so no flight does.
const BUFFER: usize = 8 * 1024;
/// Bytes of the largest segment that is full in either IP version, with timestamps.
const SEGMENT: u32 = 1448;
/// Bytes that wait for room in the socket.
const UNSENT: usize = 1024 * 1024;

/// How a connection came about.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// By a dial; `watched` ones tell of each SYN.
    Dialled { watched: bool, shielded: bool },
    /// By a SYN that came to a listener.
    Accepted { listener: SocketId, syn: Option<Syn> },
    /// By being put together outside.
    Installed,
}

/// What both sides said when the connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synchronized {
    /// The own endpoint.
    pub local: SocketAddr,
    /// The other one, as it is seen here.
    pub remote: SocketAddr,
    /// The own initial sequence number, as it left.
    pub own: SeqNumber,
    /// The other side's, as it came.
    pub peer: SeqNumber,
    /// The largest segment that the other side takes, where it said so, in bytes.
    pub mss: Option<u16>,
    /// The own shift count and the other side's, where windows are scaled.
    pub window_scale: Option<[u8; 2]>,
    /// Whether both know selective acknowledgments.
    pub sack: bool,
    /// Whether both send timestamps.
    pub timestamps: bool,
}

/// What a connection may touch while it is turned.
pub(super) struct Turn<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) outbox: &'a mut Outbox,
    pub(super) events: &'a mut VecDeque<HostEvent>,
    pub(super) now: Timestamp,
}

/// One connection.
pub(super) struct Connection {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) origin: Origin,
    stack: Stack,
    pub(super) ttl: Ttl,
    pub(super) dialect: Dialect,
    /// What the shim has to do until the connection is open.
    pub(super) handshake: Option<Handshake>,
    /// What both SYNs said, as far as they are known.
    pub(super) said: [Option<(SeqNumber, SynOptions)>; 2],
    pub(super) trip: RoundTrip,
    /// The last window of the other side, as it stood in the header.
    pub(super) peer_window: u16,
    /// When Linux last answered what it calls out of window.
    pub(super) answered_out_of_window: Option<Timestamp>,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    due: Option<Timestamp>,
    unsent: VecDeque<u8>,
    progress: Progress,
    told: Told,
    /// Whether the owner closed its half, and whether it let go of the socket.
    closing: bool,
    dropped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Opening,
    Open,
    Over,
}

/// What the owner knows already.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    readable: bool,
    closed: bool,
}

impl Connection {
    /// A connection without anything sent or received.
    pub(super) fn new(
        id: SocketId,
        [local, remote]: [SocketAddr; 2],
        origin: Origin,
        stack: Stack,
    ) -> Self {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        if stack == Stack::Linux || matches!(origin, Origin::Installed) {
            // Room for the option, where it is agreed; what it says is the dialect's.
            socket.set_tsval_generator(Some(|| 0));
        }
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let socket = sockets.add(socket);
        Self {
            id,
            local,
            remote,
            origin,
            stack,
            ttl: Ttl::DEFAULT,
            dialect: Dialect::verbatim(),
            handshake: None,
            said: [None; 2],
            trip: RoundTrip::default(),
            peer_window: 0,
            answered_out_of_window: None,
            sockets,
            socket,
            due: None,
            unsent: VecDeque::new(),
            progress: Progress::Opening,
            told: Told::default(),
            closing: false,
            dropped: false,
        }
    }

    pub(super) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// Lets the socket listen for the one SYN that is about to be fed.
    pub(super) fn expect_syn(&mut self) {
        let local = self.local;
        // A fresh socket listens on any port but zero, and packets for that are dropped before.
        let _ = self.socket().listen(local);
    }

    /// Lets the socket dial; whether it could.
    pub(super) fn connect(&mut self, engine: &mut Engine) -> bool {
        let (remote, local) = (self.remote, self.local);
        let socket: &mut Socket<'static> = self.sockets.get_mut(self.socket);
        socket.connect(engine.interface.context(), remote, local).is_ok()
    }

    /// The next packet of the socket, for the shim alone.
    pub(super) fn draw<'a>(&mut self, engine: &'a mut Engine, now: Timestamp) -> Option<&'a [u8]> {
        engine.draw(&mut self.sockets, now)
    }

    /// Gives the socket a packet whose answer is the shim's.
    pub(super) fn feed(&mut self, engine: &mut Engine, packet: &[u8], now: Timestamp) {
        engine.feed(&mut self.sockets, packet, 0, Edit::default(), now);
    }

    /// Gives the socket a packet, and sends what it answers.
    pub(super) fn process(
        &mut self,
        bytes: &[u8],
        packet: &Packet<'_>,
        edit: Edit,
        turn: &mut Turn<'_>,
    ) {
        let header = packet.ip.header_len;
        if let Some(answer) = turn.engine.feed(&mut self.sockets, bytes, header, edit, turn.now) {
            let ttls = self.ttls();
            let mut sender = Sender::of(&mut self.dialect, &mut self.trip, ttls);
            sender.send(answer, turn.outbox, turn.now);
        }
        self.advance(turn);
    }

    /// The TTL of bare SYNs, and of all other packets. Who keeps ICMP errors away from a socket
    /// sets the TTL of its SYNs, and of nothing else.
    pub(super) const fn ttls(&self) -> [Ttl; 2] {
        match self.origin {
            Origin::Dialled { shielded: true, .. } => [self.ttl, Ttl::DEFAULT],
            Origin::Dialled { shielded: false, .. }
            | Origin::Accepted { .. }
            | Origin::Installed => [self.ttl; 2],
        }
    }

    /// Sends an acknowledgment that carries nothing else.
    pub(super) fn acknowledge(&mut self, turn: &mut Turn<'_>) {
        self.acknowledge_twice(None, turn);
    }

    /// The same, with what came twice.
    pub(super) fn acknowledge_twice(&mut self, twice: Option<[SeqNumber; 2]>, turn: &mut Turn<'_>) {
        let ends = [self.local, self.remote];
        let (dialect, [_, ttl], now) = (&self.dialect, self.ttls(), turn.now);
        turn.outbox.write(|into| dialect.acknowledge(ends, ttl, twice, now, into));
    }

    /// A segment for this connection came.
    pub(super) fn handle(&mut self, bytes: &[u8], packet: &Packet<'_>, turn: &mut Turn<'_>) {
        let Some(segment) = packet.tcp() else {
            return;
        };
        if self.handshake.is_some() {
            return self.handle_opening(bytes, packet, segment, turn);
        }
        if self.stack == Stack::Linux {
            return self.handle_synchronized(bytes, packet, segment, turn);
        }
        self.trip.acknowledged(segment.acknowledgment, turn.now);
        if segment.flags.contains(TcpFlags::SYN) {
            let options = SynOptions::parse(segment.options).unwrap_or_default();
            self.said[1].get_or_insert((segment.sequence, options));
        }
        let edit = Edit {
            acknowledgment: Some(self.dialect.inner(segment.acknowledgment)),
            ..Edit::default()
        };
        self.process(bytes, packet, edit, turn);
    }

    /// A moment came for which this connection may have asked.
    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if self.due.is_none_or(|due| turn.now < due) {
            return;
        }
        if self.handshake.is_some() {
            self.repeat_opening(turn);
        }
        let sent_again = self.trip.sent_again;
        self.advance(turn);
        if self.trip.due().is_some_and(|due| due <= turn.now) && self.times_out_itself() {
            if self.trip.sent_again == sent_again {
                self.repeat_first(turn);
            }
            self.trip.back_off(self.dialect.sack, turn.now);
            self.advance(turn);
        }
    }

    /// Whether it is the shim that knows when to send again: smoltcp waits a second at least. A
    /// FIN alone is smoltcp's, which would not send it again before its own time.
    fn times_out_itself(&self) -> bool {
        self.stack == Stack::Linux
            && self.progress == Progress::Open
            && self.sockets.get::<Socket<'static>>(self.socket).send_queue() > 0
    }

    /// Makes smoltcp send the first unacknowledged segment again: it does when the same
    /// acknowledgment comes three times (RFC 5681 §3.2). One with another window begins the count.
    fn repeat_first(&mut self, turn: &mut Turn<'_>) {
        // A window of zero too: smoltcp forgets to probe one that closes over what is on the way.
        let window = self.peer_window;
        let another = if window == u16::MAX { window - 1 } else { window + 1 };
        for window in [window, another, another, another, another] {
            let acknowledgment = TcpBuilder {
                source: self.remote,
                destination: self.local,
                ttl: Ttl::DEFAULT,
                sequence: self.dialect.taken,
                acknowledgment: self.dialect.inner(self.dialect.unacknowledged),
                flags: TcpFlags::ACK,
                window,
            };
            let mut packet = [0; 60];
            if let Ok(length) = acknowledgment.emit(&[], &[], &mut packet) {
                self.feed(turn.engine, &packet[..length], turn.now);
            }
        }
    }

    /// How much is on the way.
    fn flight(&self) -> Flight {
        match self.dialect.next.distance_from(self.dialect.unacknowledged) {
            0 => Flight::Empty,
            bytes if bytes <= SEGMENT => Flight::One,
            _ => Flight::More,
        }
    }

    /// What was sent or acknowledged begins the wait anew.
    pub(super) fn rearm(&mut self, now: Timestamp) {
        self.trip.rearm(self.flight(), now);
    }

    /// Sends what is due, and says what became true.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>) {
        let mut due = None;
        if self.handshake.is_none() {
            self.refill();
            due = self.drain(turn);
        }
        self.settle(turn);
        self.due = match &self.handshake {
            Some(handshake) => Some(handshake.due()),
            None if self.times_out_itself() => self.trip.due().or(due),
            None => due,
        };
    }

    /// Moves what waits into the socket, and closes it when nothing waits any more.
    fn refill(&mut self) {
        if self.unsent.is_empty() && !self.closing {
            return;
        }
        let socket: &mut Socket<'static> = self.sockets.get_mut(self.socket);
        while socket.can_send() {
            let (waiting, _) = self.unsent.as_slices();
            let Ok(moved @ 1..) = socket.send_slice(waiting) else {
                break;
            };
            self.unsent.drain(..moved);
        }
        if self.closing && self.unsent.is_empty() {
            socket.close();
        }
    }

    /// Sends all that smoltcp wants to send now; when it wants to be asked again.
    fn drain(&mut self, turn: &mut Turn<'_>) -> Option<Timestamp> {
        let watched = matches!(self.origin, Origin::Dialled { watched: true, .. });
        let (before, ttls) = (self.dialect.next, self.ttls());
        let due = loop {
            let due = turn.engine.due(&self.sockets, turn.now);
            if due.is_none_or(|due| due > turn.now) {
                break due;
            }
            let Some(packet) = turn.engine.draw(&mut self.sockets, turn.now) else {
                // It may have closed meanwhile. Whoever wants to speak and does not, waits.
                let due = turn.engine.due(&self.sockets, turn.now);
                break due.filter(|due| *due > turn.now);
            };
            let mut sender = Sender::of(&mut self.dialect, &mut self.trip, ttls);
            if let Some(said) = sender.send(packet, turn.outbox, turn.now) {
                self.said[0] = Some(said);
                if watched {
                    let packet = turn.outbox.last().to_vec();
                    turn.events.push_back(HostEvent::SynSent { socket: self.id, packet });
                }
            }
        };
        if self.dialect.next != before {
            self.rearm(turn.now);
        }
        due
    }

    /// Says what became true.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        let socket: &Socket<'static> = self.sockets.get(self.socket);
        let (state, may_receive, can_receive) =
            (socket.state(), socket.may_recv(), socket.can_recv());
        let opening = matches!(state, State::SynSent | State::SynReceived);
        if self.progress == Progress::Opening && !opening {
            match state {
                State::Closed | State::Listen => return self.fail(DialOutcome::Refused, turn),
                State::Established
                | State::CloseWait
                | State::FinWait1
                | State::FinWait2
                | State::Closing
                | State::LastAck
                | State::TimeWait => self.open(turn),
                State::SynSent | State::SynReceived => {}
            }
        }
        if self.progress != Progress::Open || self.dropped {
            self.forget_when_over(state);
            return;
        }
        if can_receive && !self.told.readable {
            self.told.readable = true;
            turn.events.push_back(HostEvent::Readable(self.id));
        }
        if !may_receive && !self.told.closed {
            self.told.closed = true;
            turn.events.push_back(HostEvent::Closed(self.id));
        }
    }

    fn forget_when_over(&mut self, state: State) {
        if self.dropped && state == State::Closed {
            self.progress = Progress::Over;
        }
    }

    /// The connection is open.
    pub(super) fn open(&mut self, turn: &mut Turn<'_>) {
        self.progress = Progress::Open;
        self.handshake = None;
        turn.events.push_back(match &self.origin {
            Origin::Accepted { listener, syn } => HostEvent::Accepted {
                listener: *listener,
                socket: self.id,
                remote: self.remote,
                syn: *syn,
            },
            Origin::Dialled { .. } => HostEvent::Established(self.id),
            Origin::Installed => return,
        });
    }

    /// The connection has come to nothing, or to an end.
    pub(super) fn fail(&mut self, outcome: DialOutcome, turn: &mut Turn<'_>) {
        let was = std::mem::replace(&mut self.progress, Progress::Over);
        let event = match (was, &self.origin) {
            (Progress::Open, _) => HostEvent::Reset(self.id),
            (Progress::Opening, Origin::Dialled { .. }) => HostEvent::Failed(self.id, outcome),
            (Progress::Opening, Origin::Accepted { .. } | Origin::Installed)
            | (Progress::Over, _) => return,
        };
        if !self.dropped {
            turn.events.push_back(event);
        }
    }

    /// Whether nobody will ever read what comes.
    pub(super) const fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// The connection is forgotten.
    pub(super) const fn forget(&mut self) {
        self.progress = Progress::Over;
    }

    pub(super) fn is_in_time_wait(&self) -> bool {
        self.sockets.get::<Socket<'static>>(self.socket).state() == State::TimeWait
    }

    pub(super) fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(super) fn write(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> usize {
        if self.closing {
            return 0;
        }
        let taken = bytes.len().min(UNSENT - self.unsent.len());
        self.unsent.extend(&bytes[..taken]);
        self.advance(turn);
        taken
    }

    pub(super) fn read(&mut self, into: &mut Vec<u8>, turn: &mut Turn<'_>) {
        self.told.readable = false;
        let socket = self.socket();
        while socket.can_recv() {
            let copied = socket.recv(|bytes| {
                into.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            if !matches!(copied, Ok(1..)) {
                break;
            }
        }
        self.advance(turn);
    }

    /// Closes the own half, once all that was written has left.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>) {
        self.closing = true;
        self.advance(turn);
    }

    /// The owner lets go: what was written still leaves, and nothing is told any more.
    pub(super) fn drop_socket(&mut self, turn: &mut Turn<'_>) {
        self.dropped = true;
        if self.progress == Progress::Open {
            if self.stack == Stack::Linux && self.socket().can_recv() {
                // RFC 2525 §2.17: bytes that nobody will read are said to be lost.
                self.unsent.clear();
                self.socket().abort();
            }
            self.close(turn);
        } else {
            self.progress = Progress::Over;
        }
    }

    pub(super) fn synchronized(&self) -> Option<Synchronized> {
        let [Some((own, offered)), Some((peer, answered))] = self.said else {
            return None;
        };
        Some(Synchronized {
            local: self.local,
            remote: self.remote,
            own,
            peer,
            mss: answered.mss,
            window_scale: offered.window_scale.zip(answered.window_scale).map(|(a, b)| [a, b]),
            sack: offered.sack_permitted && answered.sack_permitted,
            timestamps: offered.timestamps.is_some() && answered.timestamps.is_some(),
        })
    }
}

/// Puts packets of smoltcp on the wire.
struct Sender<'a> {
    dialect: &'a mut Dialect,
    trip: &'a mut RoundTrip,
    /// Of bare SYNs, and of all others.
    ttls: [Ttl; 2],
}

impl<'a> Sender<'a> {
    fn of(dialect: &'a mut Dialect, trip: &'a mut RoundTrip, ttls: [Ttl; 2]) -> Self {
        Self { dialect, trip, ttls }
    }

    /// Sends a packet of smoltcp; gives back sequence number and options, if it is a SYN.
    fn send(
        &mut self,
        bytes: &[u8],
        outbox: &mut Outbox,
        now: Timestamp,
    ) -> Option<(SeqNumber, SynOptions)> {
        let packet = Packet::parse(bytes).ok()?;
        let segment = packet.tcp()?;
        let end = self.dialect.outer(segment.sequence) + segment.segment_len();
        if segment.segment_len() > 0 {
            if self.dialect.next.precedes(end) {
                self.trip.sent(end, now);
            } else {
                self.trip.repeated();
            }
        }
        let ttl = self.ttls[usize::from(!segment.flags.is_bare_syn())];
        outbox.write(|into| self.dialect.write(&packet, segment, ttl, now, into));
        if !segment.flags.contains(TcpFlags::SYN) {
            return None;
        }
        Some((segment.sequence, SynOptions::parse(segment.options).unwrap_or_default()))
    }
}
