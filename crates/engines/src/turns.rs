//! Who may make or remove: one call at a time for each release, and none waits for another release,
//! whose stop may take its whole grace.

use delivery::engine::ReleaseRef;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The turns of one engine.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Shared by whoever has a turn; alone has it who has to do with all releases.
    all: RwLock<()>,
    releases: kernel::Turns<ReleaseRef>,
}

/// Nobody else makes or removes the release as long as this is held.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _one: kernel::Turn,
    _all: RwLockReadGuard<'a, ()>,
}

impl Turns {
    /// Waits for the turn of `id`.
    pub(crate) async fn of(&self, id: &ReleaseRef) -> Turn<'_> {
        let all = self.all.read().await;
        Turn {
            _one: self.releases.of(id).await,
            _all: all,
        }
    }

    /// Waits until nobody makes or removes anything.
    pub(crate) async fn of_all(&self) -> RwLockWriteGuard<'_, ()> {
        self.all.write().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn id(release: u64) -> ReleaseRef {
        ReleaseRef {
            environment: "dev".into(),
            workload: "web".into(),
            release,
        }
    }

    #[tokio::test]
    async fn a_turn_holds_up_its_own_release_and_no_other() {
        let turns = Turns::default();
        let wait = Duration::from_millis(20);
        let first = turns.of(&id(1)).await;
        assert!(timeout(wait, turns.of(&id(1))).await.is_err());
        assert!(timeout(wait, turns.of(&id(2))).await.is_ok());
        assert!(timeout(wait, turns.of_all()).await.is_err());
        drop(first);
        assert!(timeout(wait, turns.of(&id(1))).await.is_ok());
        assert!(timeout(wait, turns.of_all()).await.is_ok());
    }
}
