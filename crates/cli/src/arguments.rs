//! The command line: names, help and values in one place.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

/// Open TCP connections between peers that sit behind NATs and firewalls.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// Log more to standard error: -v sessions, -vv states, -vvv everything. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Experiments on real kernels in network namespaces.
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
    /// Print a shell's completion script to standard output.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Join two kernels behind SYN-dropping NATs by forged SYN-ACKs, beside what fails there.
    ///
    /// Builds hosts a, b and c, each a network namespace with a kernel TCP stack, puts a NAT box
    /// before a and b, and tries five ways to connect a to b; c is the broker. Takes about three
    /// seconds. Exits with 0 if every attempt came out as it must, 1 if one did not, 2 if this
    /// machine cannot run it.
    Demo(DemoArguments),
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

fn parse_delay(text: &str) -> Result<Duration, String> {
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
}
