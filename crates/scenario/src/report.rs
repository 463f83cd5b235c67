//! Reports: pure functions from [`crate::result::Results`] to text.
//!
//! The same results give the same bytes. Names come out of files that anybody may have written:
//! each format escapes all text that it is given ([`markup`]).

pub mod bench;
pub mod difference;
pub mod grid;
pub mod html;
pub mod junit;
pub mod ladder;
pub mod markup;
pub mod population;
pub mod svg;
pub mod text;
mod words;
