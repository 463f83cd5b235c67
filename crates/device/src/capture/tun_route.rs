//! Capture that stands in the way, by a route into a TUN device.
//!
//! ```text
//!   dialler bound to the stand-in address          kernel: swallowing port on the real one
//!        │  ▲                                                      ▲ (nobody answers RST,
//!        ▼  │ route of the stand-in only                           │  ICMP finds no socket)
//!      TUN device                                                  │
//!        │  ▲                                                      │
//!        ▼  │   source ⇄ destination rewritten, TTL of the SYN set │
//!      this capture ── raw socket ──▶ real interface ◀── packets ──┴── packet socket ──▶ capture
//! ```
//!
//! The dialling socket has an address that exists only on the TUN device, and a routing rule for
//! that source sends its packets there, to the one remote address; no other flow of this host is
//! touched, and no firewall rule is needed. Each packet is read whole, gets the real address as
//! its source and leaves through the real interface by a raw socket. What the remote sends to
//! the real address and port is seen by a packet socket, gets the stand-in as its destination and
//! goes back through the TUN device; the kernel's own copy meets a swallowing port. An ICMP
//! error, time-exceeded above all, quotes an endpoint for which the kernel has no socket, and
//! dies there: that is what lets a SYN with a low TTL live on.
//!
//! The capture stays in the path for the connection's life: poll it until the connection ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use simopen_packet::{Packet, Ttl};

use super::{CapturedPacket, Direction, PacketSocketCapture, SynCapture};
use crate::error::{Context, DeviceError};
use crate::filter::{Scope, Selection};
use crate::interface::{Interface, Route};
use crate::raw::RawSender;
use crate::swallow::SwallowingPort;
use crate::tun::{Tun, TunConfig};

/// What a [`TunRouteCapture`] connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunRouteConfig {
    /// Name of the TUN device to make.
    pub tun: String,
    /// The interface that the packets leave by and arrive at. It must not merge packets on
    /// receipt nor leave checksums to hardware: `ethtool -K eth0 gro off lro off tx off`; a TUN
    /// device does neither.
    pub interface: String,
    /// The real endpoint: an address of that interface, and the port that will dial.
    pub local: SocketAddr,
    /// Where the dial goes.
    pub remote: SocketAddr,
    /// The address that the dialling socket has instead; unused on this host, one from
    /// 198.18.0.0/15 (RFC 2544) or 2001:2::/48 (RFC 5180) for example.
    pub stand_in: IpAddr,
    /// Number of the routing table that the stand-in's packets look into; unused on this host.
    pub table: u32,
    /// Largest packet in bytes, as on the real interface.
    pub mtu: u32,
    /// Time to live of the bare SYNs that leave; `None` leaves the kernel's.
    pub syn_ttl: Option<Ttl>,
    /// What [`SynCapture::poll_packet`] shows; everything is forwarded all the same.
    pub scope: Scope,
}

/// Sees, alters and forwards every packet between a dialling socket and one remote.
#[derive(Debug)]
pub struct TunRouteCapture {
    tun: Tun,
    raw: RawSender,
    incoming: PacketSocketCapture,
    epoll: Epoll,
    _swallower: SwallowingPort,
    config: TunRouteConfig,
    stats: TunRouteStats,
}

/// What a [`TunRouteCapture`] did so far, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunRouteStats {
    /// Sent out through the real interface.
    pub forwarded_out: u64,
    /// Handed in to the dialling socket.
    pub forwarded_in: u64,
    /// Neither TCP from the dialling socket nor for it, or refused by the kernel.
    pub dropped: u64,
}

impl TunRouteCapture {
    /// Sets the path up in the calling thread's namespace; all of it goes with the value.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN and CAP_NET_RAW, where the addresses are of different IP
    /// versions, and where the TUN device's name, the stand-in or the rule exist already.
    pub fn open(config: TunRouteConfig) -> Result<Self, DeviceError> {
        let TunRouteConfig { local, remote, stand_in, .. } = config;
        if local.is_ipv4() != remote.is_ipv4() || local.is_ipv4() != stand_in.is_ipv4() {
            return Err(DeviceError::FamilyMismatch { local, remote });
        }
        // The swallowing port first: the kernel must be silent before anything leaves.
        let swallower = SwallowingPort::bind(local)?;
        let real = Interface::find(&config.interface)?;
        let selection = Selection {
            local_port: local.port(),
            remote: Some(remote),
            scope: Scope::OwnSynsAndIncoming,
        };
        let incoming = PacketSocketCapture::open(&selection, Some(&real))?;
        let raw = RawSender::for_endpoint(local)?;
        raw.bind_to_interface(&config.interface)?;
        let tun =
            Tun::open(&TunConfig { mtu: config.mtu, ..TunConfig::named(config.tun.as_str()) })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).on("epoll_create1", &config.tun)?;
        for descriptor in [tun.as_fd(), incoming.as_fd()] {
            let interest = EpollEvent::new(EpollFlags::EPOLLIN, 0);
            epoll.add(descriptor, interest).on("epoll_ctl", &config.tun)?;
        }
        let stats = TunRouteStats::default();
        let capture = Self { tun, raw, incoming, epoll, _swallower: swallower, config, stats };
        capture.set_route()?;
        Ok(capture)
    }

    /// Returns the endpoint to bind the dialling socket to.
    #[must_use]
    pub const fn dialling_endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.config.stand_in, self.config.local.port())
    }

    /// Changes the time to live of the bare SYNs that leave from now on.
    pub const fn set_syn_ttl(&mut self, ttl: Option<Ttl>) {
        self.config.syn_ttl = ttl;
    }

    /// Returns what was forwarded so far.
    #[must_use]
    pub const fn stats(&self) -> &TunRouteStats {
        &self.stats
    }

    fn set_route(&self) -> Result<(), DeviceError> {
        let TunRouteConfig { stand_in, table, remote, .. } = self.config;
        let interface = self.tun.interface();
        interface.add_address(stand_in, if stand_in.is_ipv4() { 32 } else { 128 })?;
        interface.set_up()?;
        interface.add_route(&Route { table: Some(table), ..Route::to_host(remote.ip()) })?;
        interface.add_source_rule(stand_in, table)
    }

    /// Takes one packet of the dialling socket; `None` where there is none now.
    fn forward_out(&mut self, buffer: &mut [u8]) -> io::Result<Option<Passed>> {
        let length = match self.tun.read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(bytes) = buffer.get_mut(..length) else { return Ok(None) };
        let Some(passed) = self.rewrite_outgoing(bytes) else {
            self.stats.dropped += 1;
            return Ok(Some(Passed { shown: None }));
        };
        // A packet that the kernel refuses now is lost, as on any link; TCP sends it again.
        match self.raw.send(bytes) {
            Ok(()) => self.stats.forwarded_out += 1,
            Err(_) => self.stats.dropped += 1,
        }
        Ok(Some(passed))
    }

    /// Gives a packet its real source, and a bare SYN its TTL.
    fn rewrite_outgoing(&self, bytes: &mut [u8]) -> Option<Passed> {
        let packet = Packet::parse(bytes).ok()?;
        let (source, destination) = (packet.source_endpoint()?, packet.destination_endpoint()?);
        if source != self.dialling_endpoint() || destination != self.config.remote {
            return None;
        }
        let is_syn = packet.tcp()?.flags.is_bare_syn();
        let layout = packet.layout();
        layout.set_source(bytes, self.config.local);
        if let (true, Some(ttl)) = (is_syn, self.config.syn_ttl) {
            layout.set_ttl(bytes, ttl);
        }
        let shown = CapturedPacket { length: bytes.len(), direction: Direction::Outgoing };
        Some(Passed { shown: is_syn.then_some(shown) })
    }

    /// Takes one packet of the remote; `None` where there is none now.
    fn forward_in(&mut self, buffer: &mut [u8]) -> io::Result<Option<Passed>> {
        loop {
            let Some(captured) = self.incoming.poll_packet(buffer)? else { return Ok(None) };
            if captured.direction == Direction::Outgoing {
                // Our own SYN on its way out, which was shown when it came in here.
                continue;
            }
            let Some(bytes) = buffer.get_mut(..captured.length) else { return Ok(None) };
            let rewritten = self.rewrite_incoming(bytes).is_some();
            if rewritten && self.tun.write(bytes).is_ok() {
                self.stats.forwarded_in += 1;
            } else {
                self.stats.dropped += 1;
            }
            let shown = match self.config.scope {
                Scope::OwnSyns => None,
                Scope::OwnSynsAndIncoming => self.restore_incoming(bytes).map(|()| captured),
            };
            return Ok(Some(Passed { shown }));
        }
    }

    fn rewrite_incoming(&self, bytes: &mut [u8]) -> Option<()> {
        let packet = Packet::parse(bytes).ok()?;
        if packet.destination_endpoint()? != self.config.local {
            return None;
        }
        let layout = packet.layout();
        layout.set_destination(bytes, self.dialling_endpoint()).then_some(())
    }

    /// Undoes [`rewrite_incoming`](Self::rewrite_incoming): a capture shows what was on the wire.
    fn restore_incoming(&self, bytes: &mut [u8]) -> Option<()> {
        let layout = Packet::parse(bytes).ok()?.layout();
        layout.set_destination(bytes, self.config.local).then_some(())
    }
}

/// A packet that was taken, and what of it the caller is shown.
struct Passed {
    shown: Option<CapturedPacket>,
}

impl SynCapture for TunRouteCapture {
    /// Forwards until a packet is to be shown or none is left; `buffer` must hold the MTU.
    fn poll_packet(&mut self, buffer: &mut [u8]) -> io::Result<Option<CapturedPacket>> {
        loop {
            let out = self.forward_out(buffer)?;
            if let Some(shown) = out.as_ref().and_then(|passed| passed.shown) {
                return Ok(Some(shown));
            }
            let inwards = self.forward_in(buffer)?;
            if let Some(shown) = inwards.as_ref().and_then(|passed| passed.shown) {
                return Ok(Some(shown));
            }
            if out.is_none() && inwards.is_none() {
                return Ok(None);
            }
        }
    }
}

impl AsFd for TunRouteCapture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl AsRawFd for TunRouteCapture {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}

impl Drop for TunRouteCapture {
    fn drop(&mut self) {
        // Address and route go with the device; the rule would stay. Nothing can be done about a
        // failure here, and an orphaned rule for an address that is gone matches nothing.
        let _ = self.tun.interface().delete_source_rule(self.config.stand_in, self.config.table);
    }
}
