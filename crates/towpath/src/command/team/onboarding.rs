//! `towpath team onboarding`

use clap::Args;
use jiff::Timestamp;
use teams::api::Since;

use crate::{
    context::Context,
    failure::Result,
    render::{self, quantity::parse_since},
};

/// Show how long a team took to get going, and how long its people took to their access, next login and first
/// deployment
///
/// The team's leads and operators see each person by name. Without a team, shows all teams together, for managers and
/// operators.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath team onboarding payments\n  towpath team onboarding --since 90d"
)]
pub(crate) struct Onboarding {
    /// The team [default: all teams, together]
    team: Option<String>,
    /// For all teams: only teams requested, and people who came, since then: 90d ago, or a time such as
    /// 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_since, conflicts_with = "team")]
    since: Option<Timestamp>,
}

impl Onboarding {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let Some(team) = self.team else {
            let since = Since { since: self.since };
            let overview = client.onboarding(&since).await?;
            return context.answer(&overview, || render::onboarding::all(&overview));
        };
        let onboarding = client.team_onboarding(&team).await?;
        context.answer(&onboarding, || render::onboarding::one(&onboarding))
    }
}
