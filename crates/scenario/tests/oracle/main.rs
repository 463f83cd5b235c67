//! The oracle against the machines: what it foretells, and what comes of the attempt when broker,
//! peers, boxes and network are turned on one virtual clock.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod chance;
mod host;
mod presets;
mod properties;
mod world;

use simopen_scenario::cell::Way;
use simopen_scenario::oracle::predict;
use simopen_scenario::prediction::{Expect, Prediction};

use crate::world::{Experiment, run};

fn foretold(experiment: &Experiment) -> Option<Prediction> {
    let Experiment { technique, boxes, forging, conditions, .. } = experiment;
    predict([&boxes[0], &boxes[1]], &Way::Own(*technique), *forging, conditions)
}

/// What the oracle says and what came, if they contradict each other.
fn contradiction(experiment: &Experiment) -> Option<String> {
    let prediction = foretold(experiment)?;
    let must = match prediction.expect {
        Expect::MustSucceed => true,
        Expect::MustFail => false,
        Expect::Probability { .. } => return None,
    };
    let (connected, trace) = run(experiment);
    (connected != must).then(|| {
        format!("{experiment:#?}\n{}\nconnected: {connected}; {prediction:?}", trace.join("\n"))
    })
}
