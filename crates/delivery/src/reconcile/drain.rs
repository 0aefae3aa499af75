//! How long an old release goes on after a new one took over.

use std::time::Duration;

use jiff::Timestamp;
use kernel::Resource;

use crate::model::Workload;

/// From the switch to the first SIGTERM: every gateway has the new table by then (it follows the
/// event log, milliseconds behind), and requests that were under way on the old release are mostly
/// answered.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// From SIGTERM to SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How much of the drain is left `now`.
pub(super) fn rest(workload: &Resource<Workload>, now: Timestamp) -> Option<Duration> {
    let since = now.duration_since(workload.status.switched?);
    let rest = DRAIN.saturating_sub(Duration::try_from(since).unwrap_or_default());
    (!rest.is_zero()).then_some(rest)
}
