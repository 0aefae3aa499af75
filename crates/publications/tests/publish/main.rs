//! Events from outside, from the request to whoever follows the log: on SQLite and on Postgres.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[macro_use]
mod support;

mod flood;
mod hostile;
mod modes;
mod rights;
mod twice;
