//! What a peer may be brought to dial: so that neither a broker nor another peer can use it as a
//! weapon.
//!
//! A peer dials or emits only towards the address that the broker observed for the other peer, or
//! a private one of it where both have the same observed address; never loopback, link-local, multicast, its default gateway or the broker; never a private
//! address that the broker cannot have observed where it stands; ports from 1024 up;
//! at most [`MAX_TARGETS`] targets and [`MAX_SYNS`] SYNs a session. Each violation is a variant of
//! [`Violation`] and has a test.
//!
//! A relay is no peer, and is dialled at a web server's ports too. It may be where the broker is;
//! else what holds for targets holds for it.

use core::net::{IpAddr, SocketAddr};

/// The most targets of one session.
pub const MAX_TARGETS: u8 = 8;
/// The most SYNs that one session sends.
pub const MAX_SYNS: u8 = 16;
/// The lowest port that is dialled: below are the system's services.
pub const LOWEST_PORT: u16 = 1024;
/// The ports below it at which a relay may be, because proxies let nothing else through.
pub const RELAY_PORTS: [u16; 2] = [80, 443];

/// Judges the targets of one session and counts them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetConsent {
    broker: IpAddr,
    gateway: Option<IpAddr>,
    targets: u8,
    syns: u8,
}

impl TargetConsent {
    /// Consent for one session of a peer whose broker and default gateway these are.
    #[must_use]
    pub const fn new(broker: IpAddr, gateway: Option<IpAddr>) -> Self {
        Self { broker, gateway, targets: 0, syns: 0 }
    }

    /// Judges one target that the broker named, and counts it.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn allow_target(&mut self, target: SocketAddr) -> Result<(), Violation> {
        let address = target.ip().to_canonical();
        self.allow_reachable(target)?;
        if is_private(address) && !is_private(self.broker.to_canonical()) {
            return Err(Violation::Private);
        }
        self.count_target()
    }

    /// Judges an endpoint in the other side's own network, and counts it. `own` is this peer's
    /// address; `shares_public_address` says whether the broker observed both at one address.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn allow_private(
        &mut self,
        target: SocketAddr,
        own: IpAddr,
        shares_public_address: bool,
    ) -> Result<(), Violation> {
        let address = target.ip().to_canonical();
        self.allow_reachable(target)?;
        if !shares_public_address {
            return Err(Violation::Private);
        }
        if !is_private(address) {
            return Err(Violation::NotObserved);
        }
        if address == own.to_canonical() {
            return Err(Violation::OwnAddress);
        }
        self.count_target()
    }

    /// Judges an address of a relay that the broker named.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn allow_relay(&self, relay: SocketAddr) -> Result<(), Violation> {
        let address = relay.ip().to_canonical();
        let broker = self.broker.to_canonical();
        if relay.port() < LOWEST_PORT && !RELAY_PORTS.contains(&relay.port()) {
            return Err(Violation::LowPort);
        }
        if address == broker {
            return Ok(());
        }
        self.allow_address(address)?;
        if is_private(address) && !is_private(broker) {
            return Err(Violation::Private);
        }
        Ok(())
    }

    /// The rules that hold for every target.
    fn allow_reachable(&self, target: SocketAddr) -> Result<(), Violation> {
        if target.port() < LOWEST_PORT {
            return Err(Violation::LowPort);
        }
        self.allow_address(target.ip().to_canonical())
    }

    fn allow_address(&self, address: IpAddr) -> Result<(), Violation> {
        if address.is_unspecified() {
            return Err(Violation::Unspecified);
        }
        if address.is_loopback() {
            return Err(Violation::Loopback);
        }
        if address.is_multicast() || is_broadcast(address) {
            return Err(Violation::Multicast);
        }
        if is_link_local(address) {
            return Err(Violation::LinkLocal);
        }
        if address == self.broker.to_canonical() {
            return Err(Violation::Broker);
        }
        if self.gateway.is_some_and(|gateway| gateway.to_canonical() == address) {
            return Err(Violation::Gateway);
        }
        Ok(())
    }

    const fn count_target(&mut self) -> Result<(), Violation> {
        if self.targets == MAX_TARGETS {
            return Err(Violation::TooManyTargets);
        }
        self.targets += 1;
        Ok(())
    }

    /// Counts one SYN.
    ///
    /// # Errors
    ///
    /// [`Violation::TooManySyns`] once [`MAX_SYNS`] are out.
    pub const fn allow_syn(&mut self) -> Result<(), Violation> {
        if self.syns == MAX_SYNS {
            return Err(Violation::TooManySyns);
        }
        self.syns += 1;
        Ok(())
    }
}

const fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// RFC 1918, RFC 6598 and RFC 4193.
const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// Why a target or a SYN is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A port below 1024.
    LowPort,
    /// 0.0.0.0 or ::.
    Unspecified,
    /// 127.0.0.0/8 or ::1, also as an IPv4-mapped address.
    Loopback,
    /// 169.254.0.0/16 or fe80::/10.
    LinkLocal,
    /// Multicast or broadcast.
    Multicast,
    /// The peer's default gateway.
    Gateway,
    /// The broker itself.
    Broker,
    /// An address of a private network, named by a broker with a public address: nobody else's
    /// endpoint looks like that from there, but a device beside this peer has such an address.
    Private,
    /// A public address that the broker has not observed, named as one of the other side's network.
    NotObserved,
    /// The peer's own address.
    OwnAddress,
    /// More than [`MAX_TARGETS`] targets.
    TooManyTargets,
    /// More than [`MAX_SYNS`] SYNs.
    TooManySyns,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> TargetConsent {
        TargetConsent::new("192.0.2.1".parse().unwrap(), Some("10.0.0.1".parse().unwrap()))
    }

    #[test]
    fn each_forbidden_target_is_refused_with_its_rule() {
        for (target, violation) in [
            ("203.0.113.5:1023", Violation::LowPort),
            ("0.0.0.0:4000", Violation::Unspecified),
            ("[::]:4000", Violation::Unspecified),
            ("127.0.0.1:4000", Violation::Loopback),
            ("127.9.9.9:4000", Violation::Loopback),
            ("[::1]:4000", Violation::Loopback),
            ("[::ffff:127.0.0.1]:4000", Violation::Loopback),
            ("169.254.1.1:4000", Violation::LinkLocal),
            ("[fe80::1]:4000", Violation::LinkLocal),
            ("224.0.0.1:4000", Violation::Multicast),
            ("255.255.255.255:4000", Violation::Multicast),
            ("[ff02::1]:4000", Violation::Multicast),
            ("10.0.0.1:4000", Violation::Gateway),
            ("10.0.0.9:4000", Violation::Private),
            ("172.31.255.1:4000", Violation::Private),
            ("192.168.1.20:8080", Violation::Private),
            ("100.127.0.1:4000", Violation::Private),
            ("[::ffff:192.168.1.20]:8080", Violation::Private),
            ("[fd00::1]:4000", Violation::Private),
            ("192.0.2.1:4000", Violation::Broker),
            ("[::ffff:192.0.2.1]:4000", Violation::Broker),
        ] {
            assert_eq!(consent().allow_target(target.parse().unwrap()), Err(violation), "{target}");
        }
    }

    #[test]
    fn a_private_target_is_allowed_where_the_broker_is_private_too() {
        let mut consent = TargetConsent::new("192.168.7.1".parse().unwrap(), None);
        assert_eq!(consent.allow_target("10.0.0.9:4000".parse().unwrap()), Ok(()));
    }

    #[test]
    fn an_address_in_the_other_sides_network_is_allowed_where_both_share_a_public_one() {
        let own = "10.0.0.2".parse().unwrap();
        let judge =
            |target: &str, shared| consent().allow_private(target.parse().unwrap(), own, shared);
        assert_eq!(judge("10.0.0.9:4000", true), Ok(()));
        assert_eq!(judge("[fd00::9]:4000", true), Ok(()));
        for (target, shared, violation) in [
            ("10.0.0.9:4000", false, Violation::Private),
            ("203.0.113.5:4000", true, Violation::NotObserved),
            ("10.0.0.2:4000", true, Violation::OwnAddress),
            ("[::ffff:10.0.0.2]:4000", true, Violation::OwnAddress),
            ("10.0.0.1:4000", true, Violation::Gateway),
            ("127.0.0.1:4000", true, Violation::Loopback),
            ("169.254.1.1:4000", true, Violation::LinkLocal),
            ("192.0.2.1:4000", true, Violation::Broker),
            ("10.0.0.9:1023", true, Violation::LowPort),
        ] {
            assert_eq!(judge(target, shared), Err(violation), "{target}");
        }
    }

    #[test]
    fn a_relay_is_no_device_beside_the_peer_and_listens_as_servers_do() {
        for (relay, judged) in [
            ("203.0.113.5:443", Ok(())),
            ("203.0.113.5:80", Ok(())),
            ("203.0.113.5:7443", Ok(())),
            ("192.0.2.1:7443", Ok(())),
            ("[::ffff:192.0.2.1]:443", Ok(())),
            ("203.0.113.5:25", Err(Violation::LowPort)),
            ("192.0.2.1:22", Err(Violation::LowPort)),
            ("0.0.0.0:443", Err(Violation::Unspecified)),
            ("127.0.0.1:443", Err(Violation::Loopback)),
            ("[::1]:443", Err(Violation::Loopback)),
            ("169.254.169.254:80", Err(Violation::LinkLocal)),
            ("[fe80::1]:443", Err(Violation::LinkLocal)),
            ("224.0.0.1:443", Err(Violation::Multicast)),
            ("255.255.255.255:443", Err(Violation::Multicast)),
            ("10.0.0.1:443", Err(Violation::Gateway)),
            ("192.168.1.20:443", Err(Violation::Private)),
        ] {
            assert_eq!(consent().allow_relay(relay.parse().unwrap()), judged, "{relay}");
        }
    }

    #[test]
    fn a_relay_beside_a_broker_on_this_very_machine_is_allowed() {
        let consent = TargetConsent::new("127.0.0.1".parse().unwrap(), None);
        assert_eq!(consent.allow_relay("127.0.0.1:7443".parse().unwrap()), Ok(()));
        let other = consent.allow_relay("127.0.0.2:7443".parse().unwrap());
        assert_eq!(other, Err(Violation::Loopback));
    }

    #[test]
    fn the_ninth_target_is_refused() {
        let mut consent = consent();
        let target = "203.0.113.5:4000".parse().unwrap();
        for _ in 0..MAX_TARGETS {
            assert_eq!(consent.allow_target(target), Ok(()));
        }
        assert_eq!(consent.allow_target(target), Err(Violation::TooManyTargets));
    }

    #[test]
    fn the_seventeenth_syn_is_refused() {
        let mut consent = consent();
        for _ in 0..MAX_SYNS {
            assert_eq!(consent.allow_syn(), Ok(()));
        }
        assert_eq!(consent.allow_syn(), Err(Violation::TooManySyns));
    }
}
