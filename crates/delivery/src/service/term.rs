//! Since when this replica reconciles, as far as its reconcilers have seen.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kernel::lease::Fence;

/// The fence that reconcilers last worked under, and since when. Kept in memory: another replica, or this one when it
/// starts again, begins another term.
#[derive(Debug, Default)]
pub(crate) struct Term(Mutex<Option<(Fence, Timestamp)>>);

impl Term {
    /// Since when there is work under `fence`: `now`, where it is the first.
    pub(crate) fn since(&self, fence: &Fence, now: Timestamp) -> Timestamp {
        let mut term = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*term {
            Some((known, since)) if known == fence => *since,
            _ => {
                *term = Some((fence.clone(), now));
                now
            }
        }
    }
}
