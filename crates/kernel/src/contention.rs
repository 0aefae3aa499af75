//! Work that somebody else may have overtaken.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// How often work is done anew because something changed beneath it.
const TRIES: u32 = 8;

/// The longest pause before the second time, twice as long before each further one: those who meet once do
/// not go on meeting. About a second for all tries.
const PAUSE: Duration = Duration::from_millis(8);

/// An error that may say that somebody else has written in between.
pub trait Contended {
    /// Whether it says so: read again, the same work may succeed. Not every conflict does: that something
    /// is used, or not at the revision that the caller named, is so however often it is read.
    fn is_overtaken(&self) -> bool;
}

impl Contended for Error {
    fn is_overtaken(&self) -> bool {
        Self::is_overtaken(self)
    }
}

/// Does `work`, which reads, decides and writes, anew where somebody has written in between: as a rule
/// a reconciler or another replica, of which the caller need not know.
pub async fn anew<T, E, F>(work: impl Fn() -> F) -> Result<T, E>
where
    E: Contended,
    F: Future<Output = Result<T, E>>,
{
    for tried in 1..TRIES {
        match work().await {
            Err(error) if error.is_overtaken() => {}
            done => return done,
        }
        let longest = PAUSE * 2u32.pow(tried - 1);
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
    }
    work().await
}

/// Installs what comes with the platform, all or nothing by `work`, which leaves alone what is there: anew
/// where somebody has made some of it in between, as replicas do that start together.
pub async fn installed<T, F>(work: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    anew(|| async {
        work().await.map_err(|error| match error.kind {
            ErrorKind::AlreadyExists => error.overtaken(),
            _ => error,
        })
    })
    .await
}
