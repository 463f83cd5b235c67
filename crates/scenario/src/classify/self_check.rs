//! Self-classification: before a cell counts, each box is found out to be what it shall be.

use std::time::Duration;

use simopen_fabric::GraphError;
use simopen_packet::Timestamp;

use super::network_bench::{NetworkBench, NoBench};
use super::{classify, compare};
use crate::boxes::NamedBox;
use crate::network::Executor;
use crate::result::{BoxCheck, Difference};
use crate::run::Void;
use crate::seed::entropy_of;
use crate::star::{IpVersion, Star};

/// What chance a probe has; it does not decide what is found.
const SEED: u64 = 0;

/// Probes a box that is a machine, in virtual time, in a copy of the star that it will stand in.
///
/// # Errors
///
/// [`GraphError`] where the star cannot be planned.
pub fn check_machine(named: &NamedBox) -> Result<BoxCheck, GraphError> {
    let star = Star {
        boxes: [Some(named.spec); 2],
        ip: IpVersion::before([named; 2]),
        executor: Executor::Model,
        ..Star::with_leg(Duration::ZERO)
    };
    let entropy = entropy_of(SEED);
    let network = star.network(&entropy, Timestamp::ZERO)?;
    let mut bench = match NetworkBench::new(&network, "box-a", entropy) {
        Ok(bench) => bench,
        Err(NoBench::Graph(error)) => return Err(error),
        Err(other) => unreachable!("a star has a box before a: {other}"),
    };
    let found = classify(&mut bench);
    let mut differences = compare(&found, &named.spec);
    let bypassed = bench.bypassed();
    if bypassed > 0 {
        differences.push(Difference {
            axis: "path".into(),
            specified: "through the box".into(),
            measured: format!("{bypassed} packets came past it"),
        });
    }
    Ok(BoxCheck { name: named.name.clone(), probes: 1, differences, unseen: found.unseen() })
}

/// Why no run with one of these boxes counts, if so.
#[must_use]
pub fn objection(checks: &[BoxCheck], boxes: &[NamedBox]) -> Option<Void> {
    let check = checks.iter().find(|check| {
        boxes.iter().any(|placed| placed.name == check.name && !check.differences.is_empty())
    })?;
    let words = check.differences.iter().map(|difference| {
        let Difference { axis, specified, measured } = difference;
        format!("{}: {axis} is {measured}, and shall be {specified}", check.name)
    });
    Some(Void::Misclassified { words: words.collect::<Vec<_>>().join("; ") })
}
