//! A host whose TCP knows one connection: enough of it to be opened, refused, muted and reset.

use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::{
    MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder, TcpFlags, TcpSegment,
    Timestamp, Timestamps, Ttl, reset_answering,
};

/// What a host's TCP tells of what came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A dial came to ESTABLISHED.
    Established,
    /// A dial was refused.
    Refused,
    /// An ICMP error ended a dial.
    Unreachable,
    /// A caller's connection stands, on the port that listens.
    Accepted,
    /// An RST ended the established connection.
    Reset,
    /// Bytes arrived in order.
    Data(Vec<u8>),
    /// The port is held in silence: the packet is for the attempt.
    Swallowed,
}

/// The state of the one port.
#[derive(Debug, Clone, Default)]
pub(crate) enum Port {
    /// Nothing is bound: RFC 9293 answers RST.
    #[default]
    Closed,
    Swallowing,
    Dialling(Dial),
    Listening(SocketAddr),
    /// SYN-RECEIVED, after a call or after a dial.
    Received(Connection, Told),
    Established(Connection),
}

/// SYN-SENT.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) syn: Syn,
    again: Timestamp,
    timeout: Duration,
}

/// A connection, or half of one.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    send_next: SeqNumber,
    receive_next: SeqNumber,
    /// What was written and not acknowledged yet, and when it is sent again.
    pending: Option<(Vec<u8>, Timestamp, Duration)>,
}

/// The first timeout of a connection without any measured round trip (K17), and of a SYN.
const INITIAL_RTO: Duration = Duration::from_secs(1);

/// A host: its port and what it wants to send.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    pub(crate) port: Port,
    /// Whether ICMP errors are kept away from a dial.
    pub(crate) is_shielded: bool,
    pub(crate) outgoing: Vec<Vec<u8>>,
}

impl Host {
    /// Begins a dial and returns the SYN's bytes.
    pub(crate) fn dial(&mut self, [local, remote]: [SocketAddr; 2], ttl: Ttl, now: Timestamp) {
        let syn = Syn {
            source: local,
            destination: remote,
            sequence: SeqNumber(u32::from(local.port()) << 16),
            window: 64_240,
            ttl,
            ecn_setup: false,
            options: SynOptions::default(),
        };
        self.port = Port::Dialling(Dial { syn, again: now, timeout: INITIAL_RTO });
    }

    /// What is sent from now on has the usual TTL.
    pub(crate) fn raise_ttl(&mut self) {
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
            pending: None,
        });
    }

    /// Sends bytes, and again until they are acknowledged.
    pub(crate) fn write(&mut self, bytes: &[u8], now: Timestamp) {
        let Port::Established(connection) = &mut self.port else {
            return;
        };
        connection.pending = Some((bytes.to_vec(), now + INITIAL_RTO, INITIAL_RTO));
        let packet = connection.segment(connection.send_next, bytes);
        connection.send_next += u32::try_from(bytes.len()).unwrap();
        self.outgoing.push(packet);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.port {
            Port::Dialling(dial) => Some(dial.again),
            Port::Established(connection) => connection.pending.as_ref().map(|(_, at, _)| *at),
            Port::Closed | Port::Swallowing | Port::Listening(_) | Port::Received(..) => None,
        }
    }

    /// Sends again what is due. Gives the SYN where it was one.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        match &mut self.port {
            Port::Dialling(dial) if dial.again <= now => {
                dial.again = now + dial.timeout;
                dial.timeout *= 2;
                let value = u32::try_from(now.as_nanos() / 1_000_000).unwrap();
                let timestamps = Some(Timestamps { value, echo: 0 });
                dial.syn.options = SynOptions::new(Some(1460), Some(7), true, timestamps);
                let packet = emitted(&dial.syn);
                self.outgoing.push(packet.clone());
                Some(packet)
            }
            Port::Established(connection) => {
                if let Some((bytes, at, timeout)) = connection.pending.take() {
                    let due = at <= now;
                    let length = u32::try_from(bytes.len()).unwrap();
                    let start = connection.send_next + (0_u32.wrapping_sub(length));
                    if due {
                        let packet = connection.segment(start, &bytes);
                        self.outgoing.push(packet);
                    }
                    let next = if due { (now + timeout * 2, timeout * 2) } else { (at, timeout) };
                    connection.pending = Some((bytes, next.0, next.1));
                }
                None
            }
            Port::Dialling(_)
            | Port::Closed
            | Port::Swallowing
            | Port::Listening(_)
            | Port::Received(..) => None,
        }
    }

    /// A packet came in.
    pub(crate) fn handle_packet(&mut self, bytes: &[u8]) -> Option<Told> {
        let packet = Packet::parse(bytes).unwrap();
        let Some(segment) = packet.tcp() else {
            // ICMP is for whom it may concern: only a socket in SYN-SENT dies of it.
            let dies = matches!(self.port, Port::Dialling(_)) && !self.is_shielded;
            return dies.then(|| {
                self.port = Port::Closed;
                Told::Unreachable
            });
        };
        match &mut self.port {
            Port::Swallowing => Some(Told::Swallowed),
            Port::Closed => {
                let mut buffer = [0; MAX_SYN_LEN];
                if let Some(length) = reset_answering(&packet, &mut buffer) {
                    self.outgoing.push(buffer[..length].to_vec());
                }
                None
            }
            Port::Dialling(_) => self.while_dialling(segment),
            Port::Listening(local) => {
                let local = *local;
                self.while_listening(local, packet.source_endpoint()?, segment)
            }
            Port::Received(..) => self.while_received(segment),
            Port::Established(connection) => {
                let (told, answer) = connection.receive(segment);
                self.outgoing.extend(answer);
                if told == Some(Told::Reset) {
                    self.port = Port::Closed;
                }
                told
            }
        }
    }

    /// RFC 9293 §3.10.7.2: a caller is answered with a sequence number of its own.
    fn while_listening(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        segment: &TcpSegment<'_>,
    ) -> Option<Told> {
        if segment.flags.is_bare_syn() {
            let connection = Connection {
                local,
                remote,
                send_next: SeqNumber(77_000),
                receive_next: segment.sequence + 1,
                pending: None,
            };
            let answer = connection.emit(TcpFlags::SYN | TcpFlags::ACK, SeqNumber(76_999), &[]);
            self.outgoing.push(answer);
            self.port = Port::Received(connection, Told::Accepted);
        }
        None
    }

    /// RFC 9293 §3.10.7.4; where SYNs have crossed, the other side's SYN-ACK completes too.
    fn while_received(&mut self, segment: &TcpSegment<'_>) -> Option<Told> {
        let Port::Received(connection, told) = &self.port else {
            return None;
        };
        let first = connection.send_next + u32::MAX;
        if segment.flags.is_bare_syn() {
            self.outgoing.push(connection.emit(TcpFlags::SYN | TcpFlags::ACK, first, &[]));
            return None;
        }
        let acknowledges =
            segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == connection.send_next;
        if !acknowledges || segment.flags.contains(TcpFlags::RST) {
            return None;
        }
        if segment.flags.is_syn_ack() {
            self.outgoing.push(connection.segment(connection.send_next, &[]));
        }
        let told = told.clone();
        self.port = Port::Established(connection.clone());
        Some(told)
    }

    /// RFC 9293 §3.10.7.3; on crossed SYNs each side answers SYN-ACK and completes on the other's.
    fn while_dialling(&mut self, segment: &TcpSegment<'_>) -> Option<Told> {
        let Port::Dialling(Dial { syn, .. }) = &self.port else {
            return None;
        };
        let syn = *syn;
        let acknowledges =
            segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == syn.sequence + 1;
        if segment.flags.contains(TcpFlags::RST) {
            return acknowledges.then(|| {
                self.port = Port::Closed;
                Told::Refused
            });
        }
        let connection = Connection {
            local: syn.source,
            remote: syn.destination,
            send_next: syn.sequence + 1,
            receive_next: segment.sequence + 1,
            pending: None,
        };
        if segment.flags.is_bare_syn() {
            let flags = TcpFlags::SYN | TcpFlags::ACK;
            self.outgoing.push(connection.emit(flags, syn.sequence, &[]));
            self.port = Port::Received(connection, Told::Established);
            return None;
        }
        if !(segment.flags.is_syn_ack() && acknowledges) {
            return None;
        }
        self.outgoing.push(connection.segment(connection.send_next, &[]));
        self.port = Port::Established(connection);
        Some(Told::Established)
    }
}

impl Connection {
    fn segment(&self, sequence: SeqNumber, payload: &[u8]) -> Vec<u8> {
        self.emit(TcpFlags::ACK, sequence, payload)
    }

    fn emit(&self, flags: TcpFlags, sequence: SeqNumber, payload: &[u8]) -> Vec<u8> {
        let header = TcpBuilder {
            source: self.local,
            destination: self.remote,
            ttl: Ttl::DEFAULT,
            sequence,
            acknowledgment: self.receive_next,
            flags,
            window: 64_240,
        };
        let mut buffer = vec![0; MAX_SYN_LEN + payload.len()];
        let length = header.emit(&[], payload, &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// RFC 9293 §3.10.7.4, with the challenge ACK of RFC 5961 for what is not exact.
    fn receive(&mut self, segment: &TcpSegment<'_>) -> (Option<Told>, Option<Vec<u8>>) {
        let exact = segment.sequence == self.receive_next;
        if segment.flags.contains(TcpFlags::RST) {
            return (exact.then_some(Told::Reset), None);
        }
        if segment.flags.contains(TcpFlags::SYN) {
            return (None, Some(self.segment(self.send_next, &[])));
        }
        if segment.flags.contains(TcpFlags::ACK) && segment.acknowledgment == self.send_next {
            self.pending = None;
        }
        if segment.payload.is_empty() {
            return (None, None);
        }
        if exact {
            self.receive_next += u32::try_from(segment.payload.len()).unwrap();
        }
        let told = exact.then(|| Told::Data(segment.payload.to_vec()));
        (told, Some(self.segment(self.send_next, &[])))
    }
}

/// The bytes of a SYN.
pub(crate) fn emitted(syn: &Syn) -> Vec<u8> {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}
