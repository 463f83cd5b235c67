//! Who is meant: users, peers, sessions.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 64;

macro_rules! name_identity {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A name.
            ///
            /// # Errors
            ///
            /// [`IdentityError`] when it is empty, too long or has another character.
            pub fn new(name: &str) -> Result<Self, IdentityError> {
                if is_name(name) { Ok(Self(name.into())) } else { Err(IdentityError) }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }
    )*};
}

name_identity! {
    /// A user's name: 1 to 64 bytes of letters, digits, `-`, `_` and `.`, but not `.` and `..`.
    UserId,
    /// What a user calls one of the own devices; the same letters.
    DeviceName,
    /// A community's name; the same letters.
    CommunityName,
    /// A team's name in its community; the same letters.
    TeamName,
    /// What a peer calls something that it shares; the same letters.
    ShareName,
    /// What a broker calls itself; the same letters.
    BrokerName,
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // Names are names of files too, and these two are directories that exist.
    let is_directory = matches!(name, "." | "..");
    !name.is_empty() && name.len() <= MAX_NAME_LEN && name.bytes().all(allowed) && !is_directory
}

/// One logged-in device of a user. A user may be logged in from several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// One note, as the broker counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteId(pub u64);

/// One attempt to connect two peers, as the broker counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

macro_rules! number_identity {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

number_identity!(PeerId, SessionId, NoteId);

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name is 1 to {MAX_NAME_LEN} letters, digits, '-', '_' or '.', and neither '.' nor '..'")]
pub struct IdentityError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_letters_and_is_none_of_the_directories_that_each_directory_has() {
        for name in ["a", "...", ".hidden", "a.b", "-", &"x".repeat(64)] {
            assert!(BrokerName::new(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(BrokerName::new(name), Err(IdentityError), "{name}");
        }
    }
}
