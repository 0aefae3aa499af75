//! `towpath get policies` and `towpath describe policy`

use delivery::api::PolicySource;
use serde_json::json;

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    render::table::{fields, table},
};

/// Lists the policies, or shows one.
pub(super) async fn list(context: &Context, name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        return show(context, name).await;
    }
    let all = context.client()?.policies().await?.items;
    context.answer(&json!({ "items": all }), || {
        let row = |policy: &PolicySource| {
            let lines = policy.source.lines().count();
            [policy.name.clone(), lines.to_string()]
        };
        let nothing = "There are no policies that you may see.";
        table(["policy", "lines"], all.iter().map(row).collect(), nothing)
    })
}

/// Shows the source of one policy.
pub(super) async fn show(context: &Context, name: &str) -> Result<()> {
    let all = context.client()?.policies().await?.items;
    let found = all.into_iter().find(|policy| policy.name == name);
    let found = found.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no policy `{name}`"))
            .remedy("see which there are: `towpath get policies`")
    })?;
    context.answer(&found, || {
        format!(
            "{}\n{}",
            fields(&[("Policy", found.name.clone())]),
            found.source.trim_end()
        )
    })
}
