//! Self-classification: before a cell counts, each box is found out to be what it shall be.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use simopen_scenario::boxes::NamedBox;
use simopen_scenario::classify::self_check::check_machine;
use simopen_scenario::classify::{classify, compare};
use simopen_scenario::result::BoxCheck;
use simopen_scenario::star::IpVersion;

use crate::cancel::Cancel;
use crate::classify_kernel::KernelBench;
use crate::error::LabError;

/// Probes each box in a copy of the network that it will stand in, in virtual time, as many beside
/// each other as there are processors.
pub(super) fn machines(boxes: &[NamedBox], cancel: &Cancel) -> Result<Vec<BoxCheck>, LabError> {
    let next = Mutex::new(boxes.iter().enumerate());
    let checks = Mutex::new(Vec::with_capacity(boxes.len()));
    let work = || {
        while !cancel.is_cancelled() {
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, named)) = taken else { return Ok(()) };
            let check = check_machine(named)?;
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

/// Probes each box as a kernel router, which takes its time; the rules are the same in every
/// topology.
pub(super) fn kernels(boxes: &[NamedBox], cancel: &Cancel) -> Result<Vec<BoxCheck>, LabError> {
    let mut checks = Vec::with_capacity(boxes.len());
    for named in boxes {
        if cancel.is_cancelled() {
            break;
        }
        let mut bench = KernelBench::build(IpVersion::before([named; 2]))?;
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
