//! The command line: names, help and values in one place.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::scenario::{RunArguments, ShellArguments};

/// Open TCP connections between peers that sit behind NATs and firewalls.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Log more to standard error: -v sessions, -vv states, -vvv everything. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Peer(crate::peer_arguments::PeerCommand),
    #[command(flatten)]
    Operator(crate::broker_arguments::OperatorCommand),
    /// Experiments on real kernels in network namespaces.
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
    /// The same experiments in virtual time: no privilege, any machine, reproducible to the byte.
    Sim {
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Serve the broker that started this process; nobody else does.
    #[command(hide = true)]
    Forger {
        /// What the broker's operator allows.
        arguments: Vec<OsString>,
    },
    /// Print a shell's completion script to standard output.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Try every technique between every two boxes, and compare with what must come of it.
    ///
    /// Exits with 0 if everything came out as predicted, 1 if something did not or too few of its
    /// runs counted, 2 if this machine cannot run it, 130 if it was broken off; what was run by
    /// then is reported all the same.
    Matrix(crate::matrix::MatrixArguments),
    /// Measure how long each technique takes, over delay and loss, beside what theory says.
    Bench(crate::bench::BenchArguments),
    /// Find out from its inside and outside what a box is, beside what its specification says.
    ///
    /// Sends crafted packets through it and looks at what comes out. Exits with 0 if it is as
    /// specified, 1 if it is not, 2 if it cannot be tried.
    Classify(crate::classify::ClassifyArguments),
    /// Tell what this machine can run, and what to do about the rest.
    ///
    /// Exits with 0 if the lab can run, 2 if it cannot.
    Doctor(crate::doctor::DoctorArguments),
    /// Join two kernels behind SYN-dropping NATs by forged SYN-ACKs, beside what fails there.
    ///
    /// Builds hosts a, b and c, each a network namespace with a kernel TCP stack, puts a NAT box
    /// before a and b, and tries five ways to connect a to b; c is the broker. Takes about three
    /// seconds. Exits with 0 if every attempt came out as it must, 1 if one did not, 2 if this
    /// machine cannot run it.
    Demo(DemoArguments),
    /// Run the scenario of a file: any network, what is attempted in it, what happens meanwhile.
    ///
    /// Prints the timeline of each run and what came of each attempt; --out has a capture of each
    /// port for each run too. Exits with 0 if all came out as the file expects, 1 if something did
    /// not, 2 if it cannot be run.
    Run(RunArguments),
    /// Start a scenario's network, and a shell or a program inside one of its hosts.
    ///
    /// The environment has SIMOPEN_HOST and, for each host, its addresses in SIMOPEN_HOST_NAME. The
    /// exit code is the program's. Everything it started ends with it.
    Shell(ShellArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Try every technique between every two boxes, and compare with what must come of it.
    ///
    /// As `lab matrix`, with its report. Two runs with one seed write the same results.json. Exits
    /// with 0 if everything came out as predicted, 1 if something did not, 2 if it cannot be run,
    /// 130 if it was broken off; what was run by then is reported all the same.
    Matrix(crate::sim_matrix::SimMatrixArguments),
    /// Run the scenario of a file.
    ///
    /// As `lab run`, but for tunnels and programs, which need real hosts. Exits with 0 if all came
    /// out as the file expects, 1 if something did not, 2 if something cannot be run here.
    Run(crate::sim_run::SimRunArguments),
    /// Draw pairs from a population of boxes, and tell what each technique joins and adds.
    ///
    /// Each pair tries every technique by itself; and all of them in an order, until one joins it.
    /// Prints both with Wilson intervals, and why the rest could be joined by a relay only. Exits
    /// with 0, or 1 if something happened that must never happen, 2 if it cannot be run, 130 if it
    /// was broken off; what was drawn by then is reported all the same.
    Population(crate::sim_population::SimPopulationArguments),
    /// Look for what comes out otherwise than it must: boxes, conditions and faults are drawn.
    ///
    /// Each attempt is held against what the boxes' specifications say, and against the rules that
    /// hold for all. What surprises is shrunk to the smallest scenario, which is written to a file,
    /// with the commands that replay it here and on real kernels. Exits with 0 if nothing was
    /// found, 1 if something was, 2 if it cannot be run, 130 if it was broken off; what was found
    /// by then is written all the same.
    Search(crate::sim_search::SimSearchArguments),
    /// Try all orders of the first deliveries, with a few faults.
    ///
    /// From the request on any packet or document in flight may be the next to arrive. Tells for
    /// each technique and two boxes how many schedules were made to their end, how many led to a
    /// state that was known, and what came of them. Orders may well keep a technique from
    /// connecting; what must never happen is told with the command that makes it again. Exits with
    /// 0 if nothing of that kind happened, 1 if something did, 2 if it cannot be run, 130 if it
    /// was broken off.
    Explore(crate::sim_explore::SimExploreArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// One way between any two of a, b and c: a number with ms, s or us (ms if bare).
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse_delay)]
    pub(crate) delay: Duration,

    /// Print one JSON object instead of the timelines.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write a pcapng file for each port into a directory for each attempt below DIR.
    #[arg(long, value_name = "DIR")]
    pub(crate) pcap: Option<PathBuf>,
}

/// The longest leg: ten seconds are longer than any attempt waits.
const LONGEST: Duration = Duration::from_secs(2);

/// A time: a number with ms, s or us, milliseconds if bare.
pub(crate) fn parse_delay(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "ms") => 1e-3,
        Some("s") => 1.0,
        Some("us") => 1e-6,
        _ => {
            return Err(format!(
                "'{text}' has no unit that is known here; write 10ms, 0.5s or 500us"
            ));
        }
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("'{text}' does not begin with a number; write 10ms, 0.5s or 500us"))?;
    let delay = Duration::try_from_secs_f64(number * unit)
        .map_err(|_| format!("'{text}' is no time; write 10ms, 0.5s or 500us"))?;
    if delay > LONGEST {
        return Err(format!(
            "'{text}' is longer than {} s, beyond which no attempt is honest",
            LONGEST.as_secs()
        ));
    }
    Ok(delay)
}

/// A probability: `5%` or `0.05`.
pub(crate) fn parse_loss(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), 0.01),
        None => (text, 1.0),
    };
    let number = digits.parse().map(|number: f64| number * unit);
    let is_share = |share: &f64| (0.0..=1.0).contains(share);
    number
        .ok()
        .filter(is_share)
        .ok_or_else(|| format!("'{text}' is no share of packets; write 5% or 0.05"))
}

/// Bits per second: `250M`, `2.5G`, `64k`, or the bare number.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((end, 'k')) => (&text[..end], 1e3),
        Some((end, 'M')) => (&text[..end], 1e6),
        Some((end, 'G')) => (&text[..end], 1e9),
        _ => (text, 1.0),
    };
    let bits = digits.parse().map(|number: f64| (number * unit).round());
    match bits {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        Ok(bits) if (1.0..=1e12).contains(&bits) => Ok(bits as u64),
        _ => Err(format!("'{text}' is no rate in bits per second; write 250M, 2.5G or 64k")),
    }
}

/// How much later than agreed each side begins: `a=20ms`, or `a=20ms,b=5ms`.
pub(crate) fn parse_skew(text: &str) -> Result<[Duration; 2], String> {
    let mut skew = [None; 2];
    for part in text.split(',') {
        let (side, time) = match part.split_once('=') {
            Some(("a", time)) => (0, time),
            Some(("b", time)) => (1, time),
            _ => return Err(format!("'{part}' names no side; write a=20ms, or a=20ms,b=5ms")),
        };
        if skew[side].replace(parse_delay(time)?).is_some() {
            return Err(format!("'{text}' names one side twice"));
        }
    }
    Ok(skew.map(Option::unwrap_or_default))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_delay_takes_a_unit_or_counts_milliseconds() {
        for (text, micros) in
            [("10", 10_000), ("10ms", 10_000), ("0.5s", 500_000), ("500us", 500), ("0", 0)]
        {
            assert_eq!(parse_delay(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn a_bad_delay_is_refused_with_what_to_write() {
        for text in ["", "ms", "10 parsecs", "-1ms", "1h", "3s", "nan", "inf"] {
            assert!(parse_delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_loss_is_a_share_or_a_percentage() {
        for (text, share) in [("0", 0.0), ("5%", 0.05), ("0.05", 0.05), ("100 %", 1.0), ("1", 1.0)]
        {
            assert_eq!(parse_loss(text), Ok(share), "{text}");
        }
        for text in ["", "5", "-1%", "%", "101%", "nan"] {
            assert!(parse_loss(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_takes_a_unit_or_counts_bits() {
        for (text, rate) in
            [("64k", 64_000), ("250M", 250_000_000), ("2.5G", 2_500_000_000), ("7", 7)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "M", "0", "-5M", "1T", "ö", "inf"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_skew_names_the_side_that_is_late() {
        let ms = Duration::from_millis;
        assert_eq!(parse_skew("a=20ms"), Ok([ms(20), ms(0)]));
        assert_eq!(parse_skew("b=5,a=0.1s"), Ok([ms(100), ms(5)]));
        for text in ["", "20ms", "c=1ms", "a=1,a=2", "a="] {
            assert!(parse_skew(text).is_err(), "{text}");
        }
    }
}
