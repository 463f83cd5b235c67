//! `simopen completions`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output;

pub(crate) fn run(shell: Shell) -> Result<ExitCode> {
    output::print(&script(shell))?;
    Ok(ExitCode::SUCCESS)
}

/// The script is made in memory: what makes it panics where it cannot write.
fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&Arguments::command()), "simopen", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line without what is nobody's to type: the scripts offer hidden commands too.
fn shown(all: &Command) -> Command {
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("simopen")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments().cloned())
        .subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_offer_what_a_person_types_and_nothing_else() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish] {
            let script = script(shell);
            assert!(script.contains("connect") && script.contains("verbose"), "{shell}");
            assert!(!script.contains("forger"), "{shell}");
        }
    }
}
