//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.told())]
pub struct FileError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, from one.
    pub line: usize,
    /// The column in characters, from one.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// The nearest known name, where a name is unknown.
    pub nearest: Option<String>,
}

impl FileError {
    /// Something that may not stand where it stands; `span` counts the bytes of `text`.
    #[must_use]
    pub fn at(file: &str, text: &str, span: &Range<usize>, found: &str, expected: &str) -> Self {
        Fault::at(span, found, expected).located(file, text)
    }

    /// What the TOML reader or serde says about a text, whose names stand in backticks.
    #[must_use]
    pub fn told_by_serde(file: &str, text: &str, span: &Range<usize>, message: &str) -> Self {
        Fault::told_by_serde(span, message, &[]).located(file, text)
    }

    fn told(&self) -> String {
        let Self { file, line, column, found, expected, nearest } = self;
        let meant = nearest.as_ref().map(|name| format!("; did you mean `{name}`?"));
        let meant = meant.unwrap_or_default();
        format!("{file}:{line}:{column}: found {found}, expected {expected}{meant}")
    }
}

/// The same before line and column are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    span: Range<usize>,
    found: String,
    expected: String,
    nearest: Option<String>,
}

impl Fault {
    pub(super) fn at(
        span: &Range<usize>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self {
            span: span.clone(),
            found: found.to_string(),
            expected: expected.to_string(),
            nearest: None,
        }
    }

    /// A name that is not among those that are known.
    pub(super) fn unknown<'n>(
        span: &Range<usize>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let expected = if listed.is_empty() {
            format!("no {what}: there is none in this file")
        } else {
            format!("a known {what}: {}", listed.join(", "))
        };
        let nearest = nearest(name, &known).map(str::to_owned);
        Self { nearest, ..Self::at(span, format_args!("`{}`", shortened(name)), expected) }
    }

    /// What the TOML reader or serde says about a value, whose names stand in backticks.
    /// `besides` are names that are known as well.
    pub(super) fn told_by_serde(span: &Range<usize>, message: &str, besides: &[&str]) -> Self {
        let (found, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let name = found.split('`').nth(1).unwrap_or_default();
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let nearest = nearest(name, &[&known, besides].concat()).map(str::to_owned);
        let expected = if expected.is_empty() { "a proper value" } else { expected };
        Self { nearest, ..Self::at(span, found.trim().replace('\n', " "), expected) }
    }

    pub(super) fn located(self, file: &str, text: &str) -> FileError {
        let before = text.get(..self.span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        FileError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            found: self.found,
            expected: self.expected,
            nearest: self.nearest,
        }
    }
}

/// So much of a text as belongs into a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// The known name that is fewest edits away, if that is near enough to be meant.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let name = name.get(..64.min(name.len())).unwrap_or_default();
    let enough = 1 + name.chars().count() / 3;
    let best = known.iter().map(|known| (edits(name, known), *known)).min()?;
    (!name.is_empty() && best.0 <= enough).then_some(best.1)
}

/// Levenshtein's distance.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(other[column] != letter);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_fewest_edits_and_none_where_all_are_far() {
        let known = ["rst-answering", "icmp-answering", "no-box"];
        assert_eq!(nearest("rst-answerin", &known), Some("rst-answering"));
        assert_eq!(nearest("nobox", &known), Some("no-box"));
        assert_eq!(nearest("quite another thing", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn columns_count_characters_and_lines_begin_at_one() {
        let text = "x = 1\ny = \"é\" !";
        let at = text.find('!').unwrap();
        let error = Fault::at(&(at..at + 1), "`!`", "nothing").located("f.toml", text);
        assert_eq!((error.line, error.column), (2, 9));
        assert_eq!(error.to_string(), "f.toml:2:9: found `!`, expected nothing");
    }
}
