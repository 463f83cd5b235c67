//! A host whose TCP knows one port: enough of Linux to be opened, refused, muted and reset.

use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::{
    IcmpError, IcmpKind, MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder,
    TcpFlags, TcpSegment, Timestamp, Timestamps, Transport, Ttl, reset_answering,
};

/// RFC 6298 §2.1.
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The shift that every kernel here offers.
pub(crate) const SCALE: u8 = 7;

/// What a host's TCP tells of what came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Established,
    Refused,
    Unreachable,
    /// A caller's connection stands, on the port that listens.
    Accepted,
    Reset,
    /// Bytes arrived in order.
    Data,
    /// The port is held in silence: the packet is for the attempt.
    Swallowed,
}

/// The state of the port.
#[derive(Debug, Clone, Default)]
pub(crate) enum Port {
    #[default]
    Closed,
    Swallowing,
    Dialling(Dial),
    Listening,
    /// SYN-RECEIVED, after a call or after a dial.
    Received(Connection, Told),
    Established(Connection),
}

#[derive(Debug, Clone)]
pub(crate) struct Dial {
    syn: Syn,
    again: Timestamp,
    nth: u32,
    first_stamp: u32,
}

/// A connection, or half of one.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    send_next: SeqNumber,
    receive_next: SeqNumber,
    scales: bool,
    /// What was written and not acknowledged, or the SYN-ACK; and when it is sent again.
    pending: Option<(Vec<u8>, Timestamp, Duration)>,
}

/// A host: its port and what it wants to send.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    local: SocketAddr,
    /// The next initial sequence number; they grow with time (RFC 6528).
    sequence: SeqNumber,
    pub(crate) port: Port,
    pub(crate) outgoing: Vec<Vec<u8>>,
    pub(crate) received: Vec<u8>,
}

impl Host {
    pub(crate) fn new(local: SocketAddr, sequence: u32) -> Self {
        Self {
            local,
            sequence: SeqNumber(sequence),
            port: Port::Closed,
            outgoing: Vec::new(),
            received: Vec::new(),
        }
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether windows are scaled on the connection that stands.
    pub(crate) const fn scales(&self) -> Option<bool> {
        match &self.port {
            Port::Established(connection) => Some(connection.scales),
            Port::Closed
            | Port::Swallowing
            | Port::Dialling(_)
            | Port::Listening
            | Port::Received(..) => None,
        }
    }

    pub(crate) fn dial(&mut self, remote: SocketAddr, ttl: Ttl, now: Timestamp) {
        let syn = Syn {
            source: self.local,
            destination: remote,
            sequence: self.next_sequence(),
            window: 64_240,
            ttl,
            ecn_setup: false,
            options: SynOptions::default(),
        };
        self.port = Port::Dialling(Dial { syn, again: now, nth: 0, first_stamp: stamp(now) });
    }

    pub(crate) const fn raise_ttl(&mut self) {
        if let Port::Dialling(dial) = &mut self.port {
            dial.syn.ttl = Ttl::DEFAULT;
        }
    }

    /// The connection stands by decree (TCP_REPAIR).
    pub(crate) fn install(&mut self, own: &Syn, answer: &SynAck) {
        self.port = Port::Established(Connection {
            local: own.source,
            remote: own.destination,
            send_next: own.sequence + 1,
            receive_next: answer.sequence + 1,
            scales: answer.options.window_scale.is_some(),
            pending: None,
        });
    }

    pub(crate) fn write(&mut self, bytes: &[u8], now: Timestamp) {
        let Port::Established(connection) = &mut self.port else {
            return;
        };
        let packet = connection.segment(bytes);
        connection.pending = Some((packet.clone(), now + INITIAL_RTO, INITIAL_RTO));
        connection.send_next += u32::try_from(bytes.len()).unwrap();
        self.outgoing.push(packet);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.port {
            Port::Dialling(dial) => Some(dial.again),
            Port::Established(connection) | Port::Received(connection, _) => {
                connection.pending.as_ref().map(|(_, at, _)| *at)
            }
            Port::Closed | Port::Swallowing | Port::Listening => None,
        }
    }

    /// Sends again what is due. Gives the SYN where it was one.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        match &mut self.port {
            Port::Dialling(dial) if dial.again <= now => {
                dial.again = now + INITIAL_RTO;
                dial.nth += 1;
                let timestamps = Some(Timestamps { value: stamp(now), echo: 0 });
                dial.syn.options = SynOptions::new(Some(1460), Some(SCALE), true, timestamps);
                let packet = emitted(&dial.syn);
                self.outgoing.push(packet.clone());
                Some(packet)
            }
            Port::Established(connection) | Port::Received(connection, _) => {
                if let Some((packet, at, timeout)) = &mut connection.pending
                    && *at <= now
                {
                    *timeout *= 2;
                    *at = now + *timeout;
                    self.outgoing.push(packet.clone());
                }
                None
            }
            Port::Dialling(_) | Port::Closed | Port::Swallowing | Port::Listening => None,
        }
    }

    /// A packet came in.
    pub(crate) fn handle_packet(&mut self, bytes: &[u8], now: Timestamp) -> Option<Told> {
        let packet = Packet::parse(bytes).unwrap();
        let Some(segment) = packet.tcp() else {
            return self.icmp(&packet);
        };
        let source = packet.source_endpoint()?;
        match &mut self.port {
            Port::Swallowing => Some(Told::Swallowed),
            Port::Listening if segment.flags.is_bare_syn() => {
                let connection = self.half(source, segment);
                self.answer(connection, Told::Accepted, segment, now);
                None
            }
            Port::Dialling(dial) if dial.syn.destination == source => {
                self.while_dialling(&packet, segment, now)
            }
            Port::Received(connection, _) if connection.remote == source => {
                self.while_received(segment)
            }
            Port::Established(connection) if connection.remote == source => {
                let (told, answer) = connection.receive(segment, &mut self.received);
                self.outgoing.extend(answer);
                if told == Some(Told::Reset) {
                    self.port = Port::Closed;
                }
                told
            }
            Port::Received(_, Told::Accepted) if segment.flags.is_bare_syn() => None,
            Port::Closed
            | Port::Listening
            | Port::Dialling(_)
            | Port::Received(..)
            | Port::Established(_) => {
                self.reset(&packet);
                None
            }
        }
    }

    /// Only a socket that opens dies of an ICMP error; time exceeded is kept away from it.
    fn icmp(&mut self, packet: &Packet<'_>) -> Option<Told> {
        let Transport::Icmp(message) = &packet.transport else {
            return None;
        };
        let opens = matches!(self.port, Port::Dialling(_) | Port::Received(_, Told::Established));
        let is_shielded = message.kind == IcmpKind::Error(IcmpError::TimeExceeded);
        (opens && !is_shielded).then(|| {
            self.port = Port::Closed;
            Told::Unreachable
        })
    }

    fn reset(&mut self, packet: &Packet<'_>) {
        let mut buffer = [0; MAX_SYN_LEN];
        if let Some(length) = reset_answering(packet, &mut buffer) {
            self.outgoing.push(buffer[..length].to_vec());
        }
    }

    fn next_sequence(&mut self) -> SeqNumber {
        self.sequence += 800_000;
        self.sequence
    }

    /// The connection that a SYN asks for.
    fn half(&mut self, remote: SocketAddr, segment: &TcpSegment<'_>) -> Connection {
        let offers = SynOptions::parse(segment.options).unwrap();
        Connection {
            local: self.local,
            remote,
            send_next: self.next_sequence(),
            receive_next: segment.sequence + 1,
            scales: offers.window_scale.is_some(),
            pending: None,
        }
    }

    /// Answers a SYN with a SYN-ACK that starts at `send_next`.
    fn answer(&mut self, mut half: Connection, told: Told, syn: &TcpSegment<'_>, now: Timestamp) {
        let theirs = SynOptions::parse(syn.options).unwrap();
        let scale = half.scales.then_some(SCALE);
        let timestamps =
            theirs.timestamps.map(|their| Timestamps { value: stamp(now), echo: their.value });
        let options = SynOptions::new(Some(1460), scale, theirs.sack_permitted, timestamps);
        let mut buffer = [0; 40];
        let length = options.emit(&mut buffer).unwrap();
        let packet = half.emit(TcpFlags::SYN | TcpFlags::ACK, &buffer[..length], &[]);
        half.send_next += 1;
        half.pending = Some((packet.clone(), now + INITIAL_RTO, INITIAL_RTO));
        self.outgoing.push(packet);
        self.port = Port::Received(half, told);
    }

    /// RFC 9293 §3.10.7.3.
    fn while_dialling(
        &mut self,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        now: Timestamp,
    ) -> Option<Told> {
        let Port::Dialling(Dial { syn, first_stamp, .. }) = &self.port else {
            return None;
        };
        let (syn, first_stamp) = (*syn, *first_stamp);
        let acknowledges =
            segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == syn.sequence + 1;
        if segment.flags.contains(TcpFlags::RST) {
            return acknowledges.then(|| {
                self.port = Port::Closed;
                Told::Refused
            });
        }
        let mut half = self.half(syn.destination, segment);
        half.send_next = syn.sequence;
        if segment.flags.is_bare_syn() {
            self.answer(half, Told::Established, segment, now);
            return None;
        }
        if !segment.flags.is_syn_ack() {
            return None;
        }
        // RFC 7323 §3.2: an echo of what was never sent.
        let echo = SynOptions::parse(segment.options).unwrap().timestamps.map_or(0, |own| own.echo);
        let echo_fits = echo == 0 || (first_stamp..=stamp(now)).contains(&echo);
        if !acknowledges || !echo_fits {
            self.reset(packet);
            return None;
        }
        half.send_next += 1;
        self.outgoing.push(half.segment(&[]));
        self.port = Port::Established(half);
        Some(Told::Established)
    }

    /// RFC 9293 §3.10.7.4; where SYNs have crossed, the other side's SYN-ACK completes too.
    fn while_received(&mut self, segment: &TcpSegment<'_>) -> Option<Told> {
        let Port::Received(connection, told) = &mut self.port else {
            return None;
        };
        let told = *told;
        if segment.flags.contains(TcpFlags::RST) {
            let exact = segment.sequence == connection.receive_next;
            if !exact {
                return None;
            }
            let is_caller = told == Told::Accepted;
            self.port = if is_caller { Port::Listening } else { Port::Closed };
            return (!is_caller).then_some(Told::Refused);
        }
        if segment.flags.is_bare_syn() {
            let again = connection.pending.as_ref().map(|(packet, ..)| packet.clone());
            self.outgoing.extend(again);
            return None;
        }
        let acknowledges =
            segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == connection.send_next;
        if !acknowledges {
            return None;
        }
        connection.pending = None;
        if segment.flags.is_syn_ack() {
            self.outgoing.push(connection.segment(&[]));
        } else {
            let (_, answer) = connection.receive(segment, &mut self.received);
            self.outgoing.extend(answer);
        }
        self.port = Port::Established(connection.clone());
        Some(told)
    }
}

impl Connection {
    fn segment(&self, payload: &[u8]) -> Vec<u8> {
        self.emit(TcpFlags::ACK, &[], payload)
    }

    fn emit(&self, flags: TcpFlags, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let header = TcpBuilder {
            source: self.local,
            destination: self.remote,
            ttl: Ttl::DEFAULT,
            sequence: self.send_next,
            acknowledgment: self.receive_next,
            flags,
            window: 64_240 >> if flags.contains(TcpFlags::SYN) || !self.scales { 0 } else { SCALE },
        };
        let mut buffer = vec![0; MAX_SYN_LEN + payload.len()];
        let length = header.emit(options, payload, &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// RFC 9293 §3.10.7.4, with the challenge ACK of RFC 5961 for what is not exact.
    fn receive(
        &mut self,
        segment: &TcpSegment<'_>,
        received: &mut Vec<u8>,
    ) -> (Option<Told>, Option<Vec<u8>>) {
        let exact = segment.sequence == self.receive_next;
        if segment.flags.contains(TcpFlags::RST) {
            return (exact.then_some(Told::Reset), None);
        }
        if segment.flags.contains(TcpFlags::SYN) {
            return (None, Some(self.segment(&[])));
        }
        if segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == self.send_next {
            self.pending = None;
        }
        if segment.payload.is_empty() {
            return (None, None);
        }
        if exact {
            self.receive_next += u32::try_from(segment.payload.len()).unwrap();
            received.extend_from_slice(segment.payload);
        }
        (exact.then_some(Told::Data), Some(self.segment(&[])))
    }
}

/// The kernel's clock of timestamps.
fn stamp(now: Timestamp) -> u32 {
    1 + u32::try_from(now.as_nanos() / 1_000_000).unwrap()
}

/// The bytes of a SYN.
pub(crate) fn emitted(syn: &Syn) -> Vec<u8> {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}
