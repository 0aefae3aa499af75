//! What tests need: real servers, free ports, and waiting with a deadline.
//!
//! Knows no other crate of Towpath, so that all of them can use it.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod database;
pub mod leftovers;
pub mod ports;
pub mod seeded;
pub mod servers;
pub mod wait;

pub use database::Database;
pub use leftovers::Leftovers;
pub use ports::{Port, free_port};
pub use seeded::seeded;
pub use wait::{PATIENCE, eventually};
