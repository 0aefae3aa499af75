//! Work that somebody else may have overtaken.

use crate::{Error, ErrorKind};

/// How often work is done anew because something changed beneath it.
const TRIES: u32 = 8;

/// An error that may say that somebody else has written in between.
pub trait Contended {
    /// Whether it says so: read again, the same work may succeed.
    fn is_conflict(&self) -> bool;
}

impl Contended for Error {
    fn is_conflict(&self) -> bool {
        self.kind == ErrorKind::Conflict
    }
}

/// Does `work`, which reads, decides and writes, anew where somebody has written in between: as a rule
/// a reconciler or another replica, of which the caller need not know.
pub async fn anew<T, E, F>(work: impl Fn() -> F) -> Result<T, E>
where
    E: Contended,
    F: Future<Output = Result<T, E>>,
{
    for _ in 1..TRIES {
        match work().await {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    work().await
}
