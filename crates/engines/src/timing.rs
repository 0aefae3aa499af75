//! How often engines probe, and how long they wait before they start something again.

use std::time::Duration;

use jiff::Timestamp;

/// The times by which an engine probes and restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between the first two probes of a container that was never ready: short, since a deployment waits.
    /// Each further wait is a tenth longer.
    pub first_probe: Duration,
    /// Between two probes of a container that has been ready.
    pub probe: Duration,
    /// A probe that takes longer has failed.
    pub probe_timeout: Duration,
    /// So many failures in a row make a ready container unready, or a live one dead.
    pub failures: u32,
    /// A container that cannot be asked, for want of a readiness probe and of ports, is ready once
    /// it has run so long: many of those that cannot run end at once.
    pub settle: Duration,
    /// A container that was never ready is not held to its liveness probe before this.
    pub start_grace: Duration,
    /// Before the first restart; doubles with each.
    pub backoff_first: Duration,
    /// The longest wait before a restart.
    pub backoff_most: Duration,
    /// A container that ran so long begins again with `backoff_first`.
    pub stable: Duration,
    /// Between SIGTERM and SIGKILL for a container whose liveness probe fails.
    pub kill_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_probe: Duration::from_millis(3),
            probe: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(2),
            failures: 3,
            settle: Duration::from_millis(300),
            start_grace: Duration::from_secs(30),
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(30),
            stable: Duration::from_mins(1),
            kill_grace: Duration::from_secs(5),
        }
    }
}

/// The waits of one container between its ends and its restarts.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: kernel::Backoff,
    stable: Duration,
    ends: u32,
}

impl Backoff {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            waits: kernel::Backoff::new(timing.backoff_first, timing.backoff_most),
            stable: timing.stable,
            ends: 0,
        }
    }

    /// How long to wait after a container that had started at `started` has ended.
    pub(crate) fn after(&mut self, started: Option<Timestamp>) -> Duration {
        let ran =
            started.and_then(|started| Timestamp::now().duration_since(started).try_into().ok());
        if ran.is_some_and(|ran: Duration| ran >= self.stable) {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        self.waits.after(self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_most_and_begins_again_after_a_stable_run() {
        let timing = Timing::default();
        let mut backoff = Backoff::new(&timing);
        let now = Some(Timestamp::now());
        let waits: Vec<u128> = (0..11).map(|_| backoff.after(now).as_millis()).collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        let long_ago = Some(Timestamp::now() - timing.stable * 2);
        assert_eq!(backoff.after(long_ago), timing.backoff_first);
    }
}
