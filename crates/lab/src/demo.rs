//! The project's main job in one set of attempts, each with the outcome that it must have.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use simopen_nat::{InboundBareSyn, MiddleboxSpec, UnsolicitedSyn};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_scenario::star::Star;

use crate::attempt::{AttemptSpec, Prepared};
use crate::cancel::Cancel;
use crate::error::LabError;
use crate::lateness::{Lateness, LatenessMeter};
use crate::result::AttemptResult;

/// What to demonstrate with.
#[derive(Clone)]
pub struct DemoSpec {
    /// One way between any two of `a`, `b` and `c`.
    pub leg: Duration,
    /// Where to write captures, a directory for each attempt.
    pub captures: Option<PathBuf>,
    /// What all chance follows from.
    pub seed: u64,
}

/// One attempt of the demo.
#[derive(Clone)]
pub struct Case {
    /// A short name, also of its directory of captures.
    pub name: &'static str,
    /// What it shows, for a person.
    pub title: &'static str,
    /// The name of the boxes before `a` and `b`.
    pub boxes: &'static str,
    /// Whether it must connect.
    pub expected: bool,
    /// What is tried.
    pub attempt: AttemptSpec,
}

/// One attempt and what came of it.
pub struct CaseResult {
    /// The attempt.
    pub case: Case,
    /// What came of it.
    pub result: AttemptResult,
}

impl CaseResult {
    /// Whether it came out as it must: connected or not, direct where connected, and with the
    /// journal's proof where the broker forged.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        let result = &self.result;
        let proven = !result.connected()
            || (result.record.direct == Some(true)
                && (!result.technique.needs_forging() || result.proves_forged_open()));
        result.is_valid() && result.connected() == self.case.expected && proven
    }
}

/// All attempts of a demo.
pub struct DemoResult {
    /// In the order of [`cases`].
    pub cases: Vec<CaseResult>,
    /// Lateness over all of them.
    pub lateness: Lateness,
}

impl DemoResult {
    /// Whether every attempt came out as it must.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(CaseResult::is_as_expected)
    }
}

/// EI mapping, APD filtering, silence for strangers, and no bare SYN from outside, not even on an
/// open mapping: the box that simultaneous open cannot pass.
#[must_use]
pub const fn syn_dropping_nat() -> MiddleboxSpec {
    MiddleboxSpec::ei_mapping_apd_filtering().with_inbound_bare_syn(InboundBareSyn::Dropped)
}

/// The same, and it answers RST to a SYN that nobody asked for.
#[must_use]
pub const fn syn_dropping_rst_nat() -> MiddleboxSpec {
    syn_dropping_nat().with_unsolicited(UnsolicitedSyn::Reset)
}

/// The attempts of the demo.
#[must_use]
pub fn cases(spec: &DemoSpec) -> Vec<Case> {
    let case = |name: &'static str, title, technique, forging, rst: bool, expected| {
        let middlebox = if rst { syn_dropping_rst_nat() } else { syn_dropping_nat() };
        let mut attempt = AttemptSpec {
            star: Star { boxes: [Some(middlebox); 2], ..Star::with_leg(spec.leg) },
            captures: spec.captures.as_deref().map(|directory: &Path| directory.join(name)),
            seed: spec.seed,
            ..AttemptSpec::new(technique)
        };
        attempt.trial.forging = forging;
        let boxes = if rst { "syn-dropping-rst-nat" } else { "syn-dropping-nat" };
        Case { name, title, boxes, expected, attempt }
    };
    let kernel = Technique::ForgedSynAck(SynOwner::Kernel);
    let userspace = Technique::ForgedSynAck(SynOwner::Userspace);
    vec![
        case(
            "1-simultaneous-open",
            "both dial at one moment; each box drops the other side's SYN",
            Technique::SimultaneousOpen,
            true,
            false,
            false,
        ),
        case(
            "2-forged-syn-ack-kernel",
            "both dial, and the broker answers each SYN in the other side's name",
            kernel,
            true,
            false,
            true,
        ),
        case(
            "3-forging-switched-off",
            "the same without the forged packets: nothing else makes it work",
            kernel,
            false,
            false,
            false,
        ),
        case(
            "4-rst-boxes-kernel",
            "boxes that answer RST: the kernel's SYN is refused before it is answered",
            kernel,
            true,
            true,
            false,
        ),
        case(
            "5-rst-boxes-userspace",
            "the same boxes; a SYN of our own dies on the way, and TCP_REPAIR installs the rest",
            userspace,
            true,
            true,
            true,
        ),
    ]
}

/// Runs all attempts beside each other, each in a topology of its own. `done` is told of each as it
/// ends.
///
/// # Errors
///
/// The first [`LabError`] in the order of the cases.
pub fn run(
    spec: &DemoSpec,
    cancel: &Cancel,
    done: &(dyn Fn(&CaseResult) + Sync),
) -> Result<DemoResult, LabError> {
    let cases = cases(spec);
    let all_built = Barrier::new(cases.len());
    let (cases, lateness) = thread::scope(|scope| {
        let all_built = &all_built;
        let run = |case| scope.spawn(move || run_one(case, all_built, cancel, done));
        let running: Vec<_> = cases.iter().map(run).collect();
        let outcomes: Vec<Result<_, LabError>> = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(LabError::ThreadEnded("an attempt".into()))))
            .collect();
        // The topologies go only now, after the last attempt.
        let (cases, prepared): (Vec<CaseResult>, Vec<Prepared<'_>>) =
            outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        drop(prepared);
        let mut lateness = LatenessMeter::default();
        for case in &cases {
            lateness.merge(&case.result.lateness);
        }
        Ok::<_, LabError>((cases, lateness))
    })?;
    Ok(DemoResult { cases, lateness: lateness.summary() })
}

fn run_one<'case>(
    case: &'case Case,
    all_built: &Barrier,
    cancel: &Cancel,
    done: &(dyn Fn(&CaseResult) + Sync),
) -> Result<(CaseResult, Prepared<'case>), LabError> {
    let prepared = Prepared::build(&case.attempt);
    all_built.wait();
    let mut prepared = prepared?;
    let result = CaseResult { case: case.clone(), result: prepared.run_valid(cancel)? };
    done(&result);
    Ok((result, prepared))
}
