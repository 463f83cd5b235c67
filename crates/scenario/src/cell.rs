//! A cell of the matrix: which boxes, which way, under which conditions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use simopen_protocol::technique::{Technique, UnknownTechnique};

use crate::boxes::NamedBox;
use crate::conditions::Conditions;

/// What is tried again and again until its statistics say enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// The boxes before `a`, which originates, and `b`.
    pub boxes: [NamedBox; 2],
    /// How the connection is opened.
    pub way: Way,
    /// Whether the broker sends its forged packets. Without, it judges and logs them only: the
    /// failing control of a technique that needs them.
    pub forging: bool,
    /// Under which conditions.
    pub conditions: Conditions,
}

impl Cell {
    /// The cells of a matrix: each pair of boxes with each way, the upper triangle with its
    /// diagonal; and for each way that needs forged packets, each box before both with the packets
    /// withheld.
    #[must_use]
    pub fn of_matrix(boxes: &[NamedBox], ways: &[Way], conditions: Conditions) -> Vec<Self> {
        let cell = |boxes: [&NamedBox; 2], way: &Way, forging| Self {
            boxes: boxes.map(Clone::clone),
            way: way.clone(),
            forging,
            conditions,
        };
        let mut cells = Vec::new();
        for (row, a) in boxes.iter().enumerate() {
            for b in &boxes[row..] {
                cells.extend(ways.iter().map(|way| cell([a, b], way, true)));
            }
        }
        let needs_forging = |way: &&Way| match way {
            Way::Own(technique) => technique.needs_forging(),
            Way::Program(_) => false,
        };
        for way in ways.iter().filter(needs_forging) {
            cells.extend(boxes.iter().map(|both| cell([both, both], way, false)));
        }
        cells
    }
}

/// How a connection is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By a technique of this project.
    Own(Technique),
    /// By somebody else's program, under the name that its file gives it.
    Program(String),
}

/// What the name of a program's row begins with.
const PROGRAM: &str = "program:";

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(technique) => technique.fmt(formatter),
            Self::Program(name) => formatter.pad(&format!("{PROGRAM}{name}")),
        }
    }
}

impl FromStr for Way {
    type Err = UnknownTechnique;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(PROGRAM)
            .map_or_else(|| text.parse().map(Self::Own), |name| Ok(Self::Program(name.to_owned())))
    }
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Way {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
