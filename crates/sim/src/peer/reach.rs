//! The way to a service at the broker's host: straight, or through this side's HTTP proxy.

use std::net::SocketAddr;

use simopen_protocol::carrier::{
    CarrierId, DIGEST_LEN, Direction, Errand, ExchangePath, Extent, HEAD_DOWN, SEEN,
};
use simopen_protocol::token::Token;
use simopen_scenario::proxies::Path;
use simopen_traversal::DialOutcome;

use super::PeerConfig;
use crate::host::{DialOptions, HostEvent, SocketId};
use crate::world::Context;

/// The longest head of a proxy's answer that is waited for.
const LONGEST_HEAD: usize = 4096;

/// A service that is being reached.
#[derive(Debug)]
pub(crate) struct Reach {
    /// What it will be known by: the one connection, or the one that comes down.
    pub(crate) socket: SocketId,
    /// The one that goes up, where there are two, and whether it stands.
    up: Option<(SocketId, Stands)>,
    target: SocketAddr,
    path: Path,
    /// What is presented there in requests.
    value: Option<Token>,
    carrier: CarrierId,
    /// What the proxy, or the service through it, has answered.
    answer: Vec<u8>,
}

/// Whether a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    NotYet,
    Yes,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Waiting,
    /// The connection to the service stands.
    There(SocketId),
    Failed(DialOutcome),
}

impl Reach {
    /// Begins to dial. `value` is what is presented where requests carry the stream.
    pub(crate) fn begin(
        target: SocketAddr,
        value: Option<Token>,
        config: &PeerConfig,
        context: &mut Context<'_>,
    ) -> Self {
        let [link, meeting] = config.paths;
        let path = if value.is_some() { meeting } else { link };
        let next = match (path, config.proxy) {
            (Path::Connect | Path::Http, Some(proxy)) => proxy,
            (Path::Straight | Path::Connect | Path::Http, _) => target,
        };
        let mut dial = || {
            let local = SocketAddr::new(config.address, context.host.ephemeral_port());
            let socket = context.host.dial(local, next, DialOptions::default(), context.now);
            (socket, local)
        };
        let (socket, local) = dial();
        let up = (path == Path::Http).then(|| (dial().0, Stands::NotYet));
        // All that it has to be here is one of its kind; a client of the world out there draws it.
        let mut carrier = [0; DIGEST_LEN];
        for (place, byte) in carrier.iter_mut().zip(local.to_string().bytes()) {
            *place = byte;
        }
        let carrier = CarrierId(carrier);
        Self { socket, up, target, path, value, carrier, answer: Vec::new() }
    }

    /// Whether the value has been presented by the time that the service is there.
    pub(crate) fn has_presented(&self) -> bool {
        self.path == Path::Http
    }

    /// Takes what happened at the host. What does not concern it changes nothing.
    pub(crate) fn handle_event(&mut self, event: &HostEvent, context: &mut Context<'_>) -> Reached {
        let up = self.up.map(|(socket, _)| socket);
        match event {
            HostEvent::Established(socket) if *socket == self.socket => match self.path {
                Path::Straight => Reached::There(self.socket),
                Path::Connect => {
                    let target = self.target;
                    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
                    context.host.write(self.socket, request.as_bytes(), context.now);
                    Reached::Waiting
                }
                Path::Http => {
                    self.request(self.socket, Direction::Down, context);
                    Reached::Waiting
                }
            },
            HostEvent::Established(socket) if Some(*socket) == up => {
                self.request(*socket, Direction::Up, context);
                context.host.write(*socket, &[SEEN], context.now);
                self.up = Some((*socket, Stands::Yes));
                Reached::Waiting
            }
            HostEvent::Readable(socket) if *socket == self.socket => self.answered(context),
            HostEvent::Failed(socket, _) | HostEvent::Closed(socket) | HostEvent::Reset(socket)
                if *socket == self.socket || Some(*socket) == up =>
            {
                Reached::Failed(DialOutcome::RelayUnreachable)
            }
            HostEvent::Established(_)
            | HostEvent::Readable(_)
            | HostEvent::Failed(..)
            | HostEvent::Closed(_)
            | HostEvent::Reset(_)
            | HostEvent::Accepted { .. }
            | HostEvent::SynSent { .. }
            | HostEvent::Swallowed(_) => Reached::Waiting,
        }
    }

    /// Gives up.
    pub(crate) fn close(&self, context: &mut Context<'_>) {
        context.host.drop_socket(self.socket);
        if let Some((up, _)) = self.up {
            context.host.drop_socket(up);
        }
    }

    fn request(&self, socket: SocketId, direction: Direction, context: &mut Context<'_>) {
        let digest = |value: &Token| Errand::Meet(direction.digest(value));
        let path = ExchangePath {
            errand: self.value.as_ref().map_or(Errand::Link, digest),
            carrier: self.carrier,
            extent: Extent::Endless,
            offset: 0,
        };
        let method = match direction {
            Direction::Up => "POST",
            Direction::Down => "GET",
        };
        let target = self.target;
        let request = format!("{method} http://{target}{path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        context.host.write(socket, request.as_bytes(), context.now);
    }

    /// The proxy has answered, or the service through it.
    fn answered(&mut self, context: &mut Context<'_>) -> Reached {
        context.host.read(self.socket, &mut self.answer);
        let end = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = self.answer.split_at(end.map_or(self.answer.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head);
        let is_whole = end.is_some();
        let status = head.split(' ').nth(1).unwrap_or_default();
        match status {
            _ if !is_whole && self.answer.len() < LONGEST_HEAD => Reached::Waiting,
            "200" if self.path == Path::Http => {
                let begun = usize::try_from(HEAD_DOWN).unwrap_or(usize::MAX);
                match (body.split_at_checked(begun), self.up) {
                    (Some((_, rest)), Some((up, Stands::Yes))) => {
                        context.host.pair(self.socket, up, rest.to_vec());
                        Reached::There(self.socket)
                    }
                    _ => Reached::Waiting,
                }
            }
            // Nobody behind a tunnel speaks before this side does.
            "200" => Reached::There(self.socket),
            "502" | "504" => Reached::Failed(DialOutcome::RelayUnreachable),
            _ => {
                context.log.tell(context.now, context.name, || {
                    format!("hears the proxy refuse: {}", head.lines().next().unwrap_or_default())
                });
                Reached::Failed(DialOutcome::ProxyRefused)
            }
        }
    }
}
