//! What a broker says on standard output: lines for people, or one JSON object a line.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use simopen_server::admin::{Introduction, Invited};

use crate::descriptor_budget::DescriptorBudget;
use crate::{moment, output};

#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    pub(super) is_json: bool,
}

impl Telling {
    pub(super) fn ready(
        self,
        introduction: &Introduction,
        listeners: &[SocketAddr],
        metrics: Option<SocketAddr>,
        admin: &Path,
        budget: &DescriptorBudget,
    ) -> Result<()> {
        let authority: String =
            introduction.authority.iter().map(|byte| format!("{byte:02x}")).collect();
        let addresses = words(&introduction.addresses);
        let listen = words(listeners);
        self.say(
            &json!({
                "event": "ready",
                "name": introduction.name.as_str(),
                "listen": listen,
                "addresses": addresses,
                "authority": authority,
                "metrics": metrics.map(|at| at.to_string()),
                "admin": admin,
                "descriptors": {
                    "limit": budget.limit,
                    "links": budget.links,
                    "pairs": budget.pairs,
                    "carriers": budget.carriers,
                    "newcomers": budget.newcomers,
                    "reserve": budget.reserve,
                },
            }),
            &format!(
                "broker {} listens on {}\ndevices reach it at {}\n{}",
                introduction.name,
                listen.join(", "),
                addresses.join(", "),
                budget.told()
            ),
        )
    }

    pub(super) fn invitation(self, user: &str, invited: &Invited) -> Result<()> {
        let until = moment::in_utc(invited.until);
        self.say(
            &json!({
                "event": "invitation",
                "user": user,
                "line": invited.line,
                "until": invited.until,
            }),
            &format!(
                "nobody has joined yet; the first device of {user} joins by this, once, until \
                 {until}:\n\n  simopen join '{}'\n\n",
                invited.line
            ),
        )
    }

    pub(super) fn draining(self, within: Duration) -> Result<()> {
        self.say(
            &json!({ "event": "draining", "seconds": within.as_secs() }),
            &format!(
                "ending; connections have {} s (Ctrl-C again ends at once)\n",
                within.as_secs()
            ),
        )
    }

    fn say(self, object: &Value, text: &str) -> Result<()> {
        if self.is_json { output::print(&format!("{object}\n")) } else { output::print(text) }
    }
}

fn words<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
