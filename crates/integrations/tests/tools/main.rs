//! The tools, against servers that answer as the documented APIs do.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod addresses;
mod cloud;
mod described;
mod github;
mod holding;
mod hub;
mod jira;
mod members;
mod others;
mod paged;
mod reconcile;
mod repairs;
mod support;
mod terraform;
mod told;
