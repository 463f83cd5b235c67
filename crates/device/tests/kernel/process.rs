//! Foreign programs end with whoever started them, also those that hide.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use simopen_device::capability::Capability;
use simopen_device::namespace::Namespace;
use simopen_device::process::{ProgramSpace, exit_code};

use crate::requires::requires;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn space() -> ProgramSpace {
    let network = Namespace::spawn("host", Namespace::current).unwrap().join().unwrap().unwrap();
    ProgramSpace::start(&network).unwrap()
}

#[test]
fn what_has_left_its_session_ends_with_the_space_of_the_program_that_started_it() {
    if !requires(&[Capability::NetworkNamespace]) {
        return;
    }
    let mut program =
        space().spawn(shell("setsid sh -c 'echo here; exec sleep 1000' & cat")).unwrap();
    let mut output = BufReader::new(program.take_pipes().1.unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    drop(program);
    // The pipe ends when the last process that could write into it has gone.
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_program_tells_its_exit_code_and_a_missing_one_is_not_found() {
    if !requires(&[Capability::NetworkNamespace]) {
        return;
    }
    let space = space();
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)] {
        let mut program = space.spawn(shell(script)).unwrap();
        assert_eq!(exit_code(program.wait().unwrap()), code, "{script}");
    }
    let missing = space.spawn(Command::new("no-program-has-this-name")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}
