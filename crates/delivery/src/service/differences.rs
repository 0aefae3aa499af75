//! What applying documents would change, without writing it.

use kernel::{Caller, Change, Document, Result, Store};
use serde_json::json;

use super::Delivery;
use crate::{
    api::{Applied, ApplyAnswer, ApplyOutcome, ApplyRequest},
    definition::places,
};

impl Delivery {
    /// What applying documents would do, and where those that are there already say otherwise: nothing is
    /// written. Whoever may not apply them is refused this, too.
    pub async fn apply_plan(&self, caller: &Caller, request: ApplyRequest) -> Result<ApplyAnswer> {
        self.apply_or_plan(caller, request, true).await
    }
}

/// Says of each document that changes something where it does. The values may be for other eyes.
pub(super) async fn tell(store: &Store, change: &Change, items: &mut [Applied]) -> Result<()> {
    for document in change.rewritten() {
        let key = document.key();
        let Some(before) = store.document(&key).await? else {
            continue;
        };
        let item = items.iter_mut().find(|item| {
            item.outcome == ApplyOutcome::Changed
                && item.differs.is_empty()
                && item.key.as_ref() == Some(&key)
        });
        if let Some(item) = item {
            let labels = |document: &Document| json!(document.meta.labels);
            item.differs = places("spec", &before.spec, &document.spec);
            item.differs.extend(places(
                "metadata.labels",
                &labels(&before),
                &labels(document),
            ));
        }
    }
    Ok(())
}
