//! `towpath whoami`

use clap::Args;

use crate::{
    context::{Chosen, Context},
    failure::Result,
    render,
};

/// Show who you are to the platform
///
/// Asks the platform, so it shows when a login has ended.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath whoami\n  towpath whoami --context sbx\n  towpath whoami -o json"
)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let who = client.whoami().await?;
        let name = match context.chosen()? {
            Chosen::Login { context, .. } => context,
            Chosen::Here | Chosen::Server(_) => String::new(),
        };
        context.answer(&who, || {
            let text = |name: &str| {
                let value = who.more.get(name).and_then(|value| value.as_str());
                value.unwrap_or_default().to_owned()
            };
            let list = |name: &str| {
                let items = who.more.get(name).and_then(|value| value.as_array());
                let items = items.into_iter().flatten().filter_map(|item| item.as_str());
                items.collect::<Vec<_>>().join(", ")
            };
            render::table::fields(&[
                ("subject", who.subject.clone()),
                ("kind", who.kind.clone()),
                ("teams", who.teams.join(", ")),
                ("leads", list("leads")),
                ("groups", list("groups")),
                ("environment", text("environment")),
                (
                    "operates",
                    if who.admin { "the platform" } else { "" }.to_owned(),
                ),
                ("platform", client.server().to_owned()),
                ("context", name),
            ])
        })
    }
}
