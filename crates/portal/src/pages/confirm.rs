//! Before something ends: what goes with it, and a button that means it.

use maud::{Markup, html};
use secrets::model::SecretInfo;

use super::{crumbs, csrf};
use crate::{
    address::{HOME, team as team_page, with},
    visitor::Visitor,
};

/// A form with hidden fields and one button.
fn form(
    visitor: &Visitor,
    action: &str,
    fields: &[(&str, &str)],
    button: Markup,
    back: &str,
) -> Markup {
    html! {
        form method="post" action=(action) {
            (csrf(visitor))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            div.actions { (button) a.button.second href=(back) { "Cancel" } }
        }
    }
}

/// That somebody leaves a team.
pub(crate) fn removal(visitor: &Visitor, team: &str, user: &str) -> Markup {
    let back = team_page(team, "");
    let action = team_page(team, "members/remove");
    let button = html! { button.no { "Remove " (user) } };
    html! {
        (crumbs(&[("Home", HOME), (team, &back)]))
        h1 { "Remove " (user) " from " (team) "?" }
        p { "Their access to everything that the team has ends at once, and with it what they use it for." }
        (form(visitor, &action, &[("user", user)], button, &back))
    }
}

fn shown(info: &SecretInfo) -> String {
    with(
        &team_page(&info.team, "secrets/show"),
        &[("name", &info.name)],
    )
}

fn way(info: &SecretInfo) -> Markup {
    let (team, secrets) = (team_page(&info.team, ""), team_page(&info.team, "secrets"));
    crumbs(&[
        (&info.team, &team),
        ("Secrets", &secrets),
        (&info.name, &shown(info)),
    ])
}

/// That a secret gets another value; `all`: every secret at or below its path.
pub(crate) fn rotation(visitor: &Visitor, info: &SecretInfo, all: &[SecretInfo]) -> Markup {
    let action = team_page(&info.team, "secrets/rotate");
    let button = html! { button { "Rotate" } };
    html! {
        (way(info))
        h1 { "Rotate " (info.name) "?" }
        p { "It gets a further version, with a new value. Workloads get that with their next deployment; the \
             version before stays readable." }
        @if all.len() > 1 {
            p { "So do those below it:" }
            ul { @for one in all.iter().filter(|one| one.name != info.name) { li { code { (one.name) } } } }
        }
        (form(visitor, &action, &[("name", &info.name)], button, &shown(info)))
    }
}

/// That a secret goes.
pub(crate) fn deletion(visitor: &Visitor, info: &SecretInfo) -> Markup {
    let action = team_page(&info.team, "secrets/delete");
    let button = html! { button.no { "Delete " (info.name) } };
    html! {
        (way(info))
        h1 { "Delete " (info.name) "?" }
        p { "It goes with all its versions, and nobody can bring it back. What refers to "
            code { (info.reference) } " cannot be deployed any more." }
        (form(visitor, &action, &[("name", &info.name)], button, &shown(info)))
    }
}
