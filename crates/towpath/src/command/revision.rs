//! `towpath get revisions` and `towpath describe definition NAME --revision N`

use client::every;
use delivery::model::ResourceDefinitionRevision;
use kernel::Resource;
use serde_json::json;

use crate::{
    context::Context,
    failure::{Failure, Result},
    render::{describe, quantity, status::one_line, table::table},
};

/// The number of a revision: its resource is called `r3`.
fn number(revision: &Resource<ResourceDefinitionRevision>) -> u64 {
    let digits = revision.meta.name.strip_prefix('r');
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Lists the revisions of a definition, the newest first.
pub(super) async fn list(context: &Context, definition: Option<&str>) -> Result<()> {
    let definition = definition.ok_or_else(|| {
        Failure::usage("it is not said which definition's revisions are meant")
            .remedy("name it: `towpath get revisions postgres-default`")
    })?;
    let client = context.client()?;
    let mut all = every(async |page| client.definition_revisions(definition, &page).await).await?;
    if all.is_empty() {
        // There may be no such definition, which is another answer than none.
        client.definition(definition).await?;
    }
    all.sort_by_key(|revision| std::cmp::Reverse(number(revision)));
    let documents: kernel::Result<Vec<_>> = all.iter().map(Resource::document).collect();
    context.answer(&json!({ "items": documents? }), || {
        let row = |revision: &Resource<ResourceDefinitionRevision>| {
            [
                number(revision).to_string(),
                quantity::local(revision.meta.created),
                revision.spec.resource_type.clone(),
                revision.spec.provisioner.clone(),
                one_line(&revision.spec.description),
            ]
        };
        let head = ["revision", "applied", "type", "provisioner", "description"];
        table(
            head,
            all.iter().map(row).collect(),
            "There are no revisions.",
        )
    })
}

/// Shows one revision whole.
pub(super) async fn show(context: &Context, definition: &str, revision: u64) -> Result<()> {
    let client = context.client()?;
    let found = client.definition_revision(definition, revision).await?;
    let document = found.document()?;
    context.answer(&document, || describe::text(&document, &[]))
}
