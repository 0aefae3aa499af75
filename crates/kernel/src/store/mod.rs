//! The store: typed documents with optimistic concurrency, the event log, sealed secrets, leases
//! and cursors, on SQLite and Postgres.

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {}
