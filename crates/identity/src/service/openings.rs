//! What anybody may leave in the store before they have proved anything: login pages and device codes,
//! kept for ten minutes each. Bounded for an address and in total, on each replica.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::Identity;
use crate::{
    clock::after,
    refusal::{Refusal, RefusalCode},
};

/// How many may be opened from one address: a large office behind one, three hundred people who all begin to work.
/// Each opens two, the code of a device and the page on which it is approved.
const OF_ADDRESS: u32 = 2 * 300;

/// How many in all: some twenty megabytes.
const IN_ALL: u32 = 20_000;

/// What was opened of late.
#[derive(Default)]
pub(super) struct Openings(Mutex<Window>);

struct Window {
    until: Timestamp,
    in_all: u32,
    of_address: HashMap<String, u32>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            until: Timestamp::MIN,
            in_all: 0,
            of_address: HashMap::new(),
        }
    }
}

impl Window {
    /// Counts one more; or says how long to wait.
    fn admit(&mut self, address: &str, now: Timestamp, length: Duration) -> Result<(), Duration> {
        if self.until <= now {
            *self = Self {
                until: after(now, length),
                ..Self::default()
            };
        }
        let here = self.of_address.get(address).copied().unwrap_or_default();
        if here >= OF_ADDRESS || self.in_all >= IN_ALL {
            return Err(Duration::try_from(self.until.duration_since(now)).unwrap_or_default());
        }
        self.in_all += 1;
        self.of_address.insert(address.to_owned(), here + 1);
        Ok(())
    }
}

impl Identity {
    /// Refuses where too many logins were begun of late, from this address or in all.
    pub(super) fn opening(&self, address: &str) -> Result<(), Refusal> {
        let lifetimes = &self.settings.lifetimes;
        let length = lifetimes.device.max(lifetimes.login);
        let mut window = self
            .openings
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        window
            .admit(address, self.clock.now(), length)
            .map_err(|wait| {
                let seconds = wait.as_secs() + 1;
                Refusal {
                    retry_after: Some(Duration::from_secs(seconds)),
                    ..Refusal::new(
                        RefusalCode::SlowDown,
                        format!("too many logins were begun of late: try again in {seconds} s"),
                    )
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_mins(10);

    #[test]
    fn an_address_has_its_share_and_then_waits() {
        let (mut window, now) = (Window::default(), Timestamp::UNIX_EPOCH);
        for _ in 0..OF_ADDRESS {
            window.admit("a", now, LENGTH).unwrap();
        }
        assert_eq!(window.admit("a", now, LENGTH), Err(LENGTH));
        window.admit("b", now, LENGTH).unwrap();
        let later = after(now, LENGTH);
        window.admit("a", later, LENGTH).unwrap();
    }

    #[test]
    fn all_together_have_theirs() {
        let (mut window, now) = (Window::default(), Timestamp::UNIX_EPOCH);
        for number in 0..IN_ALL {
            window.admit(&number.to_string(), now, LENGTH).unwrap();
        }
        assert!(window.admit("another", now, LENGTH).is_err());
        assert_eq!(window.of_address.len(), IN_ALL as usize, "no more is kept");
    }
}
