//! The changes of reconcilers: their events carry the correlation id of the work that they continue.

use kernel::{Caller, Change};
use uuid::Uuid;

/// A change that a reconciler makes, on behalf of the work `correlation`.
pub fn change(reconciler: &str, correlation: Uuid) -> Change {
    Change::new().by(&Caller::system(reconciler, correlation))
}
