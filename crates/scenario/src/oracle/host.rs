//! A kernel in an imagined run: what it makes of one packet at the proven port.

use super::segment::{Answered, Endpoint, Kind, Party, Sack, Segment};

/// What a host's TCP knows of the proven port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tcp {
    /// Nobody waits there for the other side: RST.
    Closed,
    /// SYN-SENT towards the observed endpoint.
    Dialling,
    /// SYN-RECEIVED after SYNs that crossed.
    Crossed,
    /// Silent; `answerable` once an own SYN is out.
    Swallowing { answerable: bool },
    /// LISTEN.
    Listening,
    /// SYN-RECEIVED of a listener.
    Answering { to: Endpoint },
    /// ESTABLISHED.
    Established { with: Endpoint },
    /// Given up: no connection any more.
    Dead,
}

/// A host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) party: Party,
    pub(super) tcp: Tcp,
    /// Which of its initial sequence numbers it counts from.
    pub(super) numbering: u8,
    /// Whether the other side's SYN or SYN-ACK offered to scale windows, once one was heard.
    pub(super) offered: Option<bool>,
    /// Whether the windows that it tells of are scaled.
    pub(super) scales: bool,
    /// Greetings sent and received.
    pub(super) sent: u8,
    pub(super) received: u8,
}

/// What a packet meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Established,
    Greeting,
    /// A definite answer ended the opening, or an RST the connection.
    Ended,
    /// Nobody expected it.
    Unexpected,
    Nothing,
}

impl Host {
    pub(super) const fn new(party: Party) -> Self {
        Self {
            party,
            tcp: Tcp::Closed,
            numbering: 0,
            offered: None,
            scales: true,
            sent: 0,
            received: 0,
        }
    }

    /// A segment of its own, towards an endpoint of the other side.
    pub(super) const fn segment(&self, kind: Kind, to: Endpoint) -> Segment {
        Segment {
            destination: to,
            numbering: self.numbering,
            sent: self.sent,
            acknowledged: self.received,
            scales: self.scales,
            ..Segment::new(kind, self.party)
        }
    }

    /// Takes a packet. `echo_fits` says whether the timestamp that it echoes was sent.
    pub(super) fn receive(&mut self, packet: Segment, echo_fits: bool) -> (Told, Option<Segment>) {
        let from = packet.source;
        match self.tcp {
            Tcp::Dead | Tcp::Swallowing { answerable: false } => (Told::Nothing, None),
            Tcp::Closed => self.refuse(packet),
            Tcp::Dialling | Tcp::Crossed if from != Endpoint::Observed => self.refuse(packet),
            Tcp::Dialling => self.while_dialling(packet, echo_fits),
            Tcp::Crossed => self.while_crossed(packet),
            Tcp::Swallowing { answerable: true } => self.while_silent(packet),
            Tcp::Listening => match packet.kind {
                Kind::Syn => {
                    self.tcp = Tcp::Answering { to: from };
                    self.hear_offer(packet);
                    (Told::Nothing, Some(self.segment(Kind::SynAck, from)))
                }
                Kind::Icmp(_) => (Told::Nothing, None),
                Kind::SynAck | Kind::Ack | Kind::Data | Kind::Rst { .. } => self.refuse(packet),
            },
            Tcp::Answering { to } if to != from => (Told::Nothing, None),
            Tcp::Answering { to } => match packet.kind {
                Kind::Ack | Kind::Data => self.established(packet),
                Kind::Syn => (Told::Nothing, Some(self.segment(Kind::SynAck, to))),
                Kind::Rst { answers: Answered::Acknowledging } => {
                    self.tcp = Tcp::Listening;
                    (Told::Nothing, None)
                }
                Kind::SynAck | Kind::Rst { .. } | Kind::Icmp(_) => (Told::Nothing, None),
            },
            Tcp::Established { with } if with != from => (Told::Nothing, None),
            Tcp::Established { .. } => self.while_established(packet),
        }
    }

    /// RFC 9293 §3.10.7.1.
    fn refuse(&self, packet: Segment) -> (Told, Option<Segment>) {
        let reset = packet.answered_by_reset();
        (if reset.is_some() { Told::Unexpected } else { Told::Nothing }, reset)
    }

    /// RFC 9293 §3.10.7.3.
    fn while_dialling(&mut self, packet: Segment, echo_fits: bool) -> (Told, Option<Segment>) {
        match packet.kind {
            Kind::Syn => {
                self.tcp = Tcp::Crossed;
                // Linux goes on scaling, whatever the SYN offers that crosses its own.
                self.offered = Some(packet.scales);
                (Told::Nothing, Some(self.segment(Kind::SynAck, packet.source)))
            }
            // An echo of what was never sent: RFC 7323 §3.2, and Linux resets.
            Kind::SynAck if !echo_fits => (Told::Unexpected, packet.answered_by_reset()),
            Kind::SynAck => self.established(packet),
            Kind::Rst { answers: Answered::Syn } | Kind::Icmp(_) => self.end(),
            // They acknowledge its SYN, and are nothing that opens.
            Kind::Ack | Kind::Data | Kind::Rst { .. } => (Told::Nothing, None),
        }
    }

    /// The other side's SYN has come; its answer, or anything that acknowledges, completes.
    fn while_crossed(&mut self, packet: Segment) -> (Told, Option<Segment>) {
        match packet.kind {
            Kind::SynAck | Kind::Ack | Kind::Data => self.established(packet),
            Kind::Rst { answers: Answered::Acknowledging } | Kind::Icmp(_) => self.end(),
            Kind::Syn | Kind::Rst { .. } => (Told::Nothing, None),
        }
    }

    /// The kernel says nothing; the peer takes what answers its own SYN.
    fn while_silent(&mut self, packet: Segment) -> (Told, Option<Segment>) {
        match packet.kind {
            _ if packet.source != Endpoint::Observed => (Told::Nothing, None),
            Kind::SynAck => {
                let (told, _) = self.established(packet);
                // Installed: it sends nothing by itself.
                (told, None)
            }
            Kind::Rst { answers: Answered::Syn } => self.end(),
            Kind::Syn | Kind::Ack | Kind::Data | Kind::Rst { .. } | Kind::Icmp(_) => {
                (Told::Nothing, None)
            }
        }
    }

    fn while_established(&mut self, packet: Segment) -> (Told, Option<Segment>) {
        match packet.kind {
            // RFC 5961 §4.
            Kind::Syn | Kind::SynAck => {
                (Told::Nothing, Some(self.segment(Kind::Ack, packet.source)))
            }
            Kind::Data => self.greeted(packet),
            Kind::Rst { answers: Answered::Acknowledging } if packet.sent == self.received => {
                self.end()
            }
            Kind::Ack | Kind::Rst { .. } | Kind::Icmp(_) => (Told::Nothing, None),
        }
    }

    fn established(&mut self, packet: Segment) -> (Told, Option<Segment>) {
        if packet.kind == Kind::SynAck && self.tcp != Tcp::Crossed {
            self.hear_offer(packet);
        }
        let completes = packet.kind == Kind::SynAck;
        // To Linux a SYN that has crossed its own has come twice, with the SYN-ACK.
        let is_twice = self.tcp == Tcp::Crossed && self.offered == Some(true);
        let sack = is_twice.then_some(Sack::Right);
        self.tcp = Tcp::Established { with: packet.source };
        if packet.kind == Kind::Data {
            self.received = packet.sent;
        }
        let acknowledgment = Segment { sack, ..self.segment(Kind::Ack, packet.source) };
        (Told::Established, completes.then_some(acknowledgment))
    }

    fn greeted(&mut self, packet: Segment) -> (Told, Option<Segment>) {
        let is_new = packet.sent > self.received;
        self.received = self.received.max(packet.sent);
        let told = if is_new { Told::Greeting } else { Told::Nothing };
        (told, Some(self.segment(Kind::Ack, packet.source)))
    }

    fn hear_offer(&mut self, packet: Segment) {
        if self.offered.is_none() {
            self.offered = Some(packet.scales);
            self.scales = packet.scales;
        }
    }

    fn end(&mut self) -> (Told, Option<Segment>) {
        self.tcp = Tcp::Dead;
        (Told::Ended, None)
    }
}
