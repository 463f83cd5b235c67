//! Self-classification: before a cell counts, each box is found out to be what it shall be.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use simopen_packet::Timestamp;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::classify::network_bench::{NetworkBench, NoBench};
use simopen_scenario::classify::{classify, compare};
use simopen_scenario::network::Executor;
use simopen_scenario::result::{BoxCheck, Difference};
use simopen_scenario::run::Void;
use simopen_scenario::seed::entropy_of;
use simopen_scenario::star::Star;

use super::worker::ip_of;
use crate::cancel::Cancel;
use crate::classify_kernel::KernelBench;
use crate::error::LabError;

/// What chance a probe has; it does not decide what is found.
const SEED: u64 = 0;

/// Probes each box in a copy of the network that it will stand in, in virtual time, as many beside
/// each other as there are processors.
pub(super) fn machines(boxes: &[NamedBox], cancel: &Cancel) -> Result<Vec<BoxCheck>, LabError> {
    let next = Mutex::new(boxes.iter().enumerate());
    let checks = Mutex::new(Vec::with_capacity(boxes.len()));
    let work = || {
        while !cancel.is_cancelled() {
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, named)) = taken else { return Ok(()) };
            let check = machine(named)?;
            checks.lock().unwrap_or_else(PoisonError::into_inner).push((place, check));
        }
        Ok(())
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let ended = || LabError::ThreadEnded("a probe".into());
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(ended())))
    })?;
    let mut checks = checks.into_inner().unwrap_or_else(PoisonError::into_inner);
    checks.sort_by_key(|(place, _)| *place);
    Ok(checks.into_iter().map(|(_, check)| check).collect())
}

fn machine(named: &NamedBox) -> Result<BoxCheck, LabError> {
    let star = Star {
        boxes: [Some(named.spec); 2],
        ip: ip_of([named; 2]),
        executor: Executor::Model,
        ..Star::with_leg(Duration::ZERO)
    };
    let entropy = entropy_of(SEED);
    let network = star.network(&entropy, Timestamp::ZERO)?;
    let mut bench = match NetworkBench::new(&network, "box-a", entropy) {
        Ok(bench) => bench,
        Err(NoBench::Graph(error)) => return Err(error.into()),
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

/// Probes each box as a kernel router, which takes its time; the rules are the same in every
/// topology.
pub(super) fn kernels(boxes: &[NamedBox], cancel: &Cancel) -> Result<Vec<BoxCheck>, LabError> {
    let mut checks = Vec::with_capacity(boxes.len());
    for named in boxes {
        if cancel.is_cancelled() {
            break;
        }
        let mut bench = KernelBench::build(ip_of([named; 2]))?;
        let rules = bench.load(&named.spec)?;
        let found = classify(&mut bench);
        if let Some(fault) = bench.fault() {
            return Err(fault);
        }
        let differences = compare(&found, &rules.router);
        let unseen = found.unseen();
        checks.push(BoxCheck { name: named.name.clone(), probes: 1, differences, unseen });
    }
    Ok(checks)
}

/// Why no run with one of these boxes counts, if so.
pub(super) fn objection(checks: &[BoxCheck], boxes: &[NamedBox]) -> Option<Void> {
    let check = checks.iter().find(|check| {
        boxes.iter().any(|placed| placed.name == check.name && !check.differences.is_empty())
    })?;
    let words = check.differences.iter().map(|difference| {
        let Difference { axis, specified, measured } = difference;
        format!("{}: {axis} is {measured}, and shall be {specified}", check.name)
    });
    Some(Void::Misclassified { words: words.collect::<Vec<_>>().join("; ") })
}
