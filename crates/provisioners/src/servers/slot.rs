//! A server that was found once.

use std::sync::Arc;

use delivery::provisioner::ProvisionError;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

/// Holds the server that was found; two that need it at once look for it once.
pub(crate) struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    /// The server, looked for by `find` where it is not known.
    pub(crate) async fn get(
        &self,
        find: BoxFuture<'_, Result<T, ProvisionError>>,
    ) -> Result<Arc<T>, ProvisionError> {
        let mut slot = self.0.lock().await;
        if let Some(server) = &*slot {
            return Ok(Arc::clone(server));
        }
        let server = Arc::new(find.await?);
        *slot = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Forgets whatever server it is.
    pub(crate) async fn clear(&self) {
        *self.0.lock().await = None;
    }

    /// The server did not answer: it is looked for anew next time.
    pub(crate) async fn forget(&self, server: &Arc<T>) {
        let mut slot = self.0.lock().await;
        if slot.as_ref().is_some_and(|held| Arc::ptr_eq(held, server)) {
            *slot = None;
        }
    }
}
