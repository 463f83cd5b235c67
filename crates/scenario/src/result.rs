//! What came of an experiment: the content of `results.json`, which `docs/results-schema.md`
//! describes field by field.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::boxes::NamedBox;
use crate::cell::{Cell, Way};
use crate::network::Executor;
use crate::prediction::{Expect, Prediction};
use crate::run::RunRecord;
use crate::statistics::{Interval, Quantiles, Z_95, wilson};

/// What `schema` says in every document of this kind.
pub const SCHEMA: &str = "simopen-results";

/// The version that is written and read. It rises when a field goes or changes its meaning, and
/// stays when one is added.
pub const VERSION: u32 = 1;

/// What came of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u32,
    /// What kind of experiment it was.
    pub kind: Kind,
    /// Who turned the boxes.
    pub executor: Executor,
    /// Whose TCP the hosts had, where the simulator made them; `None` from real kernels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What all chance followed from.
    pub seed: u64,
    /// The command line that repeats it.
    pub command: String,
    /// Whether all that was planned was run; `false` after an interruption.
    pub complete: bool,
    /// The boxes, in the order of rows and columns.
    pub boxes: Vec<NamedBox>,
    /// The ways to open a connection, in the order of the report.
    pub ways: Vec<Way>,
    /// The cells, in the order in which they were planned.
    pub cells: Vec<CellResult>,
    /// What a probe found out about each box.
    pub classification: Vec<BoxCheck>,
    /// What depends on the machine; `None` from a simulator, so that two runs of one seed give the
    /// same bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineNote>,
}

impl Results {
    /// Results of nothing yet.
    #[must_use]
    pub fn new(kind: Kind, executor: Executor, seed: u64, command: String) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            kind,
            executor,
            stack: None,
            seed,
            command,
            complete: false,
            boxes: Vec::new(),
            ways: Vec::new(),
            cells: Vec::new(),
            classification: Vec::new(),
            machine: None,
        }
    }

    /// Reads what [`Results::to_json`] wrote. Unknown fields are passed over.
    ///
    /// # Errors
    ///
    /// [`UnreadableResults`] where it is another document, another version, or incomplete.
    pub fn from_json(text: &str) -> Result<Self, UnreadableResults> {
        // Looked at first: a document of a later version may lack what this one asks for.
        let header: Header = serde_json::from_str(text)?;
        if header.schema != SCHEMA {
            return Err(UnreadableResults::OtherSchema { schema: header.schema });
        }
        if header.version != VERSION {
            return Err(UnreadableResults::OtherVersion { version: header.version });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// Writes them as one JSON object on several lines.
    ///
    /// # Panics
    ///
    /// Never: all keys are strings.
    #[must_use]
    pub fn to_json(&self) -> String {
        pretty(self)
    }

    /// The cells whose outcome contradicts their prediction.
    pub fn surprises(&self) -> impl Iterator<Item = &CellResult> {
        self.cells.iter().filter(|cell| cell.is_surprise())
    }
}

/// One JSON object on several lines, of what has no keys but strings.
#[expect(clippy::expect_used, reason = "serialization fails only on keys that are no strings")]
pub(crate) fn pretty(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("all keys are strings");
    text.push('\n');
    text
}

/// What makes a document a document of this kind.
#[derive(Deserialize)]
struct Header {
    schema: String,
    version: u32,
}

/// Why results cannot be read. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnreadableResults {
    /// It is no JSON, or lacks a field.
    #[error("not readable as results: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It says that it is something else.
    #[error("its schema is {schema:?}, and {SCHEMA:?} is read here")]
    OtherSchema {
        /// What it says.
        schema: String,
    },
    /// It is of a version that is not read here.
    #[error("its version is {version}, and {VERSION} is read here")]
    OtherVersion {
        /// Which.
        version: u32,
    },
}

/// What kind of experiment it was. May grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Boxes × boxes × ways.
    Matrix,
    /// One scenario from a file.
    Run,
    /// Handshake latency over delay and loss.
    Bench,
}

/// What came of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CellResult {
    /// Which cell.
    pub cell: Cell,
    /// What must come of it; `None` where nobody can say, as for somebody else's program.
    pub prediction: Option<Prediction>,
    /// How the outcome stands to the prediction.
    pub verdict: Verdict,
    /// A fact about a kernel that explains a surprise, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<String>,
    /// How often it succeeded, over the runs that count.
    pub success: Rate,
    /// Runs that did not count, those in `runs` and those that were thrown away.
    pub voided: u32,
    /// From the request to *established* in legs, over the runs that succeeded.
    pub legs: Option<Quantiles>,
    /// The same in milliseconds, phase by phase.
    pub phases: PhaseQuantiles,
    /// The runs, in the order in which they were planned.
    pub runs: Vec<RunRecord>,
}

impl CellResult {
    /// A cell of which nothing has been run yet.
    #[must_use]
    pub fn pending(cell: Cell, prediction: Option<Prediction>) -> Self {
        Self {
            cell,
            prediction,
            verdict: Verdict::Pending,
            explained: None,
            success: Rate::default(),
            voided: 0,
            legs: None,
            phases: PhaseQuantiles::default(),
            runs: Vec::new(),
        }
    }

    /// Whether the outcome contradicts the prediction, explained or not.
    #[must_use]
    pub const fn is_surprise(&self) -> bool {
        matches!(self.verdict, Verdict::Surprise { .. })
    }

    /// Whether a run of it that counts ended otherwise than every run must.
    #[must_use]
    pub fn is_surprised_by(&self, run: &RunRecord) -> bool {
        let expected = match self.prediction.as_ref().map(|prediction| &prediction.expect) {
            Some(Expect::MustSucceed) => true,
            Some(Expect::MustFail) => false,
            Some(Expect::Probability { .. }) | None => return false,
        };
        run.is_valid() && run.is_success() != expected
    }
}

/// How the outcome of a cell stands to its prediction. Complete: it will not grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As predicted.
    Agrees,
    /// Not as predicted.
    Surprise {
        /// What was expected and what came, in words.
        words: String,
    },
    /// There is no prediction.
    Unpredicted,
    /// Too few runs counted.
    Void,
    /// Too little was run, because the experiment was broken off.
    Pending,
}

/// How often something succeeded, with its Wilson interval at 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rate {
    /// Runs that succeeded: connected, and direct.
    pub successes: u32,
    /// Runs that count.
    pub runs: u32,
    /// The lower end of the interval, between 0 and 1.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Default for Rate {
    /// Of no runs: anything between 0 and 1.
    fn default() -> Self {
        Self { successes: 0, runs: 0, low: 0.0, high: 1.0 }
    }
}

impl Rate {
    /// So many successes of so many runs.
    #[must_use]
    pub fn of(successes: u32, runs: u32) -> Self {
        let Interval { low, high } = wilson(successes, runs, Z_95);
        Self { successes, runs, low, high }
    }

    /// The share of successes, between 0 and 1; `None` without runs.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.runs > 0).then(|| f64::from(self.successes) / f64::from(self.runs))
    }
}

/// When each phase was over, in milliseconds since the request, over the runs that succeeded.
/// [`crate::run::Phases`] tells what each is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PhaseQuantiles {
    /// Proving a port, before the request.
    pub gather_ms: Option<Quantiles>,
    /// The originator knew where to dial.
    pub signal_ms: Option<Quantiles>,
    /// The first packet came through to either side.
    pub first_packet_ms: Option<Quantiles>,
    /// Both ends said ESTABLISHED.
    pub established_ms: Option<Quantiles>,
    /// Authenticated bytes had come to both ends.
    pub first_byte_ms: Option<Quantiles>,
}

/// What a probe found out about a box, beside what its specification says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BoxCheck {
    /// The box's name.
    pub name: String,
    /// How often it was probed: once in each topology that it stood in.
    pub probes: u32,
    /// Where it is not what its specification says. Cells with such a box are void.
    pub differences: Vec<Difference>,
    /// What cannot be seen from outside.
    pub unseen: Vec<Unseen>,
}

/// An axis on which a box is not what its specification says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The axis.
    pub axis: String,
    /// What the specification says.
    pub specified: String,
    /// What the probe measured.
    pub measured: String,
}

/// An axis that the probe could not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unseen {
    /// The axis.
    pub axis: String,
    /// Why it cannot be seen.
    pub why: String,
}

/// What depends on the machine that an experiment was made on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MachineNote {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Processors that it had.
    pub processors: u32,
    /// How long the experiment took, in seconds.
    pub took_s: f64,
    /// How late packets left the network.
    pub lateness: LatenessNote,
    /// Runs that did not count, in all.
    pub voided: u32,
}

/// How much later than planned packets left the network, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LatenessNote {
    /// Packets counted.
    pub packets: u64,
    /// The median.
    pub p50_us: f64,
    /// 99 of 100 packets were no later.
    pub p99_us: f64,
    /// 999 of 1000 packets were no later.
    pub p999_us: f64,
    /// The longest time by which the network's thread woke too late.
    pub longest_stall_us: f64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use simopen_protocol::technique::Technique;

    use super::*;
    use crate::conditions::Conditions;
    use crate::prediction::Expect;
    use crate::run::{Fate, LadderPacket, Outcome, Phases, TimelineEntry, Void};

    fn results() -> Results {
        let named = |name: &str, spec| NamedBox { name: name.to_owned(), spec };
        let boxes = [
            named("open", simopen_nat::MiddleboxSpec::ei_mapping_apd_filtering()),
            named("<other>", simopen_nat::MiddleboxSpec::ei_mapping_apd_filtering()),
        ];
        let cell = Cell {
            boxes: boxes.clone(),
            way: Way::Own(Technique::SimultaneousOpen),
            forging: true,
            conditions: Conditions::with_leg(Duration::from_millis(5)),
        };
        let prediction = Prediction {
            expect: Expect::Probability { p: 0.1, formula: "1/10".to_owned() },
            why: "a guess".to_owned(),
        };
        let mut pending = CellResult::pending(cell, Some(prediction));
        let program = Cell { way: Way::Program("punch".to_owned()), ..pending.cell.clone() };
        pending.runs = vec![run(None), run(Some(Void::Late { by_ms: 1.3, bound_ms: 1.25 }))];
        pending.legs = Some(Quantiles {
            n: 1,
            min: 0.1,
            p25: 0.2,
            p50: 0.3,
            p75: 0.7,
            p90: 1.1,
            p99: 1.3,
            max: 1.9,
        });
        pending.verdict = Verdict::Surprise { words: "expected p = 0.1, 0 of 100".to_owned() };
        let mut results =
            Results::new(Kind::Matrix, Executor::Nft, u64::MAX, "simopen lab matrix".to_owned());
        results.stack = Some("linux".to_owned());
        results.ways = vec![pending.cell.way.clone(), program.way.clone()];
        results.cells = vec![pending, CellResult::pending(program, None)];
        results.boxes = boxes.to_vec();
        results.classification = vec![BoxCheck {
            name: "open".to_owned(),
            probes: 8,
            differences: vec![Difference {
                axis: "mapping".to_owned(),
                specified: "endpoint-independent".to_owned(),
                measured: "address-dependent".to_owned(),
            }],
            unseen: vec![Unseen { axis: "limits".to_owned(), why: "takes too long".to_owned() }],
        }];
        results.machine = Some(MachineNote {
            kernel: "6.18.0".to_owned(),
            processors: 2,
            took_s: 512.25,
            lateness: LatenessNote {
                packets: 1,
                p50_us: 87.0,
                p99_us: 398.0,
                p999_us: 535.0,
                longest_stall_us: 3052.5,
            },
            voided: 1,
        });
        results
    }

    fn run(void: Option<Void>) -> RunRecord {
        RunRecord {
            seed: 7,
            outcome: Outcome::Failed { cause: "timeout".to_owned(), words: "no answer".to_owned() },
            direct: None,
            phases: Phases { signal_ms: Some(0.1 + 0.2), ..Phases::default() },
            legs: None,
            packets_sent: Default::default(),
            mappings: [1, 2],
            delivered: Default::default(),
            void,
            timeline: vec![TimelineEntry {
                at_ms: -1.5,
                host: "a".to_owned(),
                event: "dials".to_owned(),
                packet: None,
            }],
            ladder: vec![LadderPacket {
                from: "a".to_owned(),
                sent_ms: 1.0,
                to: "box-b".to_owned(),
                ended_ms: 2.0,
                label: "SYN".to_owned(),
                fate: Fate::Dropped("filtered".to_owned()),
                forged: false,
            }],
        }
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let results = results();
        assert_eq!(Results::from_json(&results.to_json()).unwrap(), results);
    }

    #[test]
    fn a_field_that_is_new_is_passed_over() {
        let mut value = serde_json::to_value(results()).unwrap();
        value["weather"] = "rain".into();
        value["cells"][0]["mood"] = 3.into();
        assert_eq!(Results::from_json(&value.to_string()).unwrap(), results());
    }

    #[test]
    fn another_schema_or_version_is_refused_by_name() {
        let mut value = serde_json::to_value(results()).unwrap();
        value["version"] = 2.into();
        let error = Results::from_json(&value.to_string()).unwrap_err();
        assert_eq!(error.to_string(), "its version is 2, and 1 is read here");
        value["schema"] = "shopping".into();
        let error = Results::from_json(&value.to_string()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "its schema is \"shopping\", and \"simopen-results\" is read here"
        );
        assert!(matches!(Results::from_json("{}"), Err(UnreadableResults::Malformed(_))));
    }

    #[test]
    fn every_field_of_the_document_is_described() {
        const PAGE: &str = include_str!("../../../docs/results-schema.md");
        fn keys<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
            match value {
                serde_json::Value::Object(map) => {
                    for (key, inner) in map {
                        found.push(key);
                        // The axes of a box are described where the box is.
                        if key != "spec" {
                            keys(inner, found);
                        }
                    }
                }
                serde_json::Value::Array(list) => list.iter().for_each(|inner| keys(inner, found)),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => {}
            }
        }
        let value = serde_json::to_value(results()).unwrap();
        let mut found = Vec::new();
        keys(&value, &mut found);
        let missing: Vec<_> =
            found.iter().filter(|key| !PAGE.contains(&format!("`{key}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
