//! Waiting for what will be so, soon.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// How long to wait for what is going to happen: longer than anything takes, also on a busy machine. A test waits
/// so long only where it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` gives something, and gives that.
///
/// # Panics
/// Where nothing came within `deadline`: with `what` was waited for, as it is said by then.
pub async fn eventually<T, F>(
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(LOOK).await;
    }
}
