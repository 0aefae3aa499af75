//! The port to other domains' documents: what `apply` takes beside delivery's own.

use async_trait::async_trait;
use kernel::{Caller, Change, Result};
use serde_json::Value;

use crate::api::Applied;

/// Takes documents of another domain.
#[async_trait]
pub trait Documents: Send + Sync + 'static {
    /// The kinds that are taken here: of all others, no document is.
    fn kinds(&self) -> Vec<&'static str>;

    /// Whether `document` is of a kind that is taken here.
    fn takes(&self, document: &Value) -> bool;

    /// Writes what `documents` say into `change`, each with where it stands (`documents[0]`); answers
    /// what becomes of each, in their order. Problems name the place.
    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>>;
}
