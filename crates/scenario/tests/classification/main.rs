//! The probe against every preset, and against every preset with one axis turned.

mod mutants;
mod presets;
