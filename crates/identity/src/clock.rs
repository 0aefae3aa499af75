//! What time it is, and what time it will be.

use std::time::Duration;

use jiff::Timestamp;

pub use kernel::Clock;

/// `time` later; the end of time where there is no such time.
pub(crate) fn after(from: Timestamp, time: Duration) -> Timestamp {
    from.checked_add(time).unwrap_or(Timestamp::MAX)
}
