//! What came of an attempt, read from what the hosts told and what the journal proves.

use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::technique::Technique;
use simopen_scenario::run::{Outcome, Phases, RunRecord, Void, in_milliseconds};
use simopen_traversal::{Failure, What};

use super::Trial;
use super::conduct::Conducted;
use crate::error::LabError;
use crate::evidence::{Evidence, Flow, seen_by_peers};
use crate::pump::Report;
use crate::result::AttemptResult;
use crate::timeline::{Timeline, since};
use crate::topology::Topology;

/// What a kernel measures too little where it measures by timestamps (RFC 7323 §4.1: their clock
/// ticks in milliseconds).
const GRAIN: Duration = Duration::from_millis(1);

/// The longest journal time after the verdict that a ladder shows.
const AFTERMATH: Duration = Duration::from_millis(1);

pub(super) fn judge(
    trial: &Trial,
    conducted: &Conducted,
    report: &Report,
    topology: &Topology,
    seed: u64,
) -> Result<AttemptResult, LabError> {
    let layout = topology.layout();
    let flow = Flow { broker: layout.address(&trial.hosts[2])? };
    let evidence = Evidence::read(report, layout, flow, trial.hosts.clone());
    let requested = conducted.requested;
    let established = match conducted.ends {
        [Ok(a), Ok(b)] => Some(a.max(b)),
        _ => None,
    };
    let decided = established.unwrap_or_else(|| failed_at(conducted));
    let worst_lateness = report.lateness.worst_between(requested, decided);
    let legs = established.map(|at| (at - requested).as_secs_f64() / trial.leg.as_secs_f64());
    let failures = conducted.ends.map(|end| end.err().flatten());
    let record = RunRecord {
        seed,
        outcome: outcome(conducted, failures[0].or(failures[1]).as_ref(), &evidence),
        direct: conducted.direct,
        phases: phases(conducted, &evidence, established),
        legs,
        packets_sent: evidence.sent(decided),
        mappings: evidence.mappings(decided),
        delivered: evidence.delivered(),
        void: void(trial, conducted, report, &evidence, worst_lateness),
        timeline: tell(trial, conducted, &evidence),
        ladder: evidence.ladder(|at| since(requested, at), decided + AFTERMATH),
    };
    Ok(AttemptResult {
        record,
        technique: trial.technique,
        forging: trial.forging,
        held: conducted.held,
        failures,
        lateness: report.lateness.clone(),
        worst_lateness,
        leg: trial.leg,
        voided: 0,
        built_in: topology.built_in,
    })
}

fn outcome(conducted: &Conducted, failure: Option<&Failure>, evidence: &Evidence<'_>) -> Outcome {
    if conducted.direct.is_some() {
        return Outcome::Connected;
    }
    if let Some(words) = &conducted.not_begun {
        let cause = Cause::SignallingTimeout.word().to_owned();
        return Outcome::Failed { cause, words: words.clone() };
    }
    let cause = failure.map_or(Cause::Unspecified, |failure| failure.cause);
    let words = evidence.explain(seen_by_peers(failure));
    Outcome::Failed { cause: cause.word().to_owned(), words }
}

fn phases(
    conducted: &Conducted,
    evidence: &Evidence<'_>,
    established: Option<Timestamp>,
) -> Phases {
    let at = |time: Timestamp| in_milliseconds(time - conducted.requested);
    let seen = |place: usize, wanted: fn(&What) -> bool| {
        let mut own = conducted.observations.iter().filter(|(host, _)| *host == place);
        own.find(|(_, observation)| wanted(&observation.event.what))
            .map(|(_, observation)| observation.event.at)
    };
    let acknowledged = seen(0, |what| matches!(what, What::Acknowledged { .. }));
    let confirmed = [0, 1].map(|place| seen(place, |what| matches!(what, What::Confirmed)));
    let confirmed = confirmed[0].zip(confirmed[1]).map(|(a, b)| a.max(b));
    Phases {
        gather_ms: conducted.gather.map(in_milliseconds),
        signal_ms: acknowledged.map(at),
        first_packet_ms: evidence.first_packet().map(at),
        established_ms: established.map(at),
        first_byte_ms: confirmed.map(at),
    }
}

/// Why the run does not count, if so. What came of it does not enter into this.
fn void(
    trial: &Trial,
    conducted: &Conducted,
    report: &Report,
    evidence: &Evidence<'_>,
    worst_lateness: Duration,
) -> Option<Void> {
    if let Some(void) = report.void(worst_lateness, trial.bound) {
        return Some(void);
    }
    let measured = conducted.round_trips.iter().zip(&trial.round_trips);
    let echo = measured.into_iter().find_map(|(measured, configured)| {
        let (measured, [least, most]) = ((*measured)?, (*configured)?);
        let fits = (least.saturating_sub(GRAIN)..=most + trial.bound).contains(&measured);
        (!fits).then(|| Void::RoundTrip {
            configured_ms: in_milliseconds(least),
            measured_ms: in_milliseconds(measured),
        })
    });
    echo.or_else(|| out_of_step(trial, evidence))
}

/// Whether a host was late where both have to dial at one moment: no stall of the network's thread
/// shows that, but the journal does. Half a leg apart they still do what they were to do. A host
/// that sends no SYN at all is not late but a result.
fn out_of_step(trial: &Trial, evidence: &Evidence<'_>) -> Option<Void> {
    let at_one_moment = [Technique::SimultaneousOpen, Technique::SimultaneousOpenLowTtl];
    let ([Some(a), Some(b)], true) = (trial.round_trips, at_one_moment.contains(&trial.technique))
    else {
        return None;
    };
    let [Some(first_a), Some(first_b)] = evidence.first_syns() else { return None };
    // Each without its own skew: how far apart the two would have left otherwise.
    let [a_left, b_left] = [first_a + trial.start_skew[1], first_b + trial.start_skew[0]];
    let apart = (a_left - b_left).max(b_left - a_left);
    let jitter = a[1] - a[0] + (b[1] - b[0]);
    let bound = trial.leg / 2 + jitter;
    (apart > bound).then(|| Void::OutOfStep {
        apart_ms: in_milliseconds(apart),
        bound_ms: in_milliseconds(bound),
    })
}

fn tell(
    trial: &Trial,
    conducted: &Conducted,
    evidence: &Evidence<'_>,
) -> Vec<simopen_scenario::run::TimelineEntry> {
    let mut timeline = Timeline::new(conducted.requested, trial.hosts.clone());
    for (place, observation) in &conducted.observations {
        timeline.add_observation(*place, observation);
    }
    for event in &conducted.broker {
        timeline.add_broker(event);
    }
    timeline.add_packets(evidence);
    for (at, words) in &conducted.steps {
        timeline.add(*at, "lab", words.clone());
    }
    if let Some(words) = &conducted.not_begun {
        timeline.add(conducted.ended, "lab", words.clone());
    }
    timeline.finish(failed_at(conducted))
}

/// When the later side's attempt failed; the end, where none did.
fn failed_at(conducted: &Conducted) -> Timestamp {
    let observed = conducted.observations.iter().map(|(_, observation)| observation.event);
    let failed = observed.filter(|event| matches!(event.what, What::Failed(_)));
    failed.map(|event| event.at).max().unwrap_or(conducted.ended)
}
