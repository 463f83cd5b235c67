//! ICMP errors about a connection that is not open, as Linux takes them.

use simopen_packet::{IcmpError, IcmpKind, Quoted};
use simopen_traversal::DialOutcome;

use super::connection::{Connection, Origin, Turn};

impl Connection {
    /// An error came that quotes a packet of this connection. It ends a dial, and an opening that
    /// was answered too where it says so for good; an open connection does not care.
    pub(super) fn handle_icmp(&mut self, kind: IcmpKind, quoted: &Quoted<'_>, turn: &mut Turn<'_>) {
        let Some(handshake) = &self.handshake else {
            return;
        };
        let own = handshake.sequence();
        if !quoted.sequence.is_some_and(|sequence| sequence == own || sequence == own + 1) {
            return;
        }
        let v6 = quoted.source.is_ipv6();
        let ends = match self.origin {
            Origin::Dialled { shielded: true, .. } => None,
            Origin::Dialled { shielded: false, .. } => dial_outcome(kind, v6),
            Origin::Accepted { .. } | Origin::Installed => {
                ends_answer(kind, v6).then_some(DialOutcome::LocalError)
            }
        };
        if let Some(outcome) = ends {
            self.fail(outcome, turn);
        }
    }
}

/// What a dial in SYN-SENT ends with: the errors of Linux' `icmp_err_convert` (IPv4) and
/// `tab_unreach` (IPv6), as a dial knows them; `None` where it goes on.
const fn dial_outcome(kind: IcmpKind, v6: bool) -> Option<DialOutcome> {
    match kind {
        IcmpKind::Error(IcmpError::TimeExceeded | IcmpError::HostUnreachable) => {
            Some(DialOutcome::Unreachable)
        }
        IcmpKind::Error(IcmpError::PortUnreachable) => Some(DialOutcome::Refused),
        IcmpKind::Error(IcmpError::AdminProhibited) if v6 => Some(DialOutcome::Prohibited),
        IcmpKind::Error(IcmpError::AdminProhibited) => Some(DialOutcome::Unreachable),
        IcmpKind::OtherError { kind, code } if v6 => other_v6(kind, code),
        IcmpKind::OtherError { kind, code } => other_v4(kind, code),
        IcmpKind::Other { .. } => None,
    }
}

const fn other_v4(kind: u8, code: u8) -> Option<DialOutcome> {
    match (kind, code) {
        // A packet too big is for path MTU discovery.
        (3, 4) => None,
        (3, 0 | 1 | 6 | 9..=15) | (11, _) => Some(DialOutcome::Unreachable),
        (3 | 12, _) => Some(DialOutcome::LocalError),
        _ => None,
    }
}

const fn other_v6(kind: u8, code: u8) -> Option<DialOutcome> {
    match (kind, code) {
        (1, 5 | 6) => Some(DialOutcome::Prohibited),
        (1 | 3, _) => Some(DialOutcome::Unreachable),
        (4, _) => Some(DialOutcome::LocalError),
        _ => None,
    }
}

/// Whether the answer to a listener's SYN is given up (`tcp_v4_err`, `tcp_v6_err`).
const fn ends_answer(kind: IcmpKind, v6: bool) -> bool {
    match kind {
        IcmpKind::Error(IcmpError::TimeExceeded | IcmpError::HostUnreachable) => !v6,
        IcmpKind::Error(IcmpError::PortUnreachable | IcmpError::AdminProhibited) => v6,
        IcmpKind::OtherError { kind, code } if v6 => matches!((kind, code), (1, 5 | 6) | (4, _)),
        IcmpKind::OtherError { kind, code } => matches!((kind, code), (3, 0) | (11 | 12, _)),
        IcmpKind::Other { .. } => false,
    }
}
