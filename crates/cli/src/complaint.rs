//! What is said of an error before a command ends.

use anyhow::Error;

/// The error and its causes on one line, each once: many say themselves what their cause said.
pub(crate) fn complaint(error: &Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_an_error_says_of_its_cause_is_not_said_again() {
        let error = anyhow!("disk full").context("store: disk full; make room").context("no start");
        assert_eq!(complaint(&error), "no start: store: disk full; make room");
        assert_eq!(complaint(&anyhow!("alone")), "alone");
    }
}
