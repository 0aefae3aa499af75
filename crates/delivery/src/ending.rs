//! The port to what works in an environment alone, and is kept elsewhere: service accounts that deploy to it.

use async_trait::async_trait;
use kernel::{Caller, Result};

/// Ends with an environment.
#[async_trait]
pub trait Ends: Send + Sync + 'static {
    /// Ends what of `team` works in the environment `name` and nowhere else. Asked when nothing is left in it,
    /// before another can have its name; asked again it does the same.
    ///
    /// # Errors
    /// Where something of it may still be there: then the environment stays, and says why.
    async fn end(&self, caller: &Caller, team: &str, name: &str) -> Result<()>;
}
