//! Boxes by name: presets, and those of a reader's own.

use serde::{Deserialize, Serialize};
use simopen_nat::{MiddleboxSpec, Preset};

/// A box and the name that reports call it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NamedBox {
    /// The preset's name, or the one that its file gives it.
    pub name: String,
    /// What it is.
    pub spec: MiddleboxSpec,
}

impl NamedBox {
    /// The preset of that name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        Preset::named(name).map(|preset| Self { name: preset.name.to_owned(), spec: preset.spec })
    }
}
