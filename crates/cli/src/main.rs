//! `simopen`: flags and output, nothing else.
//!
//! The only place that reads the environment and signals and that sets up tracing. Exit codes:
//! 0 worked, 1 tried and failed, 2 could not try.
#![forbid(unsafe_code)]

mod admin;
mod admin_table;
mod arguments;
mod bench;
mod broker;
mod broker_arguments;
mod broker_settings;
mod classify;
mod complaint;
mod completions;
mod connect;
mod demo;
mod descriptor_budget;
mod device_log;
mod device_session;
mod device_settings;
mod doctor;
mod ending;
mod exchange;
mod interrupt;
mod join;
mod listen;
mod live;
mod matrix;
mod moment;
mod note;
mod output;
mod peer;
mod peer_arguments;
mod peers;
mod places;
mod privilege;
mod relay;
mod relay_arguments;
mod relay_settings;
mod scenario;
mod screen;
mod service_arguments;
mod service_manager;
mod settings;
mod share;
mod sim_arguments;
mod sim_explore;
mod sim_matrix;
mod sim_population;
mod sim_run;
mod sim_search;
mod status;
mod surroundings;
mod team;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde_json::json;
use simopen_peer::manager::words::RefusalKind;
use simopen_server::forger;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command, LabCommand, SimCommand};
use crate::broker_arguments::OperatorCommand;
use crate::peer_arguments::PeerCommand;
use crate::service_arguments::LogFormat;

/// It was tried, and it failed.
const FAILED: u8 = 1;
/// It could not be tried.
const COULD_NOT_TRY: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    set_up_tracing(&arguments);
    let is_json = matches!(&arguments.command, Command::Peer(command) if command.is_json());
    let outcome = match arguments.command {
        Command::Lab { command: LabCommand::Matrix(matrix) } => matrix::run(&matrix),
        Command::Lab { command: LabCommand::Bench(bench) } => bench::run(&bench),
        Command::Lab { command: LabCommand::Doctor(doctor) } => doctor::run(&doctor),
        Command::Lab { command: LabCommand::Classify(classify) } => classify::run(&classify),
        Command::Lab { command: LabCommand::Demo(demo) } => demo::run(&demo),
        Command::Lab { command: LabCommand::Run(run) } => scenario::run(&run),
        Command::Lab { command: LabCommand::Shell(shell) } => scenario::shell(&shell),
        Command::Sim { command: SimCommand::Matrix(matrix) } => sim_matrix::run(&matrix),
        Command::Sim { command: SimCommand::Run(run) } => sim_run::run(&run),
        Command::Sim { command: SimCommand::Population(survey) } => sim_population::run(&survey),
        Command::Sim { command: SimCommand::Search(search) } => sim_search::run(&search),
        Command::Sim { command: SimCommand::Explore(explore) } => sim_explore::run(&explore),
        Command::Forger { arguments } => Ok(forger::run(arguments.into_iter())),
        Command::Peer(command) => run_peer_command(&command),
        Command::Operator(command) => run_operator_command(&command),
        Command::Completions { shell } => completions::run(shell),
    };
    outcome.unwrap_or_else(|error| {
        let why = complaint::complaint(&error);
        if is_json {
            eprintln!("{}", json!({ "why": why, "kind": RefusalKind::NotTried }));
        } else {
            eprintln!("simopen: {why}");
        }
        ExitCode::from(COULD_NOT_TRY)
    })
}

fn run_peer_command(command: &PeerCommand) -> Result<ExitCode> {
    match command {
        PeerCommand::Join(arguments) => join::run(arguments),
        PeerCommand::Peer(arguments) => peer::run(arguments),
        PeerCommand::Connect(arguments) => connect::run(arguments),
        PeerCommand::Listen(arguments) => listen::run(arguments),
        PeerCommand::Status(arguments) => status::run(arguments),
        PeerCommand::Team { command } => team::run(command),
        PeerCommand::Note { command } => note::run(command),
        PeerCommand::Share { command } => share::run(command),
        PeerCommand::Peers(arguments) => peers::run(arguments),
        PeerCommand::Log(arguments) => device_log::run(arguments),
    }
}

fn run_operator_command(command: &OperatorCommand) -> Result<ExitCode> {
    match command {
        OperatorCommand::Broker(arguments) => broker::run(arguments),
        OperatorCommand::Relay(arguments) => relay::run(arguments),
        OperatorCommand::Admin(arguments) => admin::run(arguments),
    }
}

/// Logs go to standard error: errors, or more by `-v` and `RUST_LOG`; of a service sessions too.
fn set_up_tracing(arguments: &Arguments) {
    let format =
        if let Command::Operator(command) = &arguments.command { command.log() } else { None };
    let level = match arguments.verbose + u8::from(format.is_some()) {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        Some(LogFormat::Json) => log.json().init(),
        Some(LogFormat::Text) | None => log.with_ansi(io::stderr().is_terminal()).init(),
    }
}
