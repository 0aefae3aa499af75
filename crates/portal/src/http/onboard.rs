//! A team joins the platform by one form.

use axum::response::Response;
use client::every;
use kernel::http::html::see_other;
use teams::api::{NewTeam, TeamFields};

use super::{
    Answer, against_form, done, page_with,
    request::{Form, Posted},
    status_of,
};
use crate::{
    address::{team as team_page, with},
    pages::{
        self, Refused,
        onboard::{Choice, Typed, kind_of},
    },
    visitor::Visitor,
};

/// `GET /portal/onboard`
pub(super) async fn form(visitor: Visitor) -> Response {
    let answer = show(&visitor, Typed::default(), Refused::default(), 200).await;
    done(&visitor, answer)
}

/// `POST /portal/onboard`
pub(super) async fn send(posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let typed = typed(&form);
        // A team without a namespace is asked for over the API: here it is a box that was overlooked.
        if typed.environments.as_ref().is_none_or(Vec::is_empty) {
            let problem = pages::missing(
                "environments",
                "Choose at least one: a team has a namespace for each, and can deploy nowhere without.",
            );
            let status = problem.status;
            return show(&visitor, typed, Refused::of(problem, "name"), status).await;
        }
        match visitor.client.onboard_team(&asked(&typed)).await {
            Ok(team) => {
                let way = team_page(&team.meta.name, "");
                Ok(see_other(&with(&way, &[("done", "onboarded")])))
            }
            Err(error) => {
                let problem = against_form(error)?;
                let status = problem.status;
                show(&visitor, typed, Refused::of(problem, "name"), status).await
            }
        }
    };
    let answer = answer.await;
    done(&visitor, answer)
}

async fn show(visitor: &Visitor, typed: Typed, refused: Refused, status: u16) -> Answer {
    let client = &visitor.client;
    let roles = every(async |page| client.environment_roles(&page).await).await?;
    let roles = roles.into_iter().map(|role| Choice {
        standard: role.spec.is_standard(&role.meta.name),
        name: role.meta.name,
        description: role.spec.description,
    });
    let body = pages::onboard::page(visitor, &typed, &roles.collect::<Vec<_>>(), &refused);
    Ok(page_with(
        status_of(status),
        Some(visitor),
        "Onboard a team",
        body,
    ))
}

fn typed(form: &Form) -> Typed {
    let text = |name| form.text(name).unwrap_or_default();
    Typed {
        name: text("name"),
        group: text("group"),
        source: text("source"),
        description: text("description"),
        boundary: text("boundary"),
        contact: text("contact"),
        kind: text("type"),
        leads: form.lines("leads"),
        environments: Some(form.all("environments").to_vec()),
    }
}

/// What the form asks the API for. What was left empty is left to the platform.
fn asked(typed: &Typed) -> NewTeam {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let separate = |c: char| c.is_whitespace() || c == ',';
    let leads = typed.leads.split(separate).filter(|lead| !lead.is_empty());
    NewTeam {
        name: typed.name.clone(),
        fields: TeamFields {
            group: said(&typed.group),
            source: said(&typed.source),
            description: said(&typed.description),
            boundary: said(&typed.boundary),
            contact: said(&typed.contact),
            kind: kind_of(&typed.kind),
            leads: Some(leads.map(str::to_owned).collect()),
            environments: typed.environments.clone(),
            ..TeamFields::default()
        },
    }
}
