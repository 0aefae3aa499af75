//! One at a time for each key, in this process: who would only get in each other's way.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Whoever has a turn, or waits for one, by key. First come, first served.
///
/// It holds within this process alone: what replicas must not do at once is for [`lease`](crate::lease).
#[derive(Debug)]
pub struct Turns<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

/// Where those stand who wait for the turns of one key.
#[derive(Debug, Clone)]
pub struct Line(Arc<tokio::sync::Mutex<()>>);

/// As long as this is held, nobody else has the turn of its key.
#[derive(Debug)]
#[must_use = "the turn ends where it is dropped"]
pub struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for the turn of `key`. Whoever stops waiting is passed over.
    pub async fn of(&self, key: &K) -> Turn {
        self.line(key).turn().await
    }

    /// Where to stand for the turns of `key`: the same line for as long as anybody knows it.
    pub fn line(&self, key: &K) -> Line {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            return Line(line);
        }
        // Here, where one is added, those go in which nobody stands any more: there are never more than
        // there were at once.
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::default();
        lines.insert(key.clone(), Arc::downgrade(&line));
        Line(line)
    }
}

impl Line {
    /// Waits for the turn, as [`Turns::of`] does.
    pub async fn turn(&self) -> Turn {
        Turn {
            _held: self.0.clone().lock_owned().await,
        }
    }

    /// Whether it is the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin, task::Context};

    use super::*;

    #[tokio::test]
    async fn a_turn_holds_up_its_own_key_alone_and_is_passed_on() {
        let turns = Turns::default();
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        let first = turns.of(&"a").await;
        let mut second = pin!(turns.of(&"a"));
        assert!(second.as_mut().poll(&mut nobody).is_pending());
        drop(turns.of(&"b").await);
        drop(first);
        let _second = second.await;
        assert!(pin!(turns.of(&"a")).poll(&mut nobody).is_pending());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_kept() {
        let turns = Turns::default();
        for key in 0..100 {
            drop(turns.of(&key).await);
        }
        let _held = turns.of(&"held".len()).await;
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
