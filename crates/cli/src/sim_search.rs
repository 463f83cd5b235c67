//! `simopen sim search`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use simopen_scenario::network::Executor;
use simopen_sim::Stack;
use simopen_sim::search::{Finding, Progress, SearchSpec, Tally, search, shrunk};

use crate::interrupt::{INTERRUPTED, flag_on_interrupt};
use crate::privilege::quoted;
use crate::sim_arguments::{ThreadArguments, WorldArguments};
use crate::{FAILED, matrix, output};

/// Between two lines of progress, on a terminal and elsewhere.
const FRAME: Duration = Duration::from_millis(500);
const LINE: Duration = Duration::from_secs(10);
/// The memory at the end is compared with that of this moment: by then all is warm.
const WARM: Duration = Duration::from_secs(300);
/// The longest search, in minutes: a week.
const LONGEST: f64 = 7.0 * 24.0 * 60.0;

#[derive(Debug, Args)]
pub(crate) struct SimSearchArguments {
    /// How long; what was found is shrunk after that.
    #[arg(long, value_name = "MINUTES", default_value_t = 1.0, value_parser = parse_minutes)]
    minutes: f64,

    /// What all draws follow from; drawn and shown if not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    threads: ThreadArguments,

    #[command(flatten)]
    world: WorldArguments,

    /// The techniques to draw from, with commas between; all if none is named.
    #[arg(long, value_name = "LIST")]
    techniques: Option<String>,

    /// The boxes to draw from, with commas between: presets, TOML files of one's own, or `all`
    /// presets. If none is named: presets, presets with axes turned, and any box there can be.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    boxes: Vec<String>,

    /// Where the scenarios of what was found are written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &SimSearchArguments) -> Result<ExitCode> {
    let seed = arguments.seed.map_or_else(output::drawn_seed, Ok)?;
    let spec = spec(arguments, seed)?;
    let interrupted = flag_on_interrupt()?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(arguments.minutes * 60.0);
    let goes_on = || !interrupted.load(Ordering::Relaxed) && Instant::now() < until;
    let progress = Progress::default();
    let (over, is_over) = channel::<()>();
    let (surprises, memory) = thread::scope(|scope| {
        let shown = &progress;
        let watch = scope.spawn(move || watch(shown, begun, &is_over));
        let surprises = search(&spec, &progress, &goes_on);
        drop(over);
        (surprises, watch.join().unwrap_or_default())
    });
    let searched = begun.elapsed();
    if !surprises.is_empty() {
        eprintln!("{} surprises: the first are being shrunk", surprises.len());
    }
    let found = write_all(&shrunk(&spec, &surprises), arguments)?;
    let summary = Summary { seed, tally: progress.tally(), searched, memory, found: &found };
    let text = if arguments.json { summary.json(arguments) } else { summary.text(arguments) };
    output::print(&text)?;
    Ok(if interrupted.load(Ordering::Relaxed) {
        ExitCode::from(INTERRUPTED)
    } else if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn spec(arguments: &SimSearchArguments, seed: u64) -> Result<SearchSpec> {
    let techniques = matrix::without_relay(arguments.techniques.as_deref())?;
    let boxes = if arguments.boxes.is_empty() {
        Vec::new()
    } else {
        matrix::boxes(&arguments.boxes, Executor::Model)?
    };
    Ok(SearchSpec {
        techniques,
        boxes,
        stack: arguments.world.host,
        carriage: arguments.world.carriage(),
        jobs: arguments.threads.count(),
        ..SearchSpec::new(seed)
    })
}

/// A number of minutes.
fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes: Option<f64> = text.parse().ok();
    minutes
        .filter(|minutes| *minutes > 0.0 && *minutes <= LONGEST)
        .ok_or_else(|| format!("'{text}' is no number of minutes; write 0.5, 10 or 1440"))
}

/// Memory of the process in use, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    /// When all was warm; `None` where it did not come to that.
    warm: Option<u64>,
    end: Option<u64>,
}

impl Memory {
    /// That of the end over that of the moment when all was warm.
    fn ratio(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
        let ratio = |warm: u64, end: u64| end as f64 / warm as f64;
        Some(ratio(self.warm?, self.end?))
    }
}

/// What the process holds of the machine's memory (proc_pid_statm(5)).
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Tells how far it is until it is over, and weighs the process meanwhile.
fn watch(progress: &Progress, begun: Instant, is_over: &Receiver<()>) -> Memory {
    let on_screen = output::progress_screen().is_some();
    let mut memory = Memory::default();
    let mut next_line = Duration::ZERO;
    while is_over.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
        let elapsed = begun.elapsed();
        let resident = resident();
        if memory.warm.is_none() && elapsed >= WARM {
            memory.warm = resident;
        }
        if !on_screen && elapsed < next_line {
            continue;
        }
        next_line = elapsed + LINE;
        let line = line(progress.tally(), elapsed, resident);
        // Nobody listens where it cannot be written.
        let _ = if on_screen {
            write!(io::stderr(), "\r\x1b[2K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }
    if on_screen {
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
    memory.end = resident();
    memory
}

fn line(tally: Tally, elapsed: Duration, resident: Option<u64>) -> String {
    let Tally { attempts, compared, surprises } = tally;
    let (rate, seconds) = (rate(attempts, elapsed), elapsed.as_secs());
    let memory = resident.map_or_else(String::new, |bytes| format!(", {}", mebibytes(bytes)));
    format!(
        "{seconds} s: {attempts} attempts, {rate:.0} a second, {compared} compared, \
         {surprises} surprises{memory}"
    )
}

fn rate(attempts: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = attempts as f64 / elapsed.as_secs_f64().max(1e-9);
    rate
}

fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for a person")]
    let size = bytes as f64 / (1024.0 * 1024.0);
    format!("{size:.1} MiB")
}

/// Something that was found, and the file that shows it.
struct Found {
    finding: Finding,
    file: PathBuf,
}

fn write_all(findings: &[Finding], arguments: &SimSearchArguments) -> Result<Vec<Found>> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let directory = &arguments.out;
    fs::create_dir_all(directory)
        .with_context(|| format!("the directory {} cannot be made", directory.display()))?;
    findings.iter().map(|finding| write_one(finding, directory)).collect()
}

fn write_one(finding: &Finding, directory: &Path) -> Result<Found> {
    let technique = finding.experiment.technique.name().replace('/', "-");
    let file = directory.join(format!("found-{}-{technique}.toml", finding.nth));
    fs::write(&file, finding.scenario().to_toml())
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(Found { finding: finding.clone(), file })
}

/// What is told in the end.
struct Summary<'all> {
    seed: u64,
    tally: Tally,
    searched: Duration,
    memory: Memory,
    found: &'all [Found],
}

impl Found {
    /// What makes it again: in virtual time to the byte, and on real kernels.
    fn commands(&self, arguments: &SimSearchArguments) -> [String; 2] {
        let file = quoted(self.file.display().to_string());
        let seed = self.finding.experiment.seed;
        let host = match arguments.world.host {
            Stack::Linux => String::new(),
            other @ Stack::Smoltcp => format!(" --host {other}"),
        };
        let fast = if arguments.world.fast { " --fast" } else { "" };
        [
            format!("simopen sim run {file} --seed {seed}{host}{fast} --trace"),
            format!("simopen lab run {file} --seed {seed}"),
        ]
    }
}

impl Summary<'_> {
    fn text(&self, arguments: &SimSearchArguments) -> String {
        let mut text = String::new();
        for found in self.found {
            let Finding { nth, times, experiment, surprise } = &found.finding;
            let [sim, lab] = found.commands(arguments);
            let again = if *times > 1 { format!(", {times} times") } else { String::new() };
            text += &format!(
                "{} {surprise}\n  attempt {nth}{again}\n  {sim}\n  {lab}\n\n",
                experiment.technique
            );
        }
        let Tally { attempts, compared, surprises } = self.tally;
        let (seconds, rate) = (self.searched.as_secs_f64(), rate(attempts, self.searched));
        text += &format!(
            "{attempts} attempts in {seconds:.1} s, {rate:.0} a second, from seed {}\n\
             {compared} were foretold and compared, {surprises} surprises{}\n",
            self.seed,
            match self.found.len() {
                0 => String::new(),
                count => format!(", {count} kinds among those that were shrunk"),
            }
        );
        text + &self.memory()
    }

    fn memory(&self) -> String {
        let Memory { warm, end } = self.memory;
        match (warm, end, self.memory.ratio()) {
            (Some(warm), Some(end), Some(ratio)) => format!(
                "memory {} at minute {} and {} at the end: {ratio:.3} times as much\n",
                mebibytes(warm),
                WARM.as_secs() / 60,
                mebibytes(end)
            ),
            (_, Some(end), _) => format!(
                "memory {} at the end; minute {}, to compare it with, was not reached\n",
                mebibytes(end),
                WARM.as_secs() / 60
            ),
            (_, None, _) => "the memory in use is not known here\n".to_owned(),
        }
    }

    fn json(&self, arguments: &SimSearchArguments) -> String {
        let findings = self.found.iter().map(|found| {
            let Finding { nth, times, experiment, surprise } = &found.finding;
            let [sim, lab] = found.commands(arguments);
            json!({
                "attempt": nth,
                "times": times,
                "technique": experiment.technique.name(),
                "surprise": surprise.to_string(),
                "file": found.file,
                "seed": experiment.seed,
                "replay": { "sim": sim, "lab": lab },
            })
        });
        let Tally { attempts, compared, surprises } = self.tally;
        let object = json!({
            "command": output::command_line(arguments.seed, self.seed),
            "seed": self.seed,
            "attempts": attempts,
            "compared": compared,
            "surprises": surprises,
            "seconds": self.searched.as_secs_f64(),
            "memory-bytes": {
                "minute-5": self.memory.warm,
                "end": self.memory.end,
                "ratio": self.memory.ratio(),
            },
            "findings": findings.collect::<Vec<_>>(),
        });
        format!("{object:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_may_be_parts_of_one_and_are_not_without_end() {
        assert_eq!(parse_minutes("0.5"), Ok(0.5));
        for text in ["", "0", "-1", "nan", "inf", "1e9", "5m"] {
            assert!(parse_minutes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_compared_with_that_of_the_fifth_minute_where_there_was_one() {
        let short = Memory { warm: None, end: Some(9) };
        assert_eq!(short.ratio(), None);
        let long = Memory { warm: Some(10), end: Some(9) };
        assert_eq!(long.ratio(), Some(0.9));
    }
}
