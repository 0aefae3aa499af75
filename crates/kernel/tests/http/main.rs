//! What every route has: problems, callers, extractors, idempotency, events to read and to watch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod access;
mod bodies;
mod events;
mod extractors;
mod idempotency;
mod problems;
mod repeated;
mod strangers;
mod undecided;
