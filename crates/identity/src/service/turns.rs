//! One at a time for each name, in this process: who would only get in each other's way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

type Line = Arc<tokio::sync::Mutex<()>>;

/// The lines in which somebody stands.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Line>>);

/// Whoever is at the head of a line, or waits in it. Ends where it is dropped.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    name: String,
    line: Line,
    head: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else has the turn of `name`.
    pub(super) async fn wait(&self, name: &str) -> Turn<'_> {
        let line = self.lines().entry(name.to_owned()).or_default().clone();
        // Made before the waiting: whoever gives up leaves nothing either.
        let mut turn = Turn {
            turns: self,
            name: name.to_owned(),
            line,
            head: None,
        };
        turn.head = Some(turn.line.clone().lock_owned().await);
        turn
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.head = None;
        let mut lines = self.turns.lines();
        // The map's own, and this one's: nobody else stands in it, or can come while the map is held.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin, task::Context};

    use super::*;

    #[tokio::test]
    async fn a_line_has_one_head_and_goes_with_the_last() {
        let turns = Turns::default();
        let first = turns.wait("a").await;
        let mut second = pin!(turns.wait("a"));
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut nobody).is_pending());
        drop(turns.wait("b").await);
        drop(first);
        let second = second.await;
        {
            let mut gives_up = pin!(turns.wait("a"));
            assert!(gives_up.as_mut().poll(&mut nobody).is_pending());
        }
        assert_eq!(turns.lines().len(), 1);
        drop(second);
        assert!(turns.lines().is_empty());
    }
}
