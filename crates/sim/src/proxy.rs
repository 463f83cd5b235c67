//! An HTTP proxy as a machine on a simulated host: it passes on requests without waiting for the
//! end of their bodies, and opens tunnels or refuses to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use simopen_scenario::proxies::{PROXY_PORT, Proxies};

use crate::host::{DialOptions, HostEvent, SocketId};
use crate::splice::{Splice, Spliced};
use crate::world::Context;

/// The longest head of a request.
const LONGEST_HEAD: usize = 4096;

/// The answer to a CONNECT whose target was reached.
const OPENED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What is done once the target is reached.
#[derive(Debug)]
enum Errand {
    /// A tunnel is opened; this came behind the request for it.
    Tunnel(Vec<u8>),
    /// This request is passed on, with as much of its body as has come.
    Request(Vec<u8>),
}

/// One proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: IpAddr,
    kind: Proxies,
    /// Clients whose request is not whole, and what has come of each.
    asking: BTreeMap<SocketId, Vec<u8>>,
    /// Clients whose target is being dialled, by the dial.
    dialling: BTreeMap<SocketId, (SocketId, Errand)>,
    joined: Vec<Splice>,
}

impl Proxy {
    /// Begins to listen at its port.
    pub(crate) fn listen(address: IpAddr, kind: Proxies, context: &mut Context<'_>) -> Self {
        context.host.listen(SocketAddr::new(address, PROXY_PORT));
        Self {
            address,
            kind,
            asking: BTreeMap::new(),
            dialling: BTreeMap::new(),
            joined: Vec::new(),
        }
    }

    /// Takes what happened at the host.
    pub(crate) fn handle_event(&mut self, event: &HostEvent, context: &mut Context<'_>) {
        match event {
            HostEvent::Accepted { socket, .. } => {
                self.asking.insert(*socket, Vec::new());
            }
            HostEvent::Readable(socket) => self.read(*socket, context),
            HostEvent::Established(socket) => {
                if let Some((client, errand)) = self.dialling.remove(socket) {
                    let first = match errand {
                        Errand::Tunnel(behind) => {
                            context.host.write(client, OPENED, context.now);
                            behind
                        }
                        Errand::Request(request) => request,
                    };
                    self.joined.push(Splice::new([client, *socket], [first, Vec::new()]));
                }
            }
            HostEvent::Failed(socket, _) => {
                if let Some((client, _)) = self.dialling.remove(socket) {
                    refuse(client, "502 Bad Gateway", context);
                }
            }
            HostEvent::Closed(socket) | HostEvent::Reset(socket) => {
                self.gone(*socket, matches!(event, HostEvent::Reset(_)), context);
            }
            HostEvent::SynSent { .. } | HostEvent::Swallowed(_) => {}
        }
        self.pump(context);
    }

    fn read(&mut self, client: SocketId, context: &mut Context<'_>) {
        let Some(mut head) = self.asking.remove(&client) else { return };
        context.host.read(client, &mut head);
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if head.len() < LONGEST_HEAD {
                self.asking.insert(client, head);
            } else {
                refuse(client, "431 Request Header Fields Too Large", context);
            }
            return;
        };
        let behind = head.split_off(end + 4);
        let (target, errand) = match wanted(&head, behind) {
            Some((target, Errand::Tunnel(behind))) if self.kind == Proxies::WithConnect => {
                (target, Errand::Tunnel(behind))
            }
            Some((_, Errand::Tunnel(_))) => return refuse(client, "403 Forbidden", context),
            Some(forward) => forward,
            None => return refuse(client, "400 Bad Request", context),
        };
        let local = SocketAddr::new(self.address, context.host.ephemeral_port());
        let dial = context.host.dial(local, target, DialOptions::default(), context.now);
        self.dialling.insert(dial, (client, errand));
    }

    /// A connection has ended.
    fn gone(&mut self, socket: SocketId, by_reset: bool, context: &mut Context<'_>) {
        if self.asking.remove(&socket).is_some() {
            context.host.drop_socket(socket);
        } else if let Some(place) = self.joined.iter().position(|splice| splice.has(socket)) {
            if by_reset {
                self.joined.remove(place).drop_both(context);
            } else {
                self.joined[place].closed(socket);
            }
        } else {
            let dials = self.dialling.iter().find(|(_, (client, _))| *client == socket);
            if let Some(dial) = dials.map(|(dial, _)| *dial) {
                self.dialling.remove(&dial);
                context.host.drop_socket(dial);
                context.host.drop_socket(socket);
            }
        }
    }

    /// Moves what goes.
    pub(crate) fn pump(&mut self, context: &mut Context<'_>) {
        self.joined.retain_mut(|splice| {
            let goes_on = splice.turn(context) != Spliced::Over;
            if !goes_on {
                splice.drop_both(context);
            }
            goes_on
        });
    }
}

/// What a request asks for: a target and what to do there.
fn wanted(head: &[u8], behind: Vec<u8>) -> Option<(SocketAddr, Errand)> {
    let head = String::from_utf8_lossy(head);
    let (line, fields) = head.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, asked) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        return Some((asked.parse().ok()?, Errand::Tunnel(behind)));
    }
    let (authority, _) = asked.strip_prefix("http://")?.split_once('/')?;
    let path = asked.strip_prefix("http://")?.strip_prefix(authority)?;
    let mut request = format!("{method} {path} HTTP/1.1\r\n{fields}").into_bytes();
    request.extend_from_slice(&behind);
    Some((authority.parse().ok()?, Errand::Request(request)))
}

fn refuse(client: SocketId, status: &str, context: &mut Context<'_>) {
    context.log.tell(context.now, context.name, || format!("answers {status}"));
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    context.host.write(client, answer.as_bytes(), context.now);
    context.host.drop_socket(client);
}
