//! What a broker says of itself, and the invitation for its first user.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Result, bail};
use simopen_device::interface::reachable_addresses;
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::BrokerName;
use simopen_server::admin::{Administered, Answer, Attendant, Introduction, Told, Word};
use simopen_server::authority::Authority;

use super::telling::Telling;
use crate::broker_arguments::BrokerArguments;
use crate::broker_settings::BrokerFile;

/// The most addresses that an invitation names.
const MOST_ADDRESSES: usize = 8;
/// How long the first invitation is good.
const USUAL_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// By flags, by file, or by what this machine is.
pub(super) fn introduce(
    arguments: &BrokerArguments,
    file: &BrokerFile,
    listeners: &[TcpListener],
    authority: &Authority,
) -> Result<Introduction> {
    let name = arguments.name.clone().or_else(|| file.name.as_ref().map(|name| name.0.clone()));
    let name = name.or_else(machine_name).map_or_else(|| BrokerName::new("broker"), Ok)?;
    let mut addresses: Vec<HostPort> = arguments.address.clone();
    if addresses.is_empty() {
        addresses.extend(file.addresses.iter().map(|written| written.0.clone()));
    }
    if addresses.is_empty() {
        let here = reachable_addresses()?;
        for listener in listeners {
            addresses.extend(reached_by(listener.local_addr()?, &here).map(HostPort::from));
        }
    }
    if addresses.is_empty() {
        // A machine without a network: the devices are on it.
        let here = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for listener in listeners {
            addresses.extend(reached_by(listener.local_addr()?, &here).map(HostPort::from));
        }
    }
    addresses.truncate(MOST_ADDRESSES);
    Ok(Introduction { name, addresses, authority: authority.fingerprint() })
}

/// How others reach a listener: by its address, or by all of this machine's.
fn reached_by(listener: SocketAddr, here: &[IpAddr]) -> impl Iterator<Item = SocketAddr> {
    let ips = if listener.ip().is_unspecified() {
        let same = here.iter().filter(|ip| ip.is_ipv4() == listener.is_ipv4());
        same.copied().collect()
    } else {
        vec![listener.ip()]
    };
    ips.into_iter().map(move |ip| SocketAddr::new(ip, listener.port()))
}

/// The machine's name as a broker's: what is no letter of a name becomes a dash.
fn machine_name() -> Option<BrokerName> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let first = name.trim().split('.').next()?;
    let kept = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let name: String =
        first.chars().map(|letter| if kept(letter) { letter } else { '-' }).collect();
    name.parse().ok()
}

/// Invites the first user while nobody has joined.
pub(super) async fn first_invitation<B: Administered>(
    attendant: &Attendant<B>,
    file: &BrokerFile,
    telling: Telling,
) -> Result<()> {
    let Told::Devices(devices) = told(attendant, Word::Devices { user: None }).await? else {
        return Ok(());
    };
    if devices.iter().any(|device| device.kind == "peer") {
        return Ok(());
    }
    let of = &file.first_user;
    let user =
        of.name.as_ref().map_or_else(|| "owner".to_owned(), |name| name.as_ref().0.to_string());
    let community = of.community.as_ref();
    let community = community.map_or_else(|| "home".to_owned(), |name| name.as_ref().0.to_string());
    let lifetime = of.lifetime.as_ref().map_or(USUAL_LIFETIME, |period| period.as_ref().0.0);
    let invite = Word::Invite {
        user: user.clone(),
        communities: vec![community],
        seconds: lifetime.as_secs(),
    };
    if let Told::Invited(invited) = told(attendant, invite).await? {
        telling.invitation(&user, &invited)?;
    }
    Ok(())
}

async fn told<B: Administered>(attendant: &Attendant<B>, word: Word) -> Result<Told> {
    match attendant.answer(word).await {
        Answer::Ok(told) => Ok(told),
        Answer::Error(refused) => bail!("the first user cannot be invited: {}", refused.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_each_of_its_family() {
        let here = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let reached = |listener: &str| -> Vec<String> {
            let listener = listener.parse().unwrap();
            reached_by(listener, &here).map(|endpoint| endpoint.to_string()).collect()
        };
        assert_eq!(reached("0.0.0.0:1"), ["192.0.2.1:1"]);
        assert_eq!(reached("[::]:1"), ["[2001:db8::1]:1"]);
        assert_eq!(reached("127.0.0.1:1"), ["127.0.0.1:1"]);
    }
}
