//! Who is in a team, where the platform itself keeps its group.

use axum::{extract::Path, response::Response};
use kernel::http::html::see_other;

use super::{
    against_form, done, page, page_with,
    request::{Form, Posted},
    status_of, teams,
};
use crate::{
    address::{HOME, team as team_page, with},
    failure::Failure,
    pages::{self, Refused},
    visitor::Visitor,
};

/// `POST /portal/teams/{team}/members`
pub(super) async fn add(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let user = form.text("user").unwrap_or_default();
        if user.is_empty() {
            let problem = pages::missing("user", "Say whom: the name of a user of the platform.");
            return refused(&visitor, &team, &form, problem).await;
        }
        match visitor.client.add_member(&team, &user).await {
            Ok(()) => Ok(see_other(&with(
                &team_page(&team, ""),
                &[("done", "member-added")],
            ))),
            Err(error) => refused(&visitor, &team, &form, against_form(error)?).await,
        }
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// The team again, with what is wrong at the field.
async fn refused(
    visitor: &Visitor,
    team: &str,
    form: &Form,
    problem: client::ProblemDocument,
) -> super::Answer {
    let status = status_of(problem.status);
    // Whoever may not even see it is told so in place of the form.
    let shown = teams::look(visitor, team).await?;
    let refused = Refused::of(problem, "user").typed("user", form.get("user"));
    let body = pages::team::page(visitor, &shown, None, &refused);
    Ok(page_with(status, Some(visitor), team, body))
}

/// `GET /portal/teams/{team}/members/remove`
pub(super) async fn confirm(visitor: Visitor, Path(team): Path<String>, query: Form) -> Response {
    let answer = async {
        let user = query.get("user");
        if !teams::is_member(&visitor.client, &team, user).await? {
            return Err(Failure::NoPage);
        }
        let body = pages::confirm::removal(&visitor, &team, user);
        Ok(page(Some(&visitor), "Remove a member", body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `POST /portal/teams/{team}/members/remove`
pub(super) async fn remove(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        visitor
            .client
            .remove_member(&team, form.get("user"))
            .await?;
        // Who has taken themselves out sees the team no more.
        let way = match visitor.client.team(&team).await {
            Err(error) if error.is_not_found() => with(HOME, &[("done", "member-left")]),
            _ => with(&team_page(&team, ""), &[("done", "member-removed")]),
        };
        Ok(see_other(&way))
    };
    let answer = answer.await;
    done(&visitor, answer)
}
