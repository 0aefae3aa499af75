//! Who takes which documents, of all domains beside delivery.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::Catalog;
use delivery::{api::Applied, documents::Documents};
use fleet::Fleet;
use kernel::{Caller, Change, Error, Kind as _, Result, document::Refusals};
use serde_json::Value;

/// Several domains' documents, each to the first that takes it.
pub(crate) struct AllDocuments(pub(crate) Vec<Arc<dyn Documents>>);

#[async_trait]
impl Documents for AllDocuments {
    fn kinds(&self) -> Vec<&'static str> {
        self.0.iter().flat_map(|one| one.kinds()).collect()
    }

    fn takes(&self, document: &Value) -> bool {
        self.0.iter().any(|one| one.takes(document))
    }

    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        let mut answers: Vec<Option<Applied>> = vec![None; documents.len()];
        let mut refusals = Refusals::default();
        for domain in &self.0 {
            let (mut indexes, mut theirs) = (Vec::new(), Vec::new());
            for (index, (place, document)) in documents.iter().enumerate() {
                let first = self.0.iter().find(|one| one.takes(document));
                if first.is_some_and(|first| Arc::ptr_eq(first, domain)) {
                    indexes.push(index);
                    theirs.push((place.clone(), document.clone()));
                }
            }
            if theirs.is_empty() {
                continue;
            }
            let applied = match domain.apply(caller, &theirs, change).await {
                Ok(applied) => applied,
                Err(error) => {
                    refusals.note(error)?;
                    continue;
                }
            };
            for (index, applied) in indexes.into_iter().zip(applied) {
                answers[index] = Some(applied);
            }
        }
        refusals.end()?;
        let missing = || Error::internal("a document was applied by nobody", "of several domains");
        answers
            .into_iter()
            .map(|one| one.ok_or_else(missing))
            .collect()
    }
}

/// The documents of the catalog, as delivery's `apply` takes them.
pub(crate) struct CatalogDocuments(pub(crate) Arc<Catalog>);

#[async_trait]
impl Documents for CatalogDocuments {
    fn kinds(&self) -> Vec<&'static str> {
        vec![catalog::model::StarterKit::KIND]
    }

    fn takes(&self, document: &Value) -> bool {
        Catalog::takes(document)
    }

    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        self.0.apply(caller, documents, change).await
    }
}

/// The documents of the fleet, as delivery's `apply` takes them.
pub(crate) struct FleetDocuments(pub(crate) Arc<Fleet>);

#[async_trait]
impl Documents for FleetDocuments {
    fn kinds(&self) -> Vec<&'static str> {
        vec![fleet::model::Cluster::KIND]
    }

    fn takes(&self, document: &Value) -> bool {
        Fleet::takes(document)
    }

    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        self.0.cluster_apply(caller, documents, change).await
    }
}
