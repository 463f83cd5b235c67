//! The oracle against the machines: what it foretells, and what comes of the attempt.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod chance;
mod drawn;
mod experiment;
mod presets;
mod properties;

use simopen_scenario::oracle::predict;
use simopen_scenario::prediction::{Expect, Prediction};
use simopen_sim::{Detail, Run, Trial};

use crate::experiment::Experiment;

fn foretold(experiment: &Experiment) -> Option<Prediction> {
    let cell = experiment.cell();
    let boxes = cell.boxes.each_ref().map(|placed| &placed.spec);
    predict(boxes, &cell.way, cell.forging, &cell.conditions)
}

fn run(experiment: &Experiment, detail: Detail) -> Run {
    experiment.run_as(|trial| Trial { detail, ..trial })
}

/// What the oracle says and what came, if they contradict each other, and what must never happen.
fn contradiction(experiment: &Experiment) -> Option<String> {
    let must = match foretold(experiment)?.expect {
        Expect::MustSucceed => Some(true),
        Expect::MustFail => Some(false),
        Expect::Probability { .. } => None,
    };
    let Run { record, violations, .. } = run(experiment, Detail::Outcome);
    let agrees = must.is_none_or(|must| must == record.is_success());
    (!agrees || !violations.is_empty()).then(|| {
        let trace = run(experiment, Detail::Trace).trace.join("\n");
        let (outcome, direct) = (record.outcome, record.direct);
        let foretold = foretold(experiment);
        format!("{experiment:#?}\n{trace}\n{outcome:?}, direct: {direct:?}; {foretold:?}\n{violations:?}")
    })
}
