//! What a broker's one word means to a person.

use core::fmt;

use simopen_protocol::cause::Cause;
use simopen_protocol::control::ErrorName;

/// Shows a broker's word behind what it means, and alone where that is not known.
pub(crate) struct InWords<'a>(pub(crate) &'a str);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word) = self;
        match meaning(word) {
            Some(sentence) => write!(formatter, "{sentence} ({word})"),
            None => formatter.write_str(word),
        }
    }
}

fn meaning(word: &str) -> Option<&'static str> {
    let cause = ErrorName(word.to_owned()).cause();
    if cause != Cause::Unspecified {
        return Some(cause.sentence());
    }
    Some(match word {
        "not-invited" => {
            "the invitation is used up, too old, or none of this broker's: an invitation is good \
             once; ask for another one"
        }
        "device-exists" => {
            "this user has a device of that name already, and the invitation is still good: give \
             this device another name by --device, or let the broker's operator revoke the old one"
        }
        "key-in-use" => "the device's key is another user's, or was revoked",
        "too-many-devices" => {
            "this user has as many devices as are allowed, and the invitation is still good: let \
             the broker's operator revoke one"
        }
        "not-authenticated" => {
            "it knows no such user and device; ask for an invitation, and join anew"
        }
        "too-many-peers" => "this user is logged in as often as is allowed",
        "too-many-attempts" => "too much was tried from this address; try again in a minute",
        "restarting" => "it restarts; try again in a moment",
        "busy" => "it is busy; try again in a moment",
        "storage-failed" => "it could not keep that, and nothing has changed; tell its operator",
        "unknown-user" => "no such user is in a common community, or in that one",
        "unknown-community" => "there is no such community, or you are not in it",
        "unknown-team" => "there is no such team, or you are not in it",
        "unknown-note" => "you have no such note; it may have been deleted on another device",
        "unknown-share" => "this device shares nothing of that name with that team",
        "team-exists" => "the community has a team of that name already; choose another name",
        "not-owner" => "only the owner of a team may do that; `simopen team list` names the owner",
        "owner-stays" => "an owner cannot leave the own team; `simopen team delete` ends it",
        "no-recipient" => "nobody else is in that team",
        "mailbox-full" => "a recipient has as many notes as are kept, and has to delete some first",
        "too-long" => "that is longer than is allowed",
        "too-many-teams" => "you own as many teams as are allowed; delete one first",
        "too-many-members" => "the team has as many members as are allowed",
        "too-many-shares" => "this device shares as much as is allowed; drop something first",
        "too-many-sessions" => {
            "this device has as many attempts as are allowed; wait for one to end"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shown_behind_its_meaning_and_a_new_one_alone() {
        let said = InWords("team-exists").to_string();
        assert!(said.ends_with("choose another name (team-exists)"), "{said}");
        assert!(InWords("revoked").to_string().ends_with("was revoked (revoked)"));
        assert_eq!(InWords("of-a-newer-version").to_string(), "of-a-newer-version");
    }
}
