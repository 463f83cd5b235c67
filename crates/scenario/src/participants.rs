//! Who takes part in an attempt, whatever their hosts are called, and what the broker is told of
//! them.

use std::net::IpAddr;
use std::time::Duration;

use simopen_broker::Forging;
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::{Directory, User};
use simopen_protocol::identity::{CommunityName, UserId};
use simopen_protocol::token::Token;

/// How long a port may take to be proven to the broker once the login is done.
pub const PROOF: Duration = Duration::from_secs(5);

/// The names of originator and responder.
const USERS: [&str; 2] = ["a", "b"];

/// The name of the originator (0) or the responder (1).
///
/// # Panics
///
/// If there is no such place.
#[must_use]
#[expect(clippy::expect_used, reason = "the users' names are constants")]
pub fn user(place: usize) -> UserId {
    UserId::new(USERS[place]).expect("the users' names are proper names")
}

/// What only that user and the broker know.
///
/// # Panics
///
/// If there is no such place.
#[must_use]
pub fn secret(place: usize) -> Token {
    Token::from_random([USERS[place].as_bytes()[0]; 32])
}

#[expect(clippy::expect_used, reason = "the community's name is a constant")]
fn community() -> CommunityName {
    CommunityName::new("experiment").expect("the constant is a proper name")
}

/// Both users, in one community.
#[must_use]
pub fn directory() -> Directory {
    let mut directory = Directory::default();
    for place in 0..USERS.len() {
        let communities = [community()].into();
        directory.insert(user(place), User { secret: Some(secret(place)), communities });
    }
    directory
}

/// For whom the broker at `own` forges packets, and whether it sends them.
#[must_use]
pub fn consent(forging: bool, own: IpAddr) -> ConsentPolicy {
    ConsentPolicy {
        forging: if forging { Forging::Dangerous } else { Forging::Withheld },
        own: vec![own],
        networks: Vec::new(),
    }
}
