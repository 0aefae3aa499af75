//! The store's promises, each kept on SQLite and on Postgres.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

mod contended;
mod cursors;
mod documents;
mod events;
mod files;
mod frozen;
mod idempotency;
mod key_change;
mod leases;
mod lists;
mod model;
mod outside;
mod overtaken;
mod records;
mod refusals;
mod rekey;
mod replicas;
mod secrets;
mod sequence;
