//! Two hosts at the two ends of a wire.

use std::collections::BTreeMap;

use super::*;

pub(super) const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
pub(super) const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2));

/// Every stack with every other.
pub(super) const PAIRS: [[Stack; 2]; 4] = [
    [Stack::Linux, Stack::Linux],
    [Stack::Linux, Stack::Smoltcp],
    [Stack::Smoltcp, Stack::Linux],
    [Stack::Smoltcp, Stack::Smoltcp],
];

/// One way, from end to end.
pub(super) const LEG: Duration = Duration::from_millis(10);

pub(super) fn endpoint(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

pub(super) struct Wire {
    pub(super) hosts: [Host; 2],
    pub(super) addresses: [IpAddr; 2],
    pub(super) now: Timestamp,
    /// What was told, but that there are bytes to read: they are read at once.
    pub(super) events: [Vec<HostEvent>; 2],
    pub(super) received: BTreeMap<(usize, SocketId), Vec<u8>>,
    /// By when they arrive, and their numbers: at which end.
    flying: BTreeMap<(Timestamp, usize), (usize, Vec<u8>)>,
    /// What befalls each packet: `None` for a loss, else how much later it comes.
    pub(super) fate: Box<dyn FnMut(usize) -> Option<Duration>>,
    /// All that was sent, by whom.
    pub(super) sent: Vec<(Timestamp, usize, Vec<u8>)>,
}

impl Wire {
    pub(super) fn new(stacks: [Stack; 2]) -> Self {
        Self::between([A, B], stacks)
    }

    pub(super) fn between(addresses: [IpAddr; 2], stacks: [Stack; 2]) -> Self {
        let host = |side: usize| {
            let entropy = Entropy::new([side as u8 + 1; 32]);
            Host::new(&[addresses[side]], stacks[side], entropy, Timestamp::ZERO)
        };
        Self {
            hosts: [host(0), host(1)],
            addresses,
            now: Timestamp::ZERO,
            events: [Vec::new(), Vec::new()],
            received: BTreeMap::new(),
            flying: BTreeMap::new(),
            fate: Box::new(|_| Some(Duration::ZERO)),
            sent: Vec::new(),
        }
    }

    pub(super) fn dial(&mut self, side: usize, from: u16, to: u16) -> SocketId {
        self.dial_with(side, from, to, DialOptions::default())
    }

    pub(super) fn dial_with(
        &mut self,
        side: usize,
        from: u16,
        to: u16,
        options: DialOptions,
    ) -> SocketId {
        let local = endpoint(self.addresses[side], from);
        let remote = endpoint(self.addresses[1 - side], to);
        self.hosts[side].dial(local, remote, options, self.now)
    }

    pub(super) fn write(&mut self, side: usize, socket: SocketId, bytes: &[u8]) {
        assert_eq!(self.hosts[side].write(socket, bytes, self.now), bytes.len());
    }

    /// Lets everything happen that happens within ten seconds.
    pub(super) fn run(&mut self) {
        let end = self.now + Duration::from_secs(10);
        self.run_until(end);
    }

    pub(super) fn run_until(&mut self, end: Timestamp) {
        loop {
            self.collect();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timer = self.hosts.iter().filter_map(Host::poll_timeout).min();
            let Some(next) = arrival.into_iter().chain(timer).min().filter(|next| *next <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now)
                && let Some((_, (side, packet))) = self.flying.pop_first()
            {
                self.hosts[side].handle_packet(&packet, self.now);
            } else {
                for host in &mut self.hosts {
                    host.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    fn collect(&mut self) {
        for side in 0..2 {
            while let Some(event) = self.hosts[side].poll_event() {
                if let HostEvent::Readable(socket) = event {
                    let received = self.received.entry((side, socket)).or_default();
                    self.hosts[side].read(socket, received);
                } else {
                    self.events[side].push(event);
                }
            }
            let mut packet = Vec::new();
            while self.hosts[side].poll_transmit(&mut packet) {
                Packet::verify_checksums(&packet).unwrap();
                let number = self.sent.len();
                self.sent.push((self.now, side, packet.clone()));
                if let Some(late) = (self.fate)(number) {
                    let arrival = (self.now + LEG + late, number);
                    self.flying.insert(arrival, (1 - side, packet.clone()));
                }
            }
        }
    }

    pub(super) fn established(&self, side: usize) -> Vec<SocketId> {
        let events = self.events[side].iter();
        let socket = |event: &HostEvent| {
            if let HostEvent::Established(socket) = event { Some(*socket) } else { None }
        };
        events.filter_map(socket).collect()
    }

    pub(super) fn accepted(&self, side: usize) -> Vec<SocketId> {
        let events = self.events[side].iter();
        let socket = |event: &HostEvent| {
            if let HostEvent::Accepted { socket, .. } = event { Some(*socket) } else { None }
        };
        events.filter_map(socket).collect()
    }

    /// What was sent, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(at, side, packet): &(Timestamp, usize, Vec<u8>)| {
            format!("{at} {side} {}", Packet::parse(packet).unwrap())
        };
        self.sent.iter().map(line).collect()
    }
}
