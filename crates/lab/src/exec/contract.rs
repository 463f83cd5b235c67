//! The lines between the lab and a program, as `docs/exec-contract.md` has them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the contract.
pub(super) const VERSION: u32 = 1;

/// The longest line of a program, in bytes.
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// What the lab says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(super) enum Event {
    Start {
        version: u32,
        role: &'static str,
        name: String,
        peer: String,
        address: IpAddr,
        observer: Observer,
        deadline_ms: u64,
    },
    Message {
        data: Value,
    },
    Exchange {
        bytes: u64,
    },
    Stop,
}

/// Where somebody tells which public endpoint a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Observer {
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// What a program says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Said {
    Ready,
    Send { data: Value },
    Established { local: SocketAddr, remote: SocketAddr },
    Failed { cause: String },
    Exchanged { sent: u64, received: u64 },
    Log { text: String },
}

impl Said {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        if line.len() > LONGEST_LINE {
            return Err(format!("a line of more than {LONGEST_LINE} bytes"));
        }
        serde_json::from_slice(line).map_err(|error| {
            let text = String::from_utf8_lossy(line);
            let shown: String = text.trim_end().chars().take(120).collect();
            format!("a line that breaks the contract ({error}): {shown}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_contract_are_read() {
        let established = br#"{"do":"established","local":"10.0.0.2:4000","remote":"[::1]:5"}"#;
        assert!(matches!(Said::parse(established), Ok(Said::Established { .. })));
        assert!(matches!(
            Said::parse(br#"{"do":"send","data":[1,{"x":null}]}"#),
            Ok(Said::Send { .. })
        ));
    }

    #[test]
    fn a_line_that_breaks_the_contract_is_told_with_the_reason() {
        for (line, reason) in [
            ("nonsense", "expected"),
            (r#"{"do":"dance"}"#, "unknown variant `dance`"),
            (r#"{"do":"failed"}"#, "missing field `cause`"),
            (r#"{"do":"exchanged","sent":-1,"received":0}"#, "invalid value"),
            (r#"{"do":"log","text":"x","more":1}"#, "unknown field `more`"),
        ] {
            let complaint = Said::parse(line.as_bytes()).unwrap_err();
            assert!(complaint.contains(reason) && complaint.contains(line), "{complaint}");
        }
        assert!(Said::parse(&[b' '; LONGEST_LINE + 1]).unwrap_err().contains("more than"));
    }
}
