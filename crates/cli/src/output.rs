//! What an experiment leaves behind: a grid on the terminal, and files.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use simopen_scenario::report::text::{Colour, Screen};
use simopen_scenario::report::{bench, html, junit, svg};
use simopen_scenario::result::{Kind, Results, Verdict};
use terminal_size::{Height, Width, terminal_size_of};

use crate::privilege::quoted;

/// How wide text is where nobody can say how wide the screen is.
const USUAL_COLUMNS: usize = 100;

/// The screen that standard output goes to.
pub(crate) fn screen() -> Screen {
    let out = io::stdout();
    let columns =
        terminal_size_of(&out).map_or(USUAL_COLUMNS, |(Width(columns), _)| columns.into());
    Screen { columns, rows: None, colour: colour(out.is_terminal()) }
}

/// The screen that progress is drawn on, if there is one.
pub(crate) fn progress_screen() -> Option<Screen> {
    let error = io::stderr();
    let (Width(columns), Height(rows)) =
        terminal_size_of(&error).filter(|_| error.is_terminal())?;
    Some(Screen { columns: columns.into(), rows: Some(rows.into()), colour: colour(true) })
}

/// Colours go to terminals, unless their user says otherwise (no-color.org).
fn colour(is_terminal: bool) -> Colour {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_terminal && !unwanted { Colour::On } else { Colour::Off }
}

/// Writes `text` to standard output. Where nobody reads it any more nothing is wrong.
pub(crate) fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// Writes all reports into a directory, which is made if it is not there.
pub(crate) fn write_files(results: &Results, directory: &Path) -> Result<()> {
    let picture = match results.kind {
        Kind::Bench => ("bench.svg", bench::chart(results)),
        Kind::Matrix | Kind::Run | _ => ("grid.svg", svg::grid(results)),
    };
    let files = [
        ("report.html", html::page(results)),
        ("results.json", results.to_json()),
        ("junit.xml", junit::document(results)),
        picture,
    ];
    write_all(&files, directory)
}

/// Writes texts under these names into a directory, which is made if it is not there.
pub(crate) fn write_all(files: &[(&str, String)], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("the directory {} cannot be made", directory.display()))?;
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Whether everything that was run came out as predicted, or is explained, and enough of it counted.
pub(crate) fn is_as_predicted(results: &Results) -> bool {
    results.cells.iter().all(|cell| match cell.verdict {
        Verdict::Agrees | Verdict::Unpredicted | Verdict::Pending => true,
        Verdict::Surprise { .. } => cell.explained.is_some(),
        Verdict::Void => false,
    })
}

/// The command line that repeats this one: as it was typed, and the seed if it was drawn.
pub(crate) fn command_line(given_seed: Option<u64>, seed: u64) -> String {
    with_seed(env::args().skip(1), given_seed, seed)
}

/// The same without what decides nothing over the results: where they go, how many threads make
/// them, and what is logged. Whatever these are, the results are the same to the byte.
pub(crate) fn repeating_command_line(given_seed: Option<u64>, seed: u64) -> String {
    with_seed(deciding(env::args().skip(1)), given_seed, seed)
}

fn with_seed(typed: impl Iterator<Item = String>, given_seed: Option<u64>, seed: u64) -> String {
    let mut words: Vec<String> =
        std::iter::once("simopen".to_owned()).chain(typed.map(quoted)).collect();
    if given_seed.is_none() {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// The words of a command line that decide over results.
fn deciding(mut words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    const WITH_VALUE: [&str; 2] = ["--jobs", "--out"];
    const ALONE: [&str; 3] = ["--json", "--trace", "--verbose"];
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            let is_short =
                word.starts_with("-v") && !word.contains(|letter| !"-v".contains(letter));
            let joined =
                |name: &&str| word.strip_prefix(*name).is_some_and(|rest| rest.starts_with('='));
            if WITH_VALUE.contains(&word.as_str()) {
                words.next();
            } else if !is_short && !ALONE.contains(&word.as_str()) && !WITH_VALUE.iter().any(joined)
            {
                return Some(word);
            }
        }
    })
}

/// A seed from the system, where none was given. Small enough for readers of JSON that have no
/// integers of 64 bits.
pub(crate) fn drawn_seed() -> Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(u32::from_le_bytes(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_nothing_is_not_repeated() {
        let typed = "-v sim matrix --jobs 2 --boxes all --out=x --json -vv --out dir --loss 5%";
        let kept: Vec<String> = deciding(typed.split(' ').map(str::to_owned)).collect();
        assert_eq!(kept.join(" "), "sim matrix --boxes all --loss 5%");
    }
}
