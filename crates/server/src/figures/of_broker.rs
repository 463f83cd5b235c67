//! The broker's numbers.

use std::collections::BTreeMap;

use simopen_broker::consent::Violation;
use simopen_broker::{Gauges, Stats};
use simopen_protocol::cause::Cause;

use super::Figure;
use super::of_relay::of_front;
use crate::broker::{Figures, Refusal};
use crate::forger;

/// The names of a broker's figures.
#[must_use]
pub fn of_broker(of: &Figures) -> Vec<Figure> {
    let stats = &of.stats;
    let mut figures = counters(stats);
    figures.extend(held(&of.gauges));
    figures.extend(of_front(&of.front));
    // Those that were not counted yet too: what first appears with 1 has not grown.
    figures.extend(Refusal::ALL.map(|reason| {
        let help = "Connections and frames refused before the broker heard of them";
        Figure::counter("simopen_links_refused_total", help, counted(&of.refused, &reason))
            .labelled("reason", reason.word())
    }));
    figures.extend(forger::Refusal::ALL.iter().map(|reason| {
        let help = "Proofs and packets that the forger refused";
        Figure::counter("simopen_forger_refused_total", help, counted(&of.not_forged, reason))
            .labelled("reason", reason.name())
    }));
    let failed = Cause::ALL.iter().map(|cause| {
        let (help, count) = ("Sessions that failed, by cause", counted(&stats.failed, cause));
        Figure::counter("simopen_sessions_failed_total", help, count)
            .labelled("cause", cause.word())
    });
    let refused = stats.refused.iter().map(|(word, count)| {
        Figure::counter("simopen_refused_total", "Requests answered with an error", *count)
            .labelled("reason", word.clone())
    });
    let forbidden = Violation::ALL.iter().map(|violation| {
        let help = "Forged packets that a rule of consent forbade";
        let count = counted(&stats.violations, violation);
        Figure::counter("simopen_forging_refused_total", help, count)
            .labelled("rule", rule(*violation))
    });
    figures.extend(failed.chain(refused).chain(forbidden));
    figures
}

fn counted<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or_default()
}

fn counters(stats: &Stats) -> Vec<Figure> {
    let counter = Figure::counter;
    vec![
        counter("simopen_joined_total", "Devices that joined", stats.joined),
        counter("simopen_logins_total", "Logins", stats.logins),
        counter(
            "simopen_verified_total",
            "Silent peers that were asked whether they are still there",
            stats.verified,
        ),
        counter(
            "simopen_vanished_total",
            "Peers that did not answer that, and were logged out",
            stats.vanished,
        ),
        counter(
            "simopen_sessions_confirmed_total",
            "Sessions that both sides confirmed",
            stats.confirmed,
        ),
        counter("simopen_pairings_total", "Pairs that the relay was asked to join", stats.pairings),
        counter("simopen_notes_total", "Notes taken", stats.notes),
        counter("simopen_persisted_total", "Changes that the store kept", stats.persisted),
        counter(
            "simopen_persist_failed_total",
            "Changes that the store did not keep",
            stats.persist_failed,
        ),
        counter("simopen_revoked_total", "Users and devices revoked", stats.revoked),
        counter("simopen_forged_total", "Forged packets given out", stats.forged),
        counter("simopen_withheld_total", "Forged packets withheld", stats.withheld),
    ]
}

fn held(gauges: &Gauges) -> Vec<Figure> {
    let gauge = Figure::gauge;
    vec![
        gauge("simopen_links", "Control connections", gauges.links),
        gauge("simopen_peers", "Logged-in devices", gauges.peers),
        gauge("simopen_sessions", "Open sessions", gauges.sessions),
        gauge("simopen_pairings", "Pairs that may stand at the relay", gauges.pairings),
        gauge("simopen_logins_held", "Logins that are held back", gauges.held),
        gauge("simopen_persist_waiting", "Changes that wait for the store", gauges.waiting),
        gauge("simopen_users", "Users, revoked ones too", gauges.users),
        gauge("simopen_devices", "Devices, revoked ones too", gauges.devices),
        gauge("simopen_teams", "Teams", gauges.teams),
        gauge("simopen_notes_kept", "Notes, each counted once", gauges.notes),
    ]
}

/// The rule's name in lower case, with dashes.
fn rule(violation: Violation) -> String {
    let mut name = String::new();
    for letter in format!("{violation:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_apart_by_its_reason() {
        let mut of = Figures::default();
        of.stats.refused.insert("unknown-user".into(), 3);
        of.stats.violations.insert(Violation::NotASyn, 2);
        of.refused.insert(Refusal::TlsFailed, 1);
        let figures = of_broker(&of);
        let value = |name: &str, label: &str| {
            let found = figures.iter().find(|figure| {
                figure.name == name && figure.label.as_ref().is_some_and(|(_, of)| of == label)
            });
            found.map(|figure| figure.value)
        };
        assert_eq!(value("simopen_refused_total", "unknown-user"), Some(3));
        assert_eq!(value("simopen_forging_refused_total", "not-a-syn"), Some(2));
        assert_eq!(value("simopen_links_refused_total", "tls-failed"), Some(1));
        // What has not happened yet is there too.
        assert_eq!(value("simopen_links_refused_total", "too-many-links"), Some(0));
        assert_eq!(value("simopen_forging_refused_total", "low-port"), Some(0));
        assert_eq!(value("simopen_forger_refused_total", "not-tcp"), Some(0));
        assert_eq!(value("simopen_sessions_failed_total", "no-relay"), Some(0));
    }
}
