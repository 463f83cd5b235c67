//! Whose TCP the hosts have.

use std::fmt;
use std::str::FromStr;

/// Whose TCP the hosts have. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stack {
    /// Smoltcp behind a shim that does what Linux does where the two differ.
    #[default]
    Linux,
    /// Smoltcp as it is.
    Smoltcp,
}

impl Stack {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Linux, Self::Smoltcp];

    /// The name in flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Smoltcp => "smoltcp",
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Stack {
    type Err = UnknownStack;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|stack| stack.name() == text);
        found.ok_or_else(|| UnknownStack(text.to_owned()))
    }
}

/// A name that no stack has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStack(pub String);

impl fmt::Display for UnknownStack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is no stack; there are linux and smoltcp", self.0)
    }
}

impl std::error::Error for UnknownStack {}
