//! Users and communities as plain data.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use simopen_protocol::identity::UserId;
use simopen_protocol::token::Token;
use subtle::ConstantTimeEq;

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// What only the user and the broker know.
    pub secret: Token,
    /// The communities that the user is a member of. Users without a common community cannot
    /// reach each other, nor learn that the other exists.
    pub communities: BTreeSet<String>,
}

/// All users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Directory {
    users: BTreeMap<UserId, User>,
}

impl Directory {
    /// Adds or replaces a user.
    pub fn insert(&mut self, id: UserId, user: User) {
        self.users.insert(id, user);
    }

    /// Whether the secret is that user's. Unknown users take as long as known ones.
    #[must_use]
    pub fn authenticates(&self, id: &UserId, secret: &Token) -> bool {
        let known = self.users.get(id);
        let nobody = Token::from_random([0; 32]);
        let expected = known.map_or(&nobody, |user| &user.secret);
        let equal: bool = expected.as_bytes().ct_eq(secret.as_bytes()).into();
        equal && known.is_some()
    }

    /// Whether the two are members of one community.
    #[must_use]
    pub fn share_community(&self, one: &UserId, other: &UserId) -> bool {
        match (self.users.get(one), self.users.get(other)) {
            (Some(one), Some(other)) => !one.communities.is_disjoint(&other.communities),
            _ => false,
        }
    }
}
