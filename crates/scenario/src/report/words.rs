//! Figures and findings in words, the same in every report.

use std::fmt::Write;

use crate::cell::Way;
use crate::conditions::Conditions;
use crate::milliseconds;
use crate::prediction::{Expect, Prediction};
use crate::result::{CellResult, Rate, Verdict};
use crate::run::{Outcome, RunRecord, Void};

/// `1 run`, `2 runs`, `2 boxes`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {}", plural(count, what))
}

/// The noun as it stands behind that number.
pub(super) fn plural(count: usize, what: &str) -> String {
    match (count, what) {
        (1, _) => what.to_owned(),
        (_, "box") => "boxes".to_owned(),
        (_, "axis") => "axes".to_owned(),
        _ => format!("{what}s"),
    }
}

/// A number without digits that say nothing: three significant ones.
pub(super) fn figure(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.digits$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", figure(share * 100.0))
}

/// `legs of 5 ms`, and what else is not as in a quiet network.
pub(super) fn conditions(conditions: &Conditions) -> String {
    let ms = |duration| figure(milliseconds::of(duration));
    let mut text = format!("legs of {} ms", ms(conditions.leg));
    if !conditions.jitter.is_zero() {
        let _ = write!(text, ", jitter up to {} ms a link", ms(conditions.jitter));
    }
    if conditions.loss > 0.0 {
        let _ = write!(text, ", loss {} a link", percent(conditions.loss));
    }
    if let Some(rate) = conditions.rate {
        let _ = write!(text, ", {rate} bit/s");
    }
    for (host, skew) in [("a", conditions.skew_a), ("b", conditions.skew_b)] {
        if !skew.is_zero() {
            let _ = write!(text, ", {host} {} ms late", ms(skew));
        }
    }
    if conditions.source_validation {
        text.push_str(", sources checked");
    }
    text
}

/// `connects in 3 of 3 runs (44 to 100 %)`.
pub(super) fn success(rate: &Rate) -> String {
    if rate.runs == 0 {
        return "no run that counts".to_owned();
    }
    format!(
        "connects in {} of {} (95 % interval: {} to {})",
        rate.successes,
        counted(rate.runs as usize, "run"),
        figure(rate.low * 100.0),
        percent(rate.high)
    )
}

/// `must connect`.
pub(super) fn expectation(prediction: &Prediction) -> String {
    match &prediction.expect {
        Expect::MustSucceed => "must connect".to_owned(),
        Expect::MustFail => "must fail".to_owned(),
        Expect::Probability { p, formula } => {
            format!("connects with probability {} = {formula}", probability(*p))
        }
    }
}

/// A probability: small ones are what matters in guesses, so they keep their digits.
pub(super) fn probability(p: f64) -> String {
    if p > 0.0 && p < 0.01 { format!("{p:.1e}") } else { figure(p) }
}

/// How the outcome stands to the prediction.
pub(super) fn verdict(result: &CellResult) -> String {
    match &result.verdict {
        Verdict::Agrees => "as predicted".to_owned(),
        Verdict::Surprise { words } => match &result.explained {
            Some(fact) => format!("not as predicted, and explained: {words}: {fact}"),
            None => format!("surprise: {words}"),
        },
        Verdict::Unpredicted => "nobody predicts somebody else's program".to_owned(),
        Verdict::Void => "void: too few runs counted".to_owned(),
        Verdict::Pending => "broken off before enough was run".to_owned(),
    }
}

/// What came of a run.
pub(super) fn outcome(run: &RunRecord) -> String {
    match (&run.outcome, run.direct) {
        (Outcome::Connected, Some(true)) => "connected, direct".to_owned(),
        (Outcome::Connected, _) => "connected, but not direct".to_owned(),
        (Outcome::Relayed, Some(false)) => "connected through the relay".to_owned(),
        (Outcome::Relayed, _) => "connected past the relay".to_owned(),
        (Outcome::Failed { cause, words }, _) if words.is_empty() => format!("failed: {cause}"),
        (Outcome::Failed { cause, words }, _) => format!("failed ({cause}): {words}"),
    }
}

/// Why a run does not count.
pub(super) fn void(void: &Void) -> String {
    match void {
        Void::Late { by_ms, bound_ms } => format!(
            "a packet was {} ms late, and {} ms are allowed",
            figure(*by_ms),
            figure(*bound_ms)
        ),
        Void::PortDropped { packets } => {
            let packets = counted(usize::try_from(*packets).unwrap_or(usize::MAX), "packet");
            format!("{packets} lost at a port")
        }
        Void::JournalIncomplete => "the journal did not hold everything".to_owned(),
        Void::Misclassified { words } => {
            format!("a box is not what its specification says: {words}")
        }
        Void::OutOfStep { apart_ms, bound_ms } => format!(
            "the two sides dialled {} ms apart, and {} ms are allowed",
            figure(*apart_ms),
            figure(*bound_ms)
        ),
        Void::RoundTrip { configured_ms, measured_ms } => format!(
            "an echo took {} ms, and {} ms were configured",
            figure(*measured_ms),
            figure(*configured_ms)
        ),
    }
}

/// Which kind of reason that is.
pub(super) const fn void_cause(void: &Void) -> &'static str {
    match void {
        Void::Late { .. } => "a packet was late",
        Void::PortDropped { .. } => "a port dropped packets",
        Void::JournalIncomplete => "the journal did not hold everything",
        Void::Misclassified { .. } => "a box is not what its specification says",
        Void::OutOfStep { .. } => "the two sides did not dial at one moment",
        Void::RoundTrip { .. } => "an echo took another time than configured",
    }
}

/// What a way is in one clause; nothing of somebody else's program.
pub(super) const fn described(way: &Way) -> &'static str {
    use simopen_protocol::technique::{Carriage, SynOwner, Technique};
    match way {
        Way::Own(Technique::Direct) => "b listens, a dials",
        Way::Own(Technique::SimultaneousOpen) => "both dial at one moment",
        Way::Own(Technique::SimultaneousOpenLowTtl) => {
            "both dial; the first SYN dies between the boxes"
        }
        Way::Own(Technique::PunchAndListen) => "b opens its box by a SYN that dies, then listens",
        Way::Own(Technique::ForgedSynAck(SynOwner::Kernel)) => {
            "the broker answers each kernel's SYN in the other side's name"
        }
        Way::Own(Technique::ForgedSynAck(SynOwner::Userspace)) => {
            "the same, with SYNs that die between the boxes"
        }
        Way::Own(Technique::Relay(Carriage::Any)) => "both dial the relay, which joins them",
        Way::Own(Technique::Relay(Carriage::Connect)) => {
            "the same, through tunnels that HTTP proxies open"
        }
        Way::Own(Technique::Relay(Carriage::Http)) => {
            "the same, by requests that HTTP proxies forward"
        }
        Way::Own(_) => "",
        Way::Program(_) => "somebody else's program",
    }
}
