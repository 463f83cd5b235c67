//! What ends a session before its time: RSTs and ICMP errors.

use std::net::SocketAddr;

use simopen_nat::{IcmpErrors, OnIcmpError, OnReset};
use simopen_packet::{IcmpError, TcpFlags, Transport, error_quoting};

use super::axis::Axis;
use super::bench::Vantage;
use super::connection::Connection;
use super::probe::{Arrival, FIN_ACK, Probe, Segment};
use super::reading::{NotSeen, Reading};

/// Reads what an RST does while nobody has answered, and what it does to an established connection.
pub(super) fn on_reset(probe: &mut Probe<'_>) -> Reading {
    try_resets(probe).unwrap_or(Reading::NotSeen(NotSeen::LeavesNoTrace))
}

fn try_resets(probe: &mut Probe<'_>) -> Option<Reading> {
    let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
    probe.restart();
    let unanswered = probe.open(inside, remote)?;
    probe.tell(&unanswered.out(TcpFlags::RST, 1, 0));
    let forgets_unanswered = !unanswered.is_proxied() && !probe.passes(&unanswered.syn_ack());
    probe.restart();
    let established = probe.establish(inside, remote)?;
    probe.tell(&established.out(TcpFlags::RST, 1, 0));
    let forgets_established = !probe.passes(&established.back(TcpFlags::ACK, 1, 1));
    let effect = match (forgets_unanswered, forgets_established) {
        (_, true) => OnReset::Deletes,
        (true, false) => OnReset::DeletesUnanswered,
        (false, false) if unanswered.is_proxied() => {
            return Some(Reading::NotSeen(NotSeen::MaskedBy(Axis::SynProxy)));
        }
        (false, false) if reopens_after_reset(probe, inside, remote)? => OnReset::StartsCloseTimer,
        (false, false) => OnReset::Ignored,
    };
    Some(Reading::is(effect))
}

/// Whether a SYN after an RST begins a new connection, so that a FIN of the old one is turned away.
fn reopens_after_reset(
    probe: &mut Probe<'_>,
    inside: SocketAddr,
    remote: SocketAddr,
) -> Option<bool> {
    probe.restart();
    let connection = probe.establish(inside, remote)?;
    probe.tell(&connection.out(TcpFlags::RST, 1, 0));
    probe.tell(&Segment::syn(inside, remote, 0x3000_0000));
    Some(!probe.passes(&connection.back(FIN_ACK, 1, 1)))
}

/// Reads which ICMP errors from outside reach the host whose SYN they quote.
pub(super) fn icmp_errors(probe: &mut Probe<'_>) -> Reading {
    let came = [IcmpError::HostUnreachable, IcmpError::TimeExceeded].map(|kind| {
        let (connection, arrivals) = quote(probe, kind)?;
        Some(arrivals.iter().any(|arrival| is_error_for(arrival, &connection)))
    });
    let [Some(unreachable), Some(exceeded)] = came else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    Reading::is(match (unreachable, exceeded) {
        (true, true) => IcmpErrors::Passed,
        (true, false) => IcmpErrors::TimeExceededFiltered,
        (false, _) => IcmpErrors::AllFiltered,
    })
}

/// Reads whether a SYN-ACK still comes in after an ICMP error did.
pub(super) fn on_icmp_error(probe: &mut Probe<'_>) -> Reading {
    let Some((connection, _)) = quote(probe, IcmpError::HostUnreachable) else {
        return Reading::NotSeen(NotSeen::LeavesNoTrace);
    };
    let lives = probe.is_answered(&connection);
    Reading::is(if lives { OnIcmpError::SessionKept } else { OnIcmpError::SessionDeleted })
}

/// Dials, and has the dialled host send an ICMP error about the SYN.
fn quote(probe: &mut Probe<'_>, kind: IcmpError) -> Option<(Connection, Vec<Arrival>)> {
    probe.restart();
    let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
    let connection = probe.open(inside, remote)?;
    let mut error = [0; 1280];
    let offending = connection.syn_outside().bytes();
    let length = error_quoting(kind, remote.ip(), &offending, &mut error)?;
    let arrivals = probe.send(Vantage::Outside(0), error.get(..length)?);
    Some((connection, arrivals))
}

/// Whether this is an error about the connection's own SYN as its host knows it.
fn is_error_for(arrival: &Arrival, connection: &Connection) -> bool {
    let quotes_it = arrival.packet().is_some_and(|packet| match packet.transport {
        Transport::Icmp(message) => {
            message.quoted.is_some_and(|quoted| quoted.source == connection.inside)
        }
        Transport::Tcp(_) | Transport::Other | Transport::Fragment => false,
    });
    arrival.at == Vantage::Inside(0) && quotes_it
}
