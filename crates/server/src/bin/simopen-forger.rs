//! The forger's process for programs that embed a broker: started by `forger::Spawn`, by nobody else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    simopen_server::forger::run(std::env::args_os().skip(1))
}
