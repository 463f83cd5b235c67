//! How long a TCP session lives in each state (RFC 5382 §5), and packets of which side prolong it.

use std::time::Duration;

use simopen_nat::{Refresh, TcpTracking};
use simopen_packet::TcpFlags;

use super::axis::Axis;
use super::classification::Classification;
use super::connection::Connection;
use super::lifetime::lifetime;
use super::probe::{FIN_ACK, Probe, Segment};
use super::reading::{NotSeen, Reading};

/// Enough repetitions of one segment for a box that counts them.
const REPEATS: usize = 6;

/// The states whose time can be measured, and where their timer stands.
const STATES: [(Axis, State); 10] = [
    (Axis::SynSent, State::SynSent),
    (Axis::SynReceived, State::SynReceived),
    (Axis::Established, State::Established),
    (Axis::FinWait, State::FinWait),
    (Axis::CloseWait, State::CloseWait),
    (Axis::LastAck, State::LastAck),
    (Axis::TimeWait, State::TimeWait),
    (Axis::Close, State::Close),
    (Axis::Unacknowledged, State::Unacknowledged),
    (Axis::Retransmitting, State::Retransmitting),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
    Unacknowledged,
    Retransmitting,
}

/// Measures the time of every state; a box that knows no states has the time of connections alone.
pub(super) fn timers(probe: &mut Probe<'_>, found: &mut Classification) {
    let has_states = found.value(Axis::Tracking) != Some(TcpTracking::None);
    for (axis, state) in STATES {
        if !has_states && state != State::Established {
            found.masked(axis, Axis::Tracking);
            continue;
        }
        let reading = lifetime(
            probe,
            |probe| state.reach(probe),
            |probe, connection| probe.passes(&state.question(connection)),
        );
        found.note(axis, reading);
    }
}

impl State {
    /// Brings a connection there.
    fn reach(self, probe: &mut Probe<'_>) -> Option<Connection> {
        let (inside, remote) = (probe.inside(0, 4000), probe.remote(0, 0)?);
        if self == Self::SynSent {
            let connection = probe.open(inside, remote)?;
            return (!connection.is_proxied()).then_some(connection);
        }
        if self == Self::SynReceived {
            let connection = probe.answered(inside, remote)?;
            return (!connection.is_proxied()).then_some(connection);
        }
        let connection = probe.establish(inside, remote)?;
        for segment in self.segments(&connection) {
            probe.tell(&segment);
        }
        Some(connection)
    }

    /// What is said after the handshake.
    fn segments(self, connection: &Connection) -> Vec<Segment<'static>> {
        let fin = connection.out(FIN_ACK, 1, 1);
        let fin_acknowledged = connection.back(TcpFlags::ACK, 1, 2);
        let other_fin = connection.back(FIN_ACK, 1, 2);
        let last = connection.out(TcpFlags::ACK, 2, 2);
        match self {
            Self::SynSent | Self::SynReceived | Self::Established => Vec::new(),
            Self::FinWait => vec![fin],
            Self::CloseWait => vec![fin, fin_acknowledged],
            Self::LastAck => vec![fin, fin_acknowledged, other_fin],
            Self::TimeWait => vec![fin, fin_acknowledged, other_fin, last],
            Self::Close => vec![connection.out(TcpFlags::RST, 1, 1)],
            Self::Unacknowledged => {
                // From both sides, since not every box lets both prolong a session.
                vec![
                    connection.back(TcpFlags::ACK, 1, 1).with_payload(10),
                    connection.out(TcpFlags::ACK, 1, 1).with_payload(10),
                ]
            }
            Self::Retransmitting => {
                let mut said = vec![connection.back(TcpFlags::ACK, 1, 1); REPEATS];
                said.extend(vec![connection.out(TcpFlags::ACK, 1, 1); REPEATS]);
                said
            }
        }
    }

    /// A segment from outside that a living session lets in.
    fn question(self, connection: &Connection) -> Segment<'static> {
        match self {
            Self::SynSent | Self::SynReceived => connection.syn_ack(),
            Self::Established | Self::Close | Self::Unacknowledged | Self::Retransmitting => {
                connection.back(TcpFlags::ACK, 1, 1)
            }
            Self::FinWait | Self::CloseWait => connection.back(TcpFlags::ACK, 1, 2),
            Self::LastAck | Self::TimeWait => connection.back(TcpFlags::ACK, 2, 2),
        }
    }
}

/// Reads whether an established connection outlives its time if one side speaks in its middle.
pub(super) fn refresh(probe: &mut Probe<'_>, found: &Classification) -> Reading {
    let Reading::Lasts { longer_than, at_most: Some(_) } = *found.reading(Axis::Established) else {
        return Reading::NotSeen(NotSeen::TakesTooLong);
    };
    let inbound = outlives(probe, longer_than, |connection| connection.back(TcpFlags::ACK, 1, 1));
    let outbound = outlives(probe, longer_than, |connection| connection.out(TcpFlags::ACK, 1, 1));
    match (inbound, outbound) {
        (Some(true), Some(true)) => Reading::is(Refresh::Both),
        (Some(true), Some(false)) => Reading::is(Refresh::Inbound),
        (Some(false), Some(true)) => Reading::is(Refresh::Outbound),
        (Some(false), Some(false)) | (None, _) | (_, None) => {
            Reading::NotSeen(NotSeen::LeavesNoTrace)
        }
    }
}

fn outlives(
    probe: &mut Probe<'_>,
    time: Duration,
    word: impl Fn(&Connection) -> Segment<'static>,
) -> Option<bool> {
    let most = time * 3 / 4;
    probe.restart();
    let connection = State::Established.reach(probe)?;
    if !probe.wait(most) {
        return None;
    }
    probe.tell(&word(&connection));
    if !probe.wait(most) {
        return None;
    }
    Some(probe.passes(&State::Established.question(&connection)))
}
