//! Secrets through their API and their port, on real stores.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod at_once;
mod contract;
mod names;
mod partly;
mod rights;
mod rotation;
mod support;
mod texts;
mod vault;
