//! The reconcilers at work on a store, with an engine and a provisioner that do as the test says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod history;
mod lasting;
mod removal;
mod rotation;
mod support;
