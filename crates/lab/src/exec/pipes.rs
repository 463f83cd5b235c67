//! A program's input, output and errors, without ever waiting for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;

use simopen_device::process::{Program, ProgramSpace};

use super::contract::{Event, LONGEST_LINE, Said};
use crate::error::LabError;

/// What comes from a program.
#[derive(Debug)]
pub(super) enum Heard {
    /// A line, or what is wrong with it.
    Said(Result<Said, String>),
    /// A line on its standard error.
    Complained(String),
    /// The end of its output.
    Ended,
}

/// A program that talks. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Talking {
    pub(super) program: Program,
    lines: Sender<Vec<u8>>,
}

impl Talking {
    /// Starts a program whose words go to `heard` under the number of its side.
    pub(super) fn start(
        space: &ProgramSpace,
        mut command: Command,
        side: usize,
        heard: &Sender<(usize, Heard)>,
    ) -> Result<Self, LabError> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = space.spawn(command);
        let mut program = started.map_err(|source| LabError::ProgramEnded {
            program: name,
            how: "it was not even started".to_owned(),
            words: source.to_string(),
        })?;
        let (Some(input), Some(output), Some(errors)) = program.take_pipes() else {
            return Err(LabError::ThreadEnded("a program's pipes".to_owned()));
        };
        let (lines, queue) = mpsc::channel::<Vec<u8>>();
        on_a_thread(move || write_lines(input, queue))?;
        let said = heard.clone();
        on_a_thread(move || read_lines(output, |line| said.send((side, line)).is_ok()))?;
        let complained = heard.clone();
        on_a_thread(move || {
            let mut reader = BufReader::new(errors);
            while let Ok(Some(line)) = line_of(&mut reader) {
                let text = String::from_utf8_lossy(&line).trim_end().chars().take(200).collect();
                if complained.send((side, Heard::Complained(text))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { program, lines })
    }

    /// Writes a line to the program as soon as it reads.
    pub(super) fn tell(&self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            // A program that has ended is noticed by the end of its output.
            let _ = self.lines.send(line);
        }
    }
}

fn on_a_thread(work: impl FnOnce() + Send + 'static) -> Result<(), LabError> {
    let started = thread::Builder::new().name("program".into()).spawn(work);
    started.map(drop).map_err(|source| LabError::System { what: "a program's thread", source })
}

fn write_lines(mut input: impl Write, queue: mpsc::Receiver<Vec<u8>>) {
    for line in queue {
        if input.write_all(&line).and_then(|()| input.flush()).is_err() {
            return;
        }
    }
}

fn read_lines(output: impl Read, tell: impl Fn(Heard) -> bool) {
    let mut reader = BufReader::new(output);
    while let Ok(Some(line)) = line_of(&mut reader) {
        let said = Said::parse(&line);
        let is_proper = said.is_ok();
        if !tell(Heard::Said(said)) || !is_proper {
            return;
        }
    }
    tell(Heard::Ended);
}

/// One line, of which no more is kept than one byte beyond the longest.
fn line_of(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX) + 1;
    let read = reader.take(most).read_until(b'\n', &mut line)?;
    Ok((read > 0).then_some(line))
}
