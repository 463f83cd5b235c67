//! What is written down of a run, line by line.

use simopen_packet::Timestamp;

/// The lines, where they are wanted.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Option<Vec<String>>,
}

impl Log {
    /// A log that keeps lines, or one that makes none.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { lines: is_wanted.then(Vec::new) }
    }

    /// Writes a line. Nothing is put into words where nobody reads it.
    #[inline]
    pub(crate) fn tell(&mut self, at: Timestamp, place: &str, words: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at} {place} {}", words()));
        }
    }

    /// All lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
