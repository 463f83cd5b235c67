//! `simopen lab matrix`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use simopen_lab::LabError;
use simopen_lab::matrix::{Captures, How, MatrixSpec, Progress};
use simopen_lab::nft::{self, Placement};
use simopen_nat::{MiddleboxSpec, PRESETS};
use simopen_protocol::technique::Technique;
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::conditions::Conditions;
use simopen_scenario::default_matrix;
use simopen_scenario::file::box_from_toml;
use simopen_scenario::network::Executor;
use simopen_scenario::report::grid::Grid;
use simopen_scenario::report::text;
use simopen_scenario::result::{CellResult, Kind, Results};

use crate::arguments::{parse_delay, parse_loss, parse_rate, parse_skew};
use crate::interrupt::{INTERRUPTED, cancel_on_interrupt};
use crate::live::Live;
use crate::{COULD_NOT_TRY, FAILED, output, privilege, scenario};

#[derive(Debug, Args)]
pub(crate) struct MatrixArguments {
    #[command(flatten)]
    plan: PlanArguments,

    /// Who turns the boxes.
    #[arg(long, value_enum, default_value_t = ExecutorName::Model)]
    executor: ExecutorName,

    /// Runs beside each other; most of a run is waiting.
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,

    #[command(flatten)]
    output: OutputArguments,

    /// Which runs leave pcapng files, in DIR/pcap.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = CapturesName::Surprises,
          requires = "out")]
    pcap: CapturesName,
}

/// What is tried, in every world.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The boxes, with commas between: presets, TOML files of one's own boxes, or `all`. If none is
    /// named, twelve presets, or with nft those that nftables can express; of `all`, nft takes as
    /// many.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) boxes: Vec<String>,

    /// The techniques, with commas between; all if none is named. In the lab, `program:FILE.toml`
    /// is the program that the scenario of that file has on its hosts, see docs/exec-contract.md.
    #[arg(long, value_name = "LIST")]
    pub(crate) techniques: Option<String>,

    /// Runs of each cell that must end one way. What may end either way is run until its rate is
    /// known to ± 0.1, what came out otherwise than it must 20 times more.
    #[arg(long, value_name = "N", default_value_t = default_matrix::RUNS,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,

    /// What all chance of boxes and links follows from; drawn and shown if not given.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// One way between any two of a, b and c (one leg): a number with ms, s or us.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_delay)]
    delay: Duration,

    /// Added to each packet's delay on each link, uniform between zero and this.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_delay)]
    jitter: Duration,

    /// The share of packets that each link loses: 5% or 0.05.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_loss)]
    loss: f64,

    /// Bits per second of each link: 250M, 2.5G or 64k.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate: Option<u64>,

    /// How much later than agreed a side begins: a=20ms, or a=20ms,b=5ms.
    #[arg(long, value_name = "SIDE=TIME", default_value = "a=0", value_parser = parse_skew)]
    skew: [Duration; 2],
}

impl PlanArguments {
    /// Under which conditions.
    pub(crate) fn conditions(&self) -> Result<Conditions> {
        if self.delay.is_zero() {
            bail!("--delay 0 has no legs to count; 500us is the shortest that means anything here");
        }
        let [skew_a, skew_b] = self.skew;
        Ok(Conditions {
            jitter: self.jitter,
            loss: self.loss,
            rate: self.rate,
            skew_a,
            skew_b,
            ..Conditions::with_leg(self.delay)
        })
    }

    /// The seed that was given, or a drawn one.
    pub(crate) fn seed(&self) -> Result<u64> {
        self.seed.map_or_else(output::drawn_seed, Ok)
    }
}

/// Where results go, of every world.
#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// Write report.html, results.json, junit.xml and grid.svg into DIR.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Print results.json instead of the grid.
    #[arg(long)]
    pub(crate) json: bool,
}

impl OutputArguments {
    /// Writes and prints results as was asked for.
    pub(crate) fn give_out(&self, results: &Results) -> Result<()> {
        if let Some(directory) = &self.out {
            output::write_files(results, directory)?;
        }
        if self.json {
            output::print(&results.to_json())?;
        } else {
            let grid = text::grid(&Grid::of(results), &output::screen());
            output::print(&format!("{grid}{}", text::summary(results)))?;
        }
        if let Some(directory) = &self.out {
            eprintln!("written: {}", directory.join("report.html").display());
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorName {
    /// The machine of simopen-nat, inside the network's thread.
    Model,
    /// Kernels with nftables, each in a namespace of its own.
    Nft,
}

impl ExecutorName {
    pub(crate) const fn executor(self) -> Executor {
        match self {
            Self::Model => Executor::Model,
            Self::Nft => Executor::Nft,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CapturesName {
    /// Those that ended otherwise than they must.
    Surprises,
    /// All.
    All,
    /// None.
    None,
}

pub(crate) fn run(arguments: &MatrixArguments) -> Result<ExitCode> {
    let spec = spec(arguments)?;
    // Before any thread: a user namespace can only be entered by a process with one.
    if let Err(missing) = privilege::acquire() {
        eprintln!("simopen: {missing}");
        return Ok(ExitCode::from(COULD_NOT_TRY));
    }
    let cancel = cancel_on_interrupt()?;
    let planned = planned(&spec);
    let results =
        with_progress(&planned, |observer| simopen_lab::matrix::run(&spec, &cancel, observer));
    let Some(results) = results.context("the matrix cannot be made")? else {
        eprintln!("simopen: interrupted before anything was run; nothing is left behind");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    arguments.output.give_out(&results)?;
    Ok(exit_code(&results))
}

/// How the process ends after these results.
pub(crate) fn exit_code(results: &Results) -> ExitCode {
    if !results.complete {
        eprintln!("simopen: interrupted; the report says so, and nothing else is left behind");
        return ExitCode::from(INTERRUPTED);
    }
    if output::is_as_predicted(results) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// Runs an experiment and shows its progress meanwhile. `None` where it was broken off before
/// there was anything to report.
pub(crate) fn with_progress(
    planned: &Results,
    experiment: impl FnOnce(&(dyn Fn(&Progress<'_>) + Sync)) -> Result<Results, LabError>,
) -> Result<Option<Results>> {
    let outcome = Live::during(planned, |live| {
        experiment(&|progress: &Progress<'_>| {
            let Progress { done, planned, elapsed, cell, result } = *progress;
            live.tell([done, planned], elapsed, cell, result);
        })
    });
    match outcome {
        Ok(results) => Ok(Some(results)),
        Err(LabError::Cancelled) => Ok(None),
        Err(error) => Err(anyhow!(error)),
    }
}

fn spec(arguments: &MatrixArguments) -> Result<MatrixSpec> {
    let plan = &arguments.plan;
    let (ways, programs) = match &plan.techniques {
        Some(list) => scenario::ways(list)?,
        None => (default_matrix::ways(), Vec::new()),
    };
    let (seed, conditions) = (plan.seed()?, plan.conditions()?);
    let captures = match (&arguments.output.out, arguments.pcap) {
        (None, _) | (Some(_), CapturesName::None) => Captures::None,
        (Some(directory), CapturesName::Surprises) => Captures::Surprises(directory.join("pcap")),
        (Some(directory), CapturesName::All) => Captures::All(directory.join("pcap")),
    };
    let how = How {
        executor: arguments.executor.executor(),
        jobs: arguments.jobs as usize,
        captures,
        programs,
        ..How::new(output::command_line(plan.seed, seed))
    };
    let boxes = boxes(&plan.boxes, how.executor)?;
    Ok(MatrixSpec { boxes, ways, runs: plan.runs, seed, conditions, how })
}

/// What will be run, of which nothing has been yet.
fn planned(spec: &MatrixSpec) -> Results {
    let mut results =
        Results::new(Kind::Matrix, spec.how.executor, spec.seed, spec.how.command.clone());
    results.boxes.clone_from(&spec.boxes);
    results.ways.clone_from(&spec.ways);
    results.cells = spec.cells().into_iter().map(|cell| CellResult::pending(cell, None)).collect();
    results
}

/// The techniques of a list, or all, whose outcome depends on what arrives when: to a meeting at the
/// relay both sides go by themselves.
pub(crate) fn without_relay(list: Option<&str>) -> Result<Vec<Technique>> {
    let Some(list) = list else { return Ok(Technique::WITHOUT_RELAY.to_vec()) };
    let techniques = Technique::parse_list(list)?;
    match techniques.iter().find(|technique| technique.meets_at_relay()) {
        Some(relay) => bail!(
            "{relay} is not searched: nothing has to come in for it; `simopen sim matrix \
             --techniques {relay}` holds it against the oracle"
        ),
        None => Ok(techniques),
    }
}

/// The boxes of these names and files; the default ones if there are none.
pub(crate) fn boxes(names: &[String], executor: Executor) -> Result<Vec<NamedBox>> {
    if names.is_empty() {
        return Ok(match executor {
            Executor::Model => default_matrix::boxes(),
            Executor::Nft => presets(executor),
        });
    }
    let mut boxes: Vec<NamedBox> = Vec::new();
    for name in names {
        let found = match name.as_str() {
            "all" => presets(executor),
            _ => vec![named(name)?],
        };
        for found in found {
            match boxes.iter().find(|known| known.name == found.name) {
                Some(known) if *known == found => {}
                Some(_) => {
                    bail!("two different boxes are called {:?}; give one another name", found.name)
                }
                None => boxes.push(found),
            }
        }
    }
    Ok(boxes)
}

/// All presets that the executor can be.
fn presets(executor: Executor) -> Vec<NamedBox> {
    let all = PRESETS.iter().filter_map(|preset| NamedBox::preset(preset.name));
    all.filter(|placed| executor == Executor::Model || is_expressible(&placed.spec)).collect()
}

/// Whether nftables can express a box wherever it stands.
fn is_expressible(spec: &MiddleboxSpec) -> bool {
    // Any NAT of the star; where a box stands decides nothing over a preset.
    let external = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    let inside = [(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2)), 24)];
    let placement = Placement { external, inside: &inside };
    nft::compile(spec, &placement).is_ok()
}

/// One box: a preset, or the file of that name.
fn named(name: &str) -> Result<NamedBox> {
    if let Some(preset) = NamedBox::preset(name) {
        return Ok(preset);
    }
    let path = Path::new(name);
    if !name.ends_with(".toml") && !path.exists() {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        bail!("{name:?} is neither a preset nor a file; the presets are {}", known.join(", "));
    }
    let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    box_from_toml(name, &text).map_err(|error| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn all_presets_are_meant_by_one_word_and_none_is_taken_twice() {
        let boxes = boxes(&names(&["no-box", "all"]), Executor::Model).unwrap();
        assert_eq!(boxes.len(), PRESETS.len());
        assert_eq!(boxes[0].name, "no-box");
    }

    #[test]
    fn a_matrix_of_kernels_has_the_presets_that_a_kernel_can_be() {
        let boxes = boxes(&[], Executor::Nft).unwrap();
        assert_eq!(boxes.len(), 11);
        assert!(boxes.iter().any(|placed| placed.name == "cgn-port-block"));
        assert!(boxes.iter().all(|placed| placed.name != "rfc5382-compliant"));
    }

    #[test]
    fn an_unknown_box_is_named_beside_all_presets() {
        let error = boxes(&names(&["telepathic"]), Executor::Model).unwrap_err().to_string();
        assert!(error.contains("\"telepathic\" is neither a preset nor a file"), "{error}");
        assert!(error.contains("rfc5382-compliant"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error =
            format!("{:#}", boxes(&names(&["nowhere/mine.toml"]), Executor::Model).unwrap_err());
        assert!(error.starts_with("nowhere/mine.toml cannot be read: "), "{error}");
    }
}
