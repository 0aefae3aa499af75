//! Who of several replicas may reconcile.

use std::time::Duration;

/// Proof of a lease that a [`crate::Change`] can carry: the commit fails once the lease has passed
/// to another holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// Counts up each time that the lease passes to a holder.
    pub epoch: i64,
}

/// How long a lease lasts without renewal: what a killed replica costs at the most.
pub const LEASE_TTL: Duration = Duration::from_secs(10);
