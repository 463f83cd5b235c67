//! What an experiment is, what must come of it, and what came of it.
//!
//! Here stand the parts that do not depend on how an experiment is made, in namespaces on real
//! kernels or in virtual time: the [`network::Network`] that is built, the [`cell::Cell`] that is
//! tried, the [`prediction::Prediction`] that is read from specifications alone, and the
//! [`run::RunRecord`] of each run. Nothing here reads a clock or opens a socket.
#![forbid(unsafe_code)]

pub mod axes;
pub mod boxes;
pub mod cell;
pub mod classify;
pub mod conditions;
pub mod default_matrix;
pub mod evidence;
pub mod file;
pub mod incident;
pub mod judgement;
pub mod milliseconds;
pub mod network;
pub mod oracle;
pub mod participants;
pub mod pattern;
pub mod population;
pub mod prediction;
pub mod proxies;
pub mod report;
pub mod result;
pub mod run;
pub mod scenario_results;
pub mod schedule;
pub mod seed;
pub mod star;
pub mod statistics;
pub mod timeline;
