//! Whole attempts in virtual time.

mod field;
mod matrix;
