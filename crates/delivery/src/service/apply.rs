//! Documents that people apply: read, with all that is wrong with any of them told at once, and written together or
//! not at all.

use kernel::{
    Caller, Change, Error, ErrorKind, Kind as _, Problem, Result, anew,
    document::{Refusals, place_in_fields},
};
use serde_json::Value;

use super::{Delivery, differences, environments::Roles};
use crate::{
    api::{Applied, ApplyAnswer, ApplyRequest},
    definition::{self, Applicable},
    model::EnvironmentRole,
};

/// As many are written as one: others wait for as long.
const MOST_DOCUMENTS: usize = 1000;

impl Delivery {
    /// Applies documents, all or none.
    pub async fn apply(&self, caller: &Caller, request: ApplyRequest) -> Result<ApplyAnswer> {
        self.apply_or_plan(caller, request, false).await
    }

    pub(super) async fn apply_or_plan(
        &self,
        caller: &Caller,
        request: ApplyRequest,
        dry_run: bool,
    ) -> Result<ApplyAnswer> {
        let asked = request.documents.len();
        if asked > MOST_DOCUMENTS {
            let message = format!("{asked} documents are applied at once; {MOST_DOCUMENTS} may be");
            return Err(Error::new(ErrorKind::TooLarge, message)
                .remedy("apply them in parts: each part is applied whole or not at all"));
        }
        let mut problems = Vec::new();
        let (mut documents, mut in_part) = (Vec::new(), Vec::new());
        let mut others = Vec::new();
        let mut order = Vec::new();
        for (index, value) in request.documents.iter().enumerate() {
            let place = format!("documents[{index}]");
            let is_other = self.documents.get().is_some_and(|d| d.takes(value));
            order.push(is_other);
            if is_other {
                others.push((place, value.clone()));
                continue;
            }
            let (document, wrong) = Applicable::read(value, &place);
            if let Some(document) = document {
                let read = if wrong.is_empty() {
                    &mut documents
                } else {
                    &mut in_part
                };
                read.push((place, document));
            }
            problems.extend(wrong.into_iter().map(|it| self.naming_kinds(it)));
        }
        problems.extend(self.check_documents(&documents));
        let of_parts = self.check_documents(&in_part).into_iter();
        problems.extend(of_parts.filter(definition::stands_alone));
        let applied = if problems.is_empty() {
            self.apply_read(caller, &documents, &others, &order, dry_run)
                .await
        } else {
            // An environment may be of a role that could not be read.
            let whole = request.documents.iter().filter(|it| is_role(it)).count()
                == documents
                    .iter()
                    .filter(|(_, it)| matches!(it, Applicable::EnvironmentRole(_)))
                    .count();
            let ours = if whole { documents.as_slice() } else { &[] };
            let mut refusals = Refusals::default();
            refusals.note(Error::problems(NOT_APPLIED, problems))?;
            if let Err(error) = self.apply_once(caller, ours, &others, &order).await {
                // What no document can mend is told once these are mended.
                let _ = refusals.note(error);
            }
            refusals.end().map(|()| ApplyAnswer { items: Vec::new() })
        };
        applied.map_err(|mut error| {
            place_in_fields(&mut error.problems, &request.documents);
            error
        })
    }

    /// Applies documents that were read without a mistake.
    async fn apply_read(
        &self,
        caller: &Caller,
        documents: &[(String, Applicable)],
        others: &[(String, Value)],
        order: &[bool],
        dry_run: bool,
    ) -> Result<ApplyAnswer> {
        // What else is written to a team or a namespace at the same time is no reason to ask again.
        anew(|| async {
            let (change, mut items) = self.apply_once(caller, documents, others, order).await?;
            if dry_run {
                differences::tell(&self.store, &change, &mut items).await?;
            } else if !change.is_empty() {
                self.store.commit(change).await?;
            }
            Ok(ApplyAnswer { items })
        })
        .await
    }

    /// What is to be written, and what that does. `order` says of each document whether it is another domain's.
    async fn apply_once(
        &self,
        caller: &Caller,
        ours: &[(String, Applicable)],
        others: &[(String, Value)],
        order: &[bool],
    ) -> Result<(Change, Vec<Applied>)> {
        let mut change = Change::new().by(caller);
        let mut refusals = Refusals::default();
        let theirs = match self.documents.get() {
            Some(takes) if !others.is_empty() => takes.apply(caller, others, &mut change).await,
            _ => Ok(vec![]),
        };
        let theirs = theirs.or_else(|error| refusals.note(error).map(|()| vec![]))?;
        let ours = self
            .apply_into(&mut change, caller, ours.to_vec(), false)
            .await
            .or_else(|error| refusals.note(error).map(|()| vec![]))?;
        refusals.end()?;
        let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
        let items = order.iter().filter_map(|is_other| {
            if *is_other {
                theirs.next()
            } else {
                ours.next()
            }
        });
        let items = items.collect();
        Ok((change, items))
    }

    /// Adds what documents say to what is in `change` already.
    pub(super) async fn apply_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        documents: Vec<(String, Applicable)>,
        built_in: bool,
    ) -> Result<Vec<Applied>> {
        let mut items = Vec::new();
        let mut refusals = Refusals::default();
        let roles: Roles = documents
            .iter()
            .filter_map(|(_, document)| match document {
                Applicable::EnvironmentRole(d) => {
                    Some((d.metadata.name.to_string(), d.spec.clone()))
                }
                _ => None,
            })
            .collect();
        for (place, document) in documents {
            let applied = match document {
                Applicable::ResourceDefinition(d) => {
                    self.apply_definition(change, caller, d.metadata, d.spec, built_in)
                        .await
                }
                Applicable::EnvironmentRole(d) => {
                    self.apply_role(change, caller, d.metadata, d.spec, built_in)
                        .await
                }
                Applicable::Environment(d) => {
                    self.apply_environment(change, caller, d, &place, &roles)
                        .await
                }
            };
            match applied {
                Ok(applied) => items.push(applied),
                Err(error) => refusals.note(at_document(error, place))?,
            }
        }
        refusals.end()?;
        Ok(items)
    }
}

/// Whether it means to be an environment role.
fn is_role(document: &Value) -> bool {
    document["kind"] == EnvironmentRole::KIND
}

const NOT_APPLIED: &str = "the documents cannot be applied";

/// `error` as what is wrong with the document at `place`.
fn at_document(mut error: Error, place: String) -> Error {
    if !place.is_empty() && error.problems.is_empty() && error.kind != ErrorKind::Internal {
        error.problems.push(Problem {
            remedy: error.remedy.take(),
            ..Problem::new("document/refused", place, error.message)
        });
        error.message = NOT_APPLIED.into();
    }
    error
}
