//! Noticing that a server is away, without asking after everything that is on it.
//!
//! Of all instances on one server one is the lookout: it alone is looked at every half minute. When it
//! cannot be asked, or can again, the others of its server are looked at, too. So what idle costs
//! follows the number of servers, not of resources. Nothing here is kept: it is found anew by the
//! replica that takes over.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kernel::{Key, Resource};

use crate::model::ResourceInstance;

/// How often a lookout is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// What is known of a server: instances of one definition, by one provisioner, at one address are
/// taken to be on one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Server {
    provisioner: String,
    definition: String,
    listens: Option<SocketAddr>,
}

impl Server {
    pub(super) fn of(instance: &Resource<ResourceInstance>) -> Self {
        Self {
            provisioner: instance.spec.provisioner.clone(),
            definition: instance.spec.definition.name.clone(),
            listens: instance.status.listens,
        }
    }
}

/// When an instance is to be looked at for its server's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// It is the lookout, and was asked not long ago.
    After(Duration),
    /// Another is the lookout, and has nothing to report.
    Never,
}

struct Lookout {
    key: Key,
    asked: Timestamp,
    answers: bool,
}

impl Lookout {
    /// How long it has not been looked at. A clock that was put back makes nothing last.
    fn rested(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.asked)).unwrap_or(Duration::MAX)
    }
}

/// The lookouts, by server.
#[derive(Default)]
pub(super) struct Lookouts(Mutex<HashMap<Server, Lookout>>);

impl Lookouts {
    /// Whether it is the turn of the instance `key`; makes it the lookout where its server has none.
    pub(super) fn turn(&self, server: &Server, key: &Key, now: Timestamp) -> Turn {
        let mut all = self.lock();
        match all.get(server) {
            Some(lookout) if !lookout.answers => return Turn::Now,
            Some(lookout) if lookout.key == *key => {
                let rest = EVERY.saturating_sub(lookout.rested(now));
                return if rest.is_zero() {
                    Turn::Now
                } else {
                    Turn::After(rest)
                };
            }
            // One that has not looked for long has gone, or was another replica's to look at.
            Some(lookout) if lookout.rested(now) < EVERY * 4 => return Turn::Never,
            _ => {}
        }
        let lookout = Lookout {
            key: key.clone(),
            asked: now,
            answers: true,
        };
        all.insert(server.clone(), lookout);
        Turn::Now
    }

    /// Takes in whether `server` could be asked after the instance `key`. Says whether that is news.
    pub(super) fn report(&self, server: &Server, key: &Key, answers: bool, now: Timestamp) -> bool {
        let mut all = self.lock();
        let Some(lookout) = all.get_mut(server) else {
            return false;
        };
        if lookout.key == *key {
            lookout.asked = now;
        }
        std::mem::replace(&mut lookout.answers, answers) != answers
    }

    /// The instance goes. Says whether it was a lookout: another takes its place when it is next looked
    /// at.
    pub(super) fn leave(&self, key: &Key) -> bool {
        let mut all = self.lock();
        let before = all.len();
        all.retain(|_, lookout| lookout.key != *key);
        all.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Server, Lookout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::of::<ResourceInstance>("dev", name)
    }

    fn server() -> Server {
        Server {
            provisioner: "postgres".into(),
            definition: "postgres-default".into(),
            listens: None,
        }
    }

    #[test]
    fn one_of_a_server_looks_out_for_the_others() {
        let (lookouts, server, now) = (Lookouts::default(), server(), Timestamp::UNIX_EPOCH);
        assert_eq!(lookouts.turn(&server, &key("a"), now), Turn::Now);
        assert_eq!(lookouts.turn(&server, &key("a"), now), Turn::After(EVERY));
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Never);
        let now = now + EVERY;
        assert_eq!(lookouts.turn(&server, &key("a"), now), Turn::Now);
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Never);

        assert!(
            lookouts.report(&server, &key("a"), false, now),
            "it is news"
        );
        assert!(
            !lookouts.report(&server, &key("b"), false, now),
            "it is known"
        );
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Now);
        assert!(lookouts.report(&server, &key("b"), true, now));
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Never);
    }

    #[test]
    fn a_lookout_that_has_gone_is_replaced() {
        let (lookouts, server, now) = (Lookouts::default(), server(), Timestamp::UNIX_EPOCH);
        lookouts.turn(&server, &key("a"), now);
        assert!(!lookouts.leave(&key("b")), "it was none");
        assert!(lookouts.leave(&key("a")));
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Now);
        // Nobody said that it has gone.
        let now = now + EVERY * 4;
        assert_eq!(lookouts.turn(&server, &key("c"), now), Turn::Now);
        assert_eq!(lookouts.turn(&server, &key("b"), now), Turn::Never);
    }

    #[test]
    fn a_clock_that_was_put_back_holds_nothing_up() {
        let (lookouts, server, now) = (Lookouts::default(), server(), Timestamp::UNIX_EPOCH);
        lookouts.turn(&server, &key("a"), now + EVERY);
        assert_eq!(lookouts.turn(&server, &key("a"), now), Turn::Now);
    }
}
