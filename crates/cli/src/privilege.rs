//! Finding out whether this machine can run the lab, and getting there without being root.

use std::env;
use std::ffi::OsString;

use simopen_device::capability::Capabilities;
use simopen_device::user_namespace::reexec_in_user_namespace;

/// Set in the environment of the second start, inside the user namespace.
const MARKER: &str = "SIMOPEN_IN_USER_NAMESPACE";

/// Whether this process was started again in a user namespace.
pub(crate) fn is_in_user_namespace() -> bool {
    env::var_os(MARKER).is_some()
}

/// Returns if everything is there. Without rights it starts the program again as root of a user
/// namespace of its own, and does not return. `Err` says what is missing and what to do.
pub(crate) fn acquire() -> Result<(), String> {
    let here = Capabilities::probe();
    if here.missing().next().is_none() {
        return Ok(());
    }
    if env::var_os(MARKER).is_some() {
        return Err(explain(&here, None));
    }
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match reexec_in_user_namespace(&arguments, MARKER) {
        Ok(never) => match never {},
        Err(error) => Err(explain(&here, Some(error.to_string()))),
    }
}

fn explain(capabilities: &Capabilities, user_namespace: Option<String>) -> String {
    let mut lines = vec!["this machine cannot run the lab as it is:".to_owned()];
    lines.extend(capabilities.missing().map(|requirement| format!("  {requirement}")));
    if let Some(error) = user_namespace {
        lines.push(format!("  a user namespace of its own is not to be had either: {error}"));
    }
    lines.push(format!("this works: sudo {}", command_line()));
    lines.join("\n")
}

/// The program and its arguments as they would be typed.
pub(crate) fn command_line() -> String {
    let program = env::current_exe().ok().and_then(|program| {
        let here = env::current_dir().ok()?;
        let shortened = program.strip_prefix(&here).unwrap_or(&program);
        let text = shortened.to_str()?;
        // A bare name would be looked for in the PATH of root.
        Some(if text.contains('/') { text.to_owned() } else { format!("./{text}") })
    });
    let arguments = env::args().skip(1).map(quoted);
    let program = program.unwrap_or_else(|| "simopen".to_owned());
    std::iter::once(quoted(program)).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The word as a shell reads it back.
pub(crate) fn quoted(word: String) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_split_is_quoted() {
        assert_eq!(quoted("--pcap=/tmp/x".into()), "--pcap=/tmp/x");
        assert_eq!(quoted("a b".into()), "'a b'");
        assert_eq!(quoted("it's".into()), r"'it'\''s'");
    }
}
