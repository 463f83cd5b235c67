//! Whole attempts in virtual time.

mod carriage;
mod conditions;
mod determinism;
mod field;
mod files;
mod legs;
mod matrix;
mod relay;
