//! What of a team hangs on one of its people, for its leads.

use kernel::{Action, Caller, Result, Target};
use serde::Serialize;

use super::{
    Identity,
    automation::{Made, SeenKey, Told, Webhook, on_people, seen, stays, unknown},
    oversight::expect_subject,
    registered::PersonalCredential,
};

/// What a team is not told of a person.
const LOGINS: &str = "Their logins, and which automation calls with these, are theirs to see, and a platform \
                      engineer's (`towpath identity automation SUBJECT`).";

/// To see what of a team hangs on one person.
const DEPARTURE: Action = Action::see("departure.read");

/// What of a team hangs on one person.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamDeparture {
    /// Who.
    pub subject: String,
    /// Whose things these are.
    pub team: String,
    /// Their credentials at other tools that the team answers for: these may end with them, and so does the
    /// automation that calls there with one.
    pub tools: Vec<PersonalCredential>,
    /// Keys of the team's service accounts that they drew, and have seen: these go on. Rotate them twice.
    pub seen: Vec<SeenKey>,
    /// Secrets that they were told or wrote, of which that value is the present one or is still in use, deploy
    /// credentials' keys with them: these go on. Rotate them.
    pub told: Vec<Told>,
    /// What they made, or were the last to change, and that is still there: it goes on.
    pub stays: Vec<Made>,
    /// Webhooks that they made: these go on sending, to where they said, signed by a secret that they have
    /// seen.
    pub webhooks: Vec<Webhook>,
    /// What cannot be told.
    pub unknown: Vec<String>,
}

impl Identity {
    /// What of a team hangs on one person, for whoever leads it: what goes on when they leave it.
    pub async fn team_departure(
        &self,
        caller: &Caller,
        team: &str,
        subject: &str,
    ) -> Result<TeamDeparture> {
        self.guard.expect_team(caller, team).await?;
        let target = Target {
            scope: team,
            team,
            ..on_people(subject)
        };
        self.guard.require(caller, DEPARTURE, &target).await?;
        expect_subject(subject)?;
        let (mut seen, mut told) = (seen(&self.store, subject).await?, self.told(subject).await?);
        let mut stays = stays(&self.store, subject).await?;
        let mut webhooks = self.webhooks_of(subject).await?;
        let mut tools = self.tools_of(Some(subject)).await?;
        tools.retain(|one| one.team == team);
        let theirs = |account: &str| account.split_once('/').is_some_and(|of| of.0 == team);
        seen.retain(|key| theirs(&key.account));
        told.retain(|one| one.team == team);
        stays.retain(|one| one.team == team);
        webhooks.retain(|one| one.team == team);
        let mut unknown = unknown();
        unknown.insert(0, LOGINS.into());
        Ok(TeamDeparture {
            subject: subject.to_owned(),
            team: team.to_owned(),
            tools,
            seen,
            told,
            stays,
            webhooks,
            unknown,
        })
    }
}
