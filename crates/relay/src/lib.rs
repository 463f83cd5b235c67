//! The rendezvous relay as a machine without IO: pending and active pairings.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
