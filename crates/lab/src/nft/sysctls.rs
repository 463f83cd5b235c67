//! What of a specification stands in conntrack's settings and not in rules.

use std::time::Duration;

use simopen_nat::{MidStream, MiddleboxSpec, Role, TcpTracking};

/// The settings of a router under a specification.
pub(super) fn of(spec: &MiddleboxSpec) -> Vec<(&'static str, String)> {
    if spec.role == Role::Transparent {
        return Vec::new();
    }
    let liberal = u8::from(spec.tracking == TcpTracking::Liberal);
    let loose = u8::from(spec.mid_stream == MidStream::PickedUp);
    let mut settings = vec![
        ("net/netfilter/nf_conntrack_tcp_be_liberal", liberal.to_string()),
        ("net/netfilter/nf_conntrack_tcp_loose", loose.to_string()),
    ];
    settings.extend(timers(spec).map(|(key, time)| (key, time.as_secs().to_string())));
    settings
}

/// Conntrack's timers.
pub(super) const fn timers(spec: &MiddleboxSpec) -> [(&'static str, Duration); 12] {
    let (tcp, udp) = (&spec.timers, spec.udp.lifetime);
    [
        ("net/netfilter/nf_conntrack_tcp_timeout_syn_sent", tcp.syn_sent),
        ("net/netfilter/nf_conntrack_tcp_timeout_syn_recv", tcp.syn_received),
        ("net/netfilter/nf_conntrack_tcp_timeout_established", tcp.established),
        ("net/netfilter/nf_conntrack_tcp_timeout_fin_wait", tcp.fin_wait),
        ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", tcp.close_wait),
        ("net/netfilter/nf_conntrack_tcp_timeout_last_ack", tcp.last_ack),
        ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", tcp.time_wait),
        ("net/netfilter/nf_conntrack_tcp_timeout_close", tcp.close),
        ("net/netfilter/nf_conntrack_tcp_timeout_unacknowledged", tcp.unacknowledged),
        ("net/netfilter/nf_conntrack_tcp_timeout_max_retrans", tcp.retransmitting),
        ("net/netfilter/nf_conntrack_udp_timeout", udp),
        ("net/netfilter/nf_conntrack_udp_timeout_stream", udp),
    ]
}
