//! The simulator's host, in virtual time.

use std::net::IpAddr;
use std::time::Duration;

use simopen_packet::{Entropy, Timestamp, Ttl};
use simopen_sim::host::{DialOptions, Host, HostEvent, SocketId};
use simopen_sim::stack::Stack;
use simopen_traversal::DialOutcome;

use crate::script::{Call, Place, Subject, Use};

/// A host and the one program on it.
pub(crate) struct Simulated {
    host: Host,
    place: Place,
    now: Timestamp,
    socket: Option<SocketId>,
    port: Option<SocketId>,
    state: &'static str,
    sent: Vec<(Timestamp, Vec<u8>)>,
}

impl Simulated {
    pub(crate) fn new(place: Place) -> Self {
        let addresses: [IpAddr; 1] = [place.local.ip()];
        let now = Timestamp::from_nanos(1_000_000_000);
        let host = Host::new(&addresses, Stack::Linux, Entropy::new([7; 32]), now);
        Self { host, place, now, socket: None, port: None, state: "nothing", sent: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(event) = self.host.poll_event() {
            match event {
                HostEvent::Established(_) => self.state = "established",
                HostEvent::Accepted { socket, .. } => {
                    self.socket = Some(socket);
                    self.state = "established";
                }
                HostEvent::Failed(_, outcome) => self.state = name(outcome),
                HostEvent::Closed(_) => self.state = "closed by the other side",
                HostEvent::Reset(_) => self.state = "reset",
                HostEvent::Readable(_) | HostEvent::SynSent { .. } | HostEvent::Swallowed(_) => {}
            }
        }
        let mut packet = Vec::new();
        while self.host.poll_transmit(&mut packet) {
            self.sent.push((self.now, packet.clone()));
        }
    }
}

/// How a program reads the end of its dial.
pub(crate) const fn name(outcome: DialOutcome) -> &'static str {
    match outcome {
        DialOutcome::Established => "established",
        DialOutcome::Refused => "refused",
        DialOutcome::Unreachable => "unreachable",
        DialOutcome::Prohibited => "prohibited",
        DialOutcome::TimedOut => "timed out",
        DialOutcome::RelayUnreachable | DialOutcome::ProxyRefused | DialOutcome::LocalError => {
            "another error"
        }
    }
}

impl Subject for Simulated {
    fn call(&mut self, call: Call) {
        let (host, now) = (&mut self.host, self.now);
        let Place { local, remote } = self.place;
        let ttl = |ttl| DialOptions { ttl: Some(Ttl(ttl)), ..DialOptions::default() };
        match call {
            Call::Dial => {
                self.state = "opening";
                self.socket = Some(host.dial(local, remote, DialOptions::default(), now));
            }
            Call::DialWithTtl(number) => {
                self.state = "opening";
                self.socket = Some(host.dial(local, remote, ttl(number), now));
            }
            Call::Listen => self.port = Some(host.listen(local)),
            Call::Swallow => self.port = Some(host.swallow(local)),
            Call::Install => {
                let (own, answer) = self.place.opened_outside();
                self.socket = Some(host.install(&own, &answer, now));
                self.state = "established";
            }
            Call::Use(call) => {
                let socket = self.socket.expect("there is a socket");
                match call {
                    Use::SetTtl(ttl) => host.set_ttl(socket, Some(Ttl(ttl))),
                    Use::Write(bytes) => drop(host.write(socket, bytes, now)),
                    Use::Read => host.read(socket, &mut Vec::new()),
                    Use::Close => host.close(socket, now),
                    Use::Drop => host.drop_socket(socket),
                }
            }
        }
        self.drain();
    }

    fn deliver(&mut self, packet: &[u8]) {
        self.host.handle_packet(packet, self.now);
        self.drain();
    }

    fn sent_within(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)> {
        let (begin, end) = (self.now, self.now + time);
        while let Some(due) = self.host.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.host.handle_timeout(due);
            self.drain();
        }
        self.now = end;
        std::mem::take(&mut self.sent)
            .into_iter()
            .map(|(at, packet)| (at - begin, packet))
            .collect()
    }

    fn tell(&mut self) -> String {
        self.state.to_owned()
    }
}
