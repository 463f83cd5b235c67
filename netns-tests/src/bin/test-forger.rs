//! The forger's process for the tests on real kernels.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    simopen_server::forger::run(std::env::args_os().skip(1))
}
