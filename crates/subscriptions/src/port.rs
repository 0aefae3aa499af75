//! What others know that subscriptions need.

use async_trait::async_trait;
use kernel::Result;
use uuid::Uuid;

/// Knows which teams are customers.
#[async_trait]
pub trait Customers: Send + Sync + 'static {
    /// Waits until all that this replica knows to be committed is taken in.
    async fn current(&self) -> Result<()>;

    /// The uid of the team of this name; none where it is no customer, or no longer.
    fn team(&self, name: &str) -> Option<Uuid>;
}
