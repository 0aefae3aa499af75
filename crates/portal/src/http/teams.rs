//! Teams: those that somebody may see, and one with all that it has.

use axum::{extract::Path, response::Response};
use client::{Client, every};
use delivery::api::ListQuery;
use kernel::{Name, Resource};
use teams::{api::Members, model::Team};

use super::{done, page, request::Form};
use crate::{
    LOCAL,
    failure::Failure,
    pages::{self, Refused, notice::notice, team::Shown},
    visitor::{Visitor, of_secret, of_team},
};

/// Teams on a page.
const PAGE: usize = 50;

/// `GET /portal/teams`
pub(super) async fn list(visitor: Visitor, query: Form) -> Response {
    let answer = async {
        let query = ListQuery {
            after: query.text("after"),
            limit: Some(PAGE),
            ..ListQuery::default()
        };
        let teams = visitor.client.teams(&query).await?;
        Ok(page(
            Some(&visitor),
            "Teams",
            pages::teams::page(&visitor, &teams),
        ))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `GET /portal/teams/{team}`
pub(super) async fn show(visitor: Visitor, Path(name): Path<String>, query: Form) -> Response {
    let answer = async {
        let shown = look(&visitor, &name).await?;
        let notice = notice(query.get("done"));
        let body = pages::team::page(&visitor, &shown, notice, &Refused::default());
        Ok(page(Some(&visitor), &name, body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// All that is shown of a team.
pub(super) async fn look(visitor: &Visitor, name: &str) -> Result<Shown, Failure> {
    let client = &visitor.client;
    // First alone: whoever may not see the team is told so, and nothing else is asked.
    let team = client.team(name).await?;
    let (members, namespaces, integrations, rights) = tokio::join!(
        client.team_members(name),
        every(async |page| client.namespaces(name, &page).await),
        every(async |page| client.team_integrations(name, &page).await),
        visitor.may([
            of_team("team.members.change", name),
            of_secret("secret.read", name, ""),
        ]),
    );
    let [changes_members, sees_secrets] = rights?;
    Ok(Shown {
        members: members?,
        namespaces: namespaces?,
        integrations: integrations?,
        changes_members: changes_members && is_kept_here(&team),
        sees_secrets,
        team,
    })
}

/// Whether who is in the team is said by the platform's own source.
fn is_kept_here(team: &Resource<Team>) -> bool {
    team.spec.counts(LOCAL) && Name::new(team.spec.group.as_str()).is_ok()
}

/// Whether somebody of this name is in a team by the platform's own source.
pub(super) async fn is_member(client: &Client, team: &str, name: &str) -> Result<bool, Failure> {
    let Members { sources, .. } = client.team_members(team).await?;
    let local = sources.iter().filter(|answer| answer.source == LOCAL);
    Ok(local
        .flat_map(|answer| &answer.members)
        .any(|member| member.name == name))
}
