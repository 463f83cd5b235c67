//! What came of an attempt, and whether it counts.

use std::time::Duration;

use simopen_protocol::technique::Technique;
use simopen_scenario::evidence::Evidence;
use simopen_scenario::judgement::Story;
use simopen_scenario::run::{Void, in_milliseconds};

use super::Trial;
use super::conduct::Conducted;
use crate::error::LabError;
use crate::pump::Report;
use crate::result::AttemptResult;
use crate::topology::Topology;

/// What a kernel measures too little where it measures by timestamps (RFC 7323 §4.1: their clock
/// ticks in milliseconds).
const GRAIN: Duration = Duration::from_millis(1);

pub(super) fn judge(
    trial: &Trial,
    conducted: &Conducted,
    report: &Report,
    topology: &Topology,
    seed: u64,
) -> Result<AttemptResult, LabError> {
    let account = &conducted.account;
    let evidence = report.evidence(topology.layout(), &trial.hosts)?;
    let worst_lateness = report.lateness.worst_between(account.requested, account.decided());
    let mut record = account.record(seed, trial.leg, &evidence, Story::Told);
    record.void = void(trial, conducted, report, &evidence, worst_lateness);
    Ok(AttemptResult {
        record,
        technique: trial.technique,
        forging: trial.forging,
        held: conducted.held,
        failures: account.ends.map(|end| end.err().flatten()),
        lateness: report.lateness.clone(),
        worst_lateness,
        leg: trial.leg,
        voided: 0,
        built_in: topology.built_in,
    })
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
