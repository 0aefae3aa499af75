//! Changes of what was read, by commands that write all of it back: others may change it meanwhile.

use std::time::Duration;

use kernel::{Backoff, Document, Kind, Resource};

use crate::{exit::Exit, failure::Result};

/// How often a change is made anew because of others.
const TRIES: u32 = 8;
/// Who met once should not go on meeting.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// What is written back only while it is at the revision at which it was read.
pub(crate) trait Revised {
    /// That revision; 0 of what is not there.
    fn revision(&self) -> i64;
}

impl Revised for Document {
    fn revision(&self) -> i64 {
        self.meta.revision
    }
}

impl<K: Kind> Revised for Resource<K> {
    fn revision(&self) -> i64 {
        self.meta.revision
    }
}

impl<T: Revised> Revised for Option<T> {
    fn revision(&self) -> i64 {
        self.as_ref().map_or(0, T::revision)
    }
}

/// What was asked for; none where it is not there.
pub(crate) fn found<T>(answer: client::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Has `write` write what it makes of what was read, while it is at the revision that it is told; and all of that
/// again where somebody else has written in between.
pub(crate) async fn retry_on_conflict<T: Revised, W>(
    read: impl AsyncFn() -> Result<T>,
    write: impl AsyncFn(T, Option<i64>) -> Result<W>,
) -> Result<W> {
    let mut before = read().await?;
    for tried in 1..TRIES {
        let revision = before.revision();
        let conflict = match write(before, Some(revision)).await {
            Err(failure) if failure.exit == Exit::Conflict => failure,
            done => return done,
        };
        tokio::time::sleep(PAUSE.jittered(tried)).await;
        before = read().await?;
        // It is refused for something else, and would be again.
        if before.revision() == revision {
            return Err(conflict);
        }
    }
    let revision = before.revision();
    write(before, Some(revision)).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::failure::Failure;

    #[derive(Debug)]
    struct At(i64);

    impl Revised for At {
        fn revision(&self) -> i64 {
            self.0
        }
    }

    fn conflict() -> Failure {
        Failure::new(Exit::Conflict, "it is not as it was read")
    }

    #[tokio::test]
    async fn what_others_change_meanwhile_is_changed_anew() {
        let now = Cell::new(0);
        let read = async || -> Result<Option<At>> { Ok(Some(At(now.get())).filter(|at| at.0 > 0)) };
        let write = async |before: Option<At>, revision: Option<i64>| -> Result<i64> {
            let at = before.map_or(0, |at| at.0);
            assert_eq!(revision, Some(at));
            if at < 3 {
                now.set(at + 1);
                return Err(conflict());
            }
            Ok(at)
        };
        assert_eq!(retry_on_conflict(read, write).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn who_is_always_overtaken_is_told_in_the_end() {
        let now = Cell::new(1);
        let read = async || -> Result<At> { Ok(At(now.get())) };
        let write = async |at: At, _: Option<i64>| -> Result<()> {
            now.set(at.0 + 1);
            Err(conflict())
        };
        let failure = retry_on_conflict(read, write).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Conflict);
        assert_eq!(now.get(), 1 + i64::from(TRIES));
    }

    #[tokio::test]
    async fn what_is_refused_for_something_else_is_not_tried_again() {
        let tries = Cell::new(0);
        let read = async || -> Result<At> { Ok(At(7)) };
        let write = async |_: At, _: Option<i64>| -> Result<()> {
            tries.set(tries.get() + 1);
            Err(conflict())
        };
        let failure = retry_on_conflict(read, write).await.unwrap_err();
        assert_eq!((failure.exit, tries.get()), (Exit::Conflict, 1));
    }
}
