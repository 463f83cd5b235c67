//! How long a TCP session lives without traffic.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a session lives in each state after its last packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TcpTimers {
    /// After the first SYN, and after a second SYN from the other side.
    pub syn_sent: Duration,
    /// After the SYN-ACK.
    pub syn_received: Duration,
    /// Once the handshake is complete.
    pub established: Duration,
    /// After the first FIN.
    pub fin_wait: Duration,
    /// After the first FIN was acknowledged.
    pub close_wait: Duration,
    /// After FINs both ways.
    pub last_ack: Duration,
    /// After the last acknowledgement.
    pub time_wait: Duration,
    /// After an RST.
    pub close: Duration,
    /// Upper bound of any of them while sent bytes wait for their acknowledgement.
    pub unacknowledged: Duration,
    /// Upper bound of any of them after the same segment was seen four times, and while the window
    /// announced last is zero.
    pub retransmitting: Duration,
}

impl TcpTimers {
    /// Linux: the defaults of `nf_conntrack_tcp_timeout_*`.
    pub const LINUX: Self = Self {
        syn_sent: Duration::from_secs(120),
        syn_received: Duration::from_secs(60),
        established: Duration::from_secs(432_000),
        fin_wait: Duration::from_secs(120),
        close_wait: Duration::from_secs(60),
        last_ack: Duration::from_secs(30),
        time_wait: Duration::from_secs(120),
        close: Duration::from_secs(10),
        unacknowledged: Duration::from_secs(300),
        retransmitting: Duration::from_secs(300),
    };

    /// OpenBSD pf: the defaults of `set timeout` (`tcp.first`, `tcp.opening`, `tcp.established`,
    /// `tcp.closing`, `tcp.finwait`, `tcp.closed`).
    pub const PF: Self = Self {
        syn_sent: Duration::from_secs(120),
        syn_received: Duration::from_secs(30),
        fin_wait: Duration::from_secs(900),
        close_wait: Duration::from_secs(900),
        last_ack: Duration::from_secs(45),
        time_wait: Duration::from_secs(90),
        close: Duration::from_secs(90),
        ..Self::uniform(Duration::from_secs(86_400), Duration::from_secs(120))
    };

    /// RFC 5382 §5, REQ-5: established 2 hours 4 minutes, transitory 4 minutes, both at their
    /// permitted minimum.
    pub const RFC5382: Self =
        Self::uniform(Duration::from_secs(2 * 3600 + 4 * 60), Duration::from_secs(240));

    /// The same time in every transitory state, and no shorter ones for unacknowledged bytes.
    #[must_use]
    pub const fn uniform(established: Duration, transitory: Duration) -> Self {
        Self {
            syn_sent: transitory,
            syn_received: transitory,
            established,
            fin_wait: transitory,
            close_wait: transitory,
            last_ack: transitory,
            time_wait: transitory,
            close: transitory,
            unacknowledged: established,
            retransmitting: established,
        }
    }
}
