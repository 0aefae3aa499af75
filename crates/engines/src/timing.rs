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
    /// A container that ended so often in a row in the same way, none of its runs as long as `stable`, goes on to: ten
    /// times are 51 seconds with these waits.
    pub ends_alike: u32,
    /// A program that has listened so long on other ports than its own, and did next to nothing meanwhile, will not
    /// come to listen on its own: long enough for one that opens a port for its operators before it is ready.
    pub misplaced: Duration,
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
            ends_alike: 10,
            misplaced: Duration::from_secs(30),
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

/// How a container has ended, again and again.
#[derive(Debug)]
pub(crate) struct Ends<E> {
    last: Option<E>,
    alike: u32,
    most: u32,
    stable: Duration,
}

impl<E: PartialEq + std::fmt::Display> Ends<E> {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            last: None,
            alike: 0,
            most: timing.ends_alike,
            stable: timing.stable,
        }
    }

    /// Counts an end. In words what goes on, once that is known to last.
    pub(crate) fn again(&mut self, exit: E, started: Timestamp) -> Option<String> {
        let ran = Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default();
        let alike = ran < self.stable && self.last.as_ref() == Some(&exit);
        self.alike = if alike {
            self.alike.saturating_add(1)
        } else {
            1
        };
        let times = self.alike;
        let lasting = (times >= self.most).then(|| format!("{exit}, {times} times in a row"));
        self.last = Some(exit);
        lasting
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

    #[test]
    fn only_what_ends_in_the_same_way_soon_and_often_is_known_to_last() {
        let timing = Timing {
            ends_alike: 3,
            ..Timing::default()
        };
        let (mut ends, now) = (Ends::new(&timing), Timestamp::now());
        let told = Some("exit code 1, 3 times in a row".to_owned());
        assert_eq!(ends.again("exit code 1", now), None);
        assert_eq!(ends.again("exit code 1", now), None);
        assert_eq!(ends.again("exit code 2", now), None, "another reason");
        assert_eq!(ends.again("exit code 1", now), None);
        assert_eq!(ends.again("exit code 1", now), None);
        assert_eq!(ends.again("exit code 1", now), told);
        let long_ago = now - timing.stable * 2;
        assert_eq!(ends.again("exit code 1", long_ago), None, "it had run");
    }
}
