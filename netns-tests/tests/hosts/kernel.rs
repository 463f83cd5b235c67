//! The kernel, behind a TUN device in the calling thread's namespace.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simopen_device::handover::{self, Installation};
use simopen_device::socket::{self, DialOptions, TcpState};
use simopen_device::swallow::SwallowingPort;
use simopen_device::tun::Tun;
use simopen_packet::{Packet, Ttl};

use crate::script::{Call, Place, Subject, Use};
use crate::simulated::name;
use simopen_traversal::DialOutcome;

/// The kernel of this machine, and the one program on it.
pub(crate) struct Kernel<'a> {
    tun: &'a Tun,
    place: Place,
    stream: Option<TcpStream>,
    listener: Option<TcpListener>,
    swallower: Option<SwallowingPort>,
    was_open: bool,
}

impl<'a> Kernel<'a> {
    pub(crate) fn new(tun: &'a Tun, place: Place) -> Self {
        Self { tun, place, stream: None, listener: None, swallower: None, was_open: false }
    }

    fn dial(&mut self, options: &DialOptions) {
        let dialer = socket::bind_dialer(self.place.local, options).unwrap();
        self.stream = Some(dialer.connect(self.place.remote).unwrap());
    }

    fn state(&mut self) -> &'static str {
        if let Some(listener) = &self.listener
            && self.stream.is_none()
        {
            self.stream = listener.accept().ok().map(|(stream, _)| stream);
        }
        let Some(stream) = &mut self.stream else {
            return "nothing";
        };
        stream.set_nonblocking(true).unwrap();
        // An open connection keeps an ICMP error as a note, and stays open.
        match socket::tcp_info(stream).unwrap().state {
            TcpState::Closed => {}
            TcpState::SynSent | TcpState::SynReceived => return "opening",
            TcpState::CloseWait => return "closed by the other side",
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::TimeWait
            | TcpState::LastAck
            | TcpState::Listen
            | TcpState::Closing => {
                self.was_open = true;
                return "established";
            }
        }
        let error = socket::take_error(stream).unwrap().map(|error| error.kind());
        match error {
            Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
                name(DialOutcome::Unreachable)
            }
            Some(ErrorKind::PermissionDenied) => name(DialOutcome::Prohibited),
            Some(ErrorKind::TimedOut) => name(DialOutcome::TimedOut),
            Some(ErrorKind::ConnectionReset) if self.was_open => "reset",
            Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {
                name(DialOutcome::Refused)
            }
            _ => name(DialOutcome::LocalError),
        }
    }
}

impl Subject for Kernel<'_> {
    fn call(&mut self, call: Call) {
        let local = self.place.local;
        match call {
            Call::Dial => self.dial(&DialOptions::default()),
            Call::DialWithTtl(ttl) => {
                self.dial(&DialOptions { ttl: Some(Ttl(ttl)), ..DialOptions::default() });
            }
            Call::Listen => self.listener = Some(socket::listener_saving_syn(local).unwrap()),
            Call::Swallow => self.swallower = Some(SwallowingPort::bind(local).unwrap()),
            Call::Install => {
                let (own, answer) = self.place.opened_outside();
                let installation = Installation::from_handshake(&own, &answer).unwrap();
                self.stream = Some(handover::install(&installation).unwrap());
            }
            Call::Use(call) => {
                self.state();
                let stream = self.stream.as_mut().unwrap();
                match call {
                    Use::SetTtl(ttl) => socket::set_ttl(stream, Ttl(ttl)).unwrap(),
                    Use::Write(bytes) => {
                        stream.set_nodelay(true).unwrap();
                        stream.write_all(bytes).unwrap();
                    }
                    Use::Read => drop(stream.read(&mut [0; 65_536])),
                    Use::Close => stream.shutdown(Shutdown::Write).unwrap(),
                    Use::Drop => self.stream = None,
                }
            }
        }
    }

    fn deliver(&mut self, packet: &[u8]) {
        self.tun.write(packet).unwrap();
    }

    fn sent_within(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)> {
        let begin = Instant::now();
        let mut sent = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            let at = begin.elapsed();
            match self.tun.read(&mut buffer) {
                Ok(length) => {
                    let packet = &buffer[..length];
                    if Packet::parse(packet)
                        .is_ok_and(|packet| packet.source_endpoint() == Some(self.place.local))
                    {
                        sent.push((at, packet.to_vec()));
                    }
                }
                Err(_) if at >= time => return sent,
                Err(_) => {
                    let rest = PollTimeout::try_from(time - at).unwrap();
                    poll(&mut [PollFd::new(self.tun.as_fd(), PollFlags::POLLIN)], rest).unwrap();
                }
            }
        }
    }

    fn tell(&mut self) -> String {
        self.state().to_owned()
    }
}
