//! `simopen sim population`.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use simopen_protocol::technique::Technique;
use simopen_scenario::population::{BY_COST, DEFAULT, Frame, Population, Survey};
use simopen_scenario::report::population;
use simopen_sim::population::PopulationSpec;

use crate::arguments::parse_delay;
use crate::interrupt::{INTERRUPTED, flag_on_interrupt};
use crate::sim_arguments::{ThreadArguments, WorldArguments};
use crate::sim_matrix::{pace, tell_violations};
use crate::{FAILED, output};

#[derive(Debug, Args)]
pub(crate) struct SimPopulationArguments {
    /// The population, see docs/population-files.md; the NATs of 2005 that were reported to NAT
    /// Check if not given.
    file: Option<PathBuf>,

    /// How many pairs are drawn. Each tries every technique once.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    attempts: u32,

    /// What all chance follows from; drawn and shown if not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The techniques, with commas between; all if none is named.
    #[arg(long, value_name = "LIST")]
    techniques: Option<String>,

    /// The order in which a pair tries them until one joins it; by cost if not given.
    #[arg(long, value_name = "LIST")]
    order: Option<String>,

    /// One way between any two of a, b and c (one leg), on all paths, instead of what the file says.
    #[arg(long, value_name = "TIME", value_parser = parse_delay)]
    delay: Option<Duration>,

    #[command(flatten)]
    world: WorldArguments,

    #[command(flatten)]
    threads: ThreadArguments,

    /// Write report.html, population.json and population.svg into DIR.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print population.json instead of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &SimPopulationArguments) -> Result<ExitCode> {
    let (techniques, order) =
        techniques(arguments.techniques.as_deref(), arguments.order.as_deref())?;
    let spec = spec(arguments, techniques)?;
    let cancel = flag_on_interrupt()?;
    let begun = Instant::now();
    let is_watched = io::stderr().is_terminal();
    let outcome = simopen_sim::population::run(&spec, &cancel, &|done| {
        if is_watched {
            eprint!("\r{done} of {} pairs", spec.pairs);
        }
    })?;
    let took = begun.elapsed();
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let frame = Frame {
        order: &order,
        seed: spec.seed,
        stack: spec.stack.name(),
        command: &output::repeating_command_line(arguments.seed, spec.seed),
        complete: outcome.complete,
    };
    let survey = Survey::of(&spec.population, outcome.tally, &frame)?;
    give_out(&survey, arguments)?;
    eprintln!("{}", pace(u64::from(survey.pairs) * survey.alone.len() as u64, took, spec.jobs));
    tell_violations(&outcome.violations);
    Ok(if !survey.complete {
        ExitCode::from(INTERRUPTED)
    } else if survey.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn spec(arguments: &SimPopulationArguments, techniques: Vec<Technique>) -> Result<PopulationSpec> {
    Ok(PopulationSpec {
        population: population_of(arguments)?,
        techniques,
        pairs: arguments.attempts,
        seed: arguments.seed.map_or_else(output::drawn_seed, Ok)?,
        stack: arguments.world.host,
        carriage: arguments.world.carriage(),
        jobs: arguments.threads.count(),
    })
}

fn population_of(arguments: &SimPopulationArguments) -> Result<Population> {
    let mut population = match &arguments.file {
        None => Population::from_toml(DEFAULT.0, DEFAULT.1)?,
        Some(path) => {
            let name = path.display().to_string();
            let text =
                fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
            Population::from_toml(&name, &text).map_err(|error| anyhow!(error))?
        }
    };
    match arguments.delay {
        Some(Duration::ZERO) => {
            bail!("--delay 0 has no legs to count; 500us is the shortest that means anything here")
        }
        Some(leg) => population.set_leg(leg),
        None => {}
    }
    Ok(population)
}

/// The techniques that are tried, and those of them that are tried in order.
fn techniques(
    tried: Option<&str>,
    order: Option<&str>,
) -> Result<(Vec<Technique>, Vec<Technique>)> {
    let order = order.map(Technique::parse_list).transpose()?;
    let tried = match tried {
        Some(list) => Technique::parse_list(list)?,
        None => BY_COST.to_vec(),
    };
    let order = match order {
        Some(order) => order,
        None => BY_COST.into_iter().filter(|technique| tried.contains(technique)).collect(),
    };
    if let Some(missing) = order.iter().find(|technique| !tried.contains(technique)) {
        bail!("--order names {missing}, which --techniques leaves out");
    }
    Ok((tried, order))
}

fn give_out(survey: &Survey, arguments: &SimPopulationArguments) -> Result<()> {
    if let Some(directory) = &arguments.out {
        write_files(survey, directory)?;
        eprintln!("written: {}", directory.join("report.html").display());
    }
    output::print(&if arguments.json { survey.to_json() } else { population::text(survey) })
}

fn write_files(survey: &Survey, directory: &Path) -> Result<()> {
    let files = [
        ("report.html", population::page(survey)),
        ("population.json", survey.to_json()),
        ("population.svg", population::chart(survey)),
    ];
    output::write_all(&files, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_by_cost_and_leaves_out_what_is_not_tried() {
        let (tried, order) = techniques(Some("forged-syn-ack/kernel,direct"), None).unwrap();
        assert_eq!(order, [tried[1], tried[0]]);
        assert_eq!(techniques(None, None).unwrap().1, BY_COST);
    }

    #[test]
    fn an_order_with_what_is_not_tried_is_refused() {
        let error = techniques(Some("direct"), Some("direct,punch-and-listen")).unwrap_err();
        let told = error.to_string();
        assert_eq!(told, "--order names punch-and-listen, which --techniques leaves out");
    }
}
