//! The numbers of a relay, and of the listeners before it and before a broker.

use simopen_relay::Refusal;

use super::Figure;
use crate::{front, relay};

/// The names of a relay's figures.
#[must_use]
pub fn of_relay(relay: &relay::Handle) -> Vec<Figure> {
    let stats = relay.stats();
    let counter = Figure::counter;
    let mut figures = vec![
        Figure::gauge("simopen_relay_pairs", "Pairs between which bytes flow", relay.active()),
        counter("simopen_relay_bytes_total", "Bytes that were relayed, both ways", relay.bytes()),
        counter("simopen_relay_opened_total", "Pairings that were announced", stats.opened),
        counter(
            "simopen_relay_not_opened_total",
            "Announcements that were refused: a limit, or a number or value in use",
            stats.not_opened,
        ),
        counter("simopen_relay_joined_total", "Pairs that were joined", stats.joined),
        counter(
            "simopen_relay_expired_total",
            "Pairings that went without being joined",
            stats.expired,
        ),
        counter(
            "simopen_relay_half_closed_total",
            "Pairs closed because one side was closed for over 30 s",
            stats.half_closed,
        ),
        counter(
            "simopen_relay_ended_total",
            "Pairs and pairings ended by their number",
            stats.ended,
        ),
    ];
    figures.extend(Refusal::ALL.map(|reason| {
        let help = "Connections closed without being joined";
        counter("simopen_relay_refused_total", help, stats.refused(reason))
            .labelled("reason", reason.word())
    }));
    figures.extend(relay.front_stats().iter().flat_map(of_front));
    figures
}

/// The names of the figures of a front.
#[must_use]
pub fn of_front(stats: &front::Stats) -> Vec<Figure> {
    let counter = Figure::counter;
    let refused = |reason: &str, count| {
        let help = "Connections that began nothing, or took too long";
        counter("simopen_connections_refused_total", help, count).labelled("reason", reason)
    };
    let gauge = |name, help, value: u64| {
        Figure::gauge(name, help, usize::try_from(value).unwrap_or(usize::MAX))
    };
    vec![
        counter("simopen_connections_total", "Accepted connections", stats.accepted),
        gauge("simopen_newcomers", "Connections that have not shown who they are", stats.newcomers),
        gauge("simopen_carriers", "Carriers over HTTP", stats.carriers),
        refused("accept-failed", stats.accept_failed),
        refused("crowded", stats.crowded),
        refused("late", stats.late),
        refused("not-understood", stats.not_understood),
        refused("not-found", stats.not_found),
    ]
}
