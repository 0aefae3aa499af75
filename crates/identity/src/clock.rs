//! What time it is, and what time it will be.

use std::time::Duration;

use jiff::Timestamp;

pub use kernel::Clock;

/// Whether what is of `at` is no older than `time`. A clock that was put back makes nothing last.
pub(crate) fn is_fresh(at: Timestamp, time: Duration, now: Timestamp) -> bool {
    at <= now && now < after(at, time)
}

/// `time` later; the end of time where there is no such time.
pub(crate) fn after(from: Timestamp, time: Duration) -> Timestamp {
    from.checked_add(time).unwrap_or(Timestamp::MAX)
}
