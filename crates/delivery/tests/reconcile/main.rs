//! The reconcilers at work on a store, with an engine and a provisioner that do as the test says.

#![allow(
    clippy::unchecked_time_subtraction,
    reason = "a moment before the end of what is longer"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod expiry;
mod history;
mod lasting;
mod makers;
mod namespaces;
mod removal;
mod restart;
mod returning;
mod rotation;
mod slow;
mod superseded;
mod support;
mod time;
