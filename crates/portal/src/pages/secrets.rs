//! A team's secrets, without their values; and one value, where somebody may see it and has asked for it.

use kernel::Page;
use maud::{Markup, html};
use secrets::{
    api::{Encoding, RevealedSecret, SecretsQuery},
    model::{Origin, SecretInfo, SecretName},
};

use super::{Refused, crumbs, csrf, field::Field, scrolling, time, told};
use crate::{
    address::{HOME, team as team_page, with},
    visitor::Visitor,
};

/// What somebody may do with a secret.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub(crate) struct Rights {
    pub(crate) write: bool,
    pub(crate) rotate: bool,
    pub(crate) delete: bool,
    pub(crate) reveal: bool,
}

/// What was typed, to be shown again: everything but the value.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) description: String,
    /// The version that was the newest when the form was shown; 0: there was none.
    pub(crate) expected: u64,
    /// Whether the platform is to draw the value.
    pub(crate) draws: bool,
}

fn of(team: &str, below: &str, name: &str) -> String {
    with(&team_page(team, below), &[("name", name)])
}

/// Whether the platform writes it, and nobody else.
fn is_managed(info: &SecretInfo) -> bool {
    SecretName::new(info.name.as_str()).is_ok_and(|name| name.is_managed())
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Written => "written by people",
        Origin::Generated => "drawn by the platform",
        Origin::DeployCredential => "key of a deploy credential",
    }
}

pub(crate) fn list(
    team: &str,
    page: &Page<SecretInfo>,
    asked: &SecretsQuery,
    rights: Rights,
    notice: Option<&str>,
) -> Markup {
    let path = asked.path.as_deref().unwrap_or_default();
    let here = team_page(team, "secrets");
    html! {
        (crumbs(&[("Home", HOME), (team, &team_page(team, ""))]))
        h1 { "Secrets of " (team) }
        (told(notice))
        p { "Values are sealed, and here nobody sees one without asking for it. A workload gets one by a resource of "
            code { "type: secret" } " in its Score file; a literal " code { "towpath://" }
            " in its variables is not replaced." }
        @if rights.write {
            div.actions { a.button href=(team_page(team, "secrets/set")) { "Add a secret" } }
        }
        @if page.items.is_empty() {
            div.empty {
                @if path.is_empty() { p { "The team has no secrets yet." } }
                @else { p { "None lies below " code { (path) } ". " a href=(here) { "See all" } } }
            }
        } @else {
            (scrolling("Secrets", html! {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Version" } th scope="col" { "Age" }
                        th scope="col" { "Values" } } }
                    tbody {
                        @for info in &page.items {
                            tr {
                                th scope="row" {
                                    a href=(of(team, "secrets/show", &info.name)) { (info.name) }
                                    @if !info.description.is_empty() { p.hint { (info.description) } }
                                    p.hint { code { (info.reference) } }
                                }
                                td data-label="Version" { (info.version) }
                                td data-label="Age" { @if let Some(newest) = info.versions.first() { (time::at(newest.created)) } }
                                td data-label="Values" { (origin(info.origin)) }
                            }
                        }
                    }
                }
            }))
        }
        @if let Some(next) = &page.next {
            p { a href=(with(&here, &[("path", path), ("after", next)])) rel="next" { "More secrets" } }
        }
    }
}

pub(crate) fn one(
    visitor: &Visitor,
    info: &SecretInfo,
    rights: Rights,
    notice: Option<&str>,
) -> Markup {
    let (team, name, managed) = (info.team.as_str(), info.name.as_str(), is_managed(info));
    html! {
        (crumbs(&[("Home", HOME), (team, &team_page(team, "")), ("Secrets", &team_page(team, "secrets"))]))
        h1 { (name) }
        (told(notice))
        @if !info.description.is_empty() { p { (info.description) } }
        dl {
            dt { "Reference" } dd { code { (info.reference) } }
            dt { "Values" } dd { (origin(info.origin)) }
            dt { "Newest version" } dd { (info.version) }
        }
        @if managed { p.faint { "The platform itself writes it, and rotates it." } }
        div.actions {
            @if rights.write && !managed {
                a.button href=(of(team, "secrets/set", name)) { "Set a new value" }
            }
            @if rights.rotate && info.origin != Origin::Written {
                a.button.second href=(of(team, "secrets/rotate", name)) { "Rotate" }
            }
            @if rights.reveal {
                form method="post" action=(team_page(team, "secrets/reveal")) {
                    (csrf(visitor))
                    input type="hidden" name="name" value=(name);
                    button.second { "Show the value of " (name) }
                }
            }
            @if rights.delete && !managed {
                a href=(of(team, "secrets/delete", name)) { "Delete" }
            }
        }
        @if rights.reveal { p.faint { "That somebody was shown a value is in the log of events." } }
        section aria-labelledby="versions" {
            h2 id="versions" { "Versions that are kept" }
            (scrolling("Versions", html! {
                table {
                    thead { tr { th scope="col" { "Version" } th scope="col" { "Written" } th scope="col" { "By" } } }
                    tbody {
                        @for version in &info.versions {
                            tr {
                                th scope="row" { (version.number) }
                                td data-label="Written" { (time::at(version.created)) }
                                td data-label="By" { (version.by.as_deref().unwrap_or("not known")) }
                            }
                        }
                    }
                }
            }))
        }
        section aria-labelledby="use" {
            h2 id="use" { "How to use it" }
            p { "In a Score file:" }
            pre { "resources:\n  key:\n    type: secret\n    params:\n      name: " (name) }
            p { "There its value is " code { "${resources.key.value}" } "; the reference itself, in a variable, is not \
                 replaced." }
            p { "In a program: " code { "towpath secrets run -- CMD" } ", with the reference as a variable's value." }
        }
    }
}

const FIELDS: [&str; 4] = ["name", "description", "value", "how"];

pub(crate) fn form(visitor: &Visitor, team: &str, typed: &Typed, refused: &Refused) -> Markup {
    let is_new = typed.expected == 0;
    let secrets = team_page(team, "secrets");
    let title = if is_new {
        "Add a secret".to_owned()
    } else {
        format!("Set {}", typed.name)
    };
    html! {
        (crumbs(&[("Home", HOME), (team, &team_page(team, "")), ("Secrets", &secrets)]))
        h1 { (title) }
        (refused.above(&FIELDS))
        form.fields method="post" action=(team_page(team, "secrets/set")) autocomplete="off" {
            (csrf(visitor))
            input type="hidden" name="expected" value=(typed.expected);
            @if is_new {
                (Field::new("name", "Name", &typed.name).required()
                    .hint("Lower-case words, joined by slashes into a path: stripe/api-key").show(refused))
            } @else {
                input type="hidden" name="name" value=(typed.name);
                (super::field::About::of("name", "", refused).errors())
                p { "This makes version " (typed.expected + 1) ". Workloads get it with their next deployment." }
            }
            (Field::new("description", "Description", &typed.description)
                .hint("For people. Never a part of the value: descriptions are shown").show(refused))
            fieldset {
                legend { "Where its value comes from" }
                label { input type="radio" name="how" value="given" checked[!typed.draws]; "I give it" }
                (Field::new("value", "Value", "").unmarked().lines(4)
                    .hint("It is sealed, and not shown again unless somebody asks for it by name").show(refused))
                label { input type="radio" name="how" value="draw" checked[typed.draws];
                    "The platform draws one at random, which nobody needs to know" }
            }
            div.actions {
                button { "Keep it" }
                a.button.second href=(secrets) { "Cancel" }
            }
        }
    }
}

pub(crate) fn value(team: &str, name: &str, revealed: &RevealedSecret) -> Markup {
    let (all, one) = (team_page(team, "secrets"), of(team, "secrets/show", name));
    html! {
        (crumbs(&[(team, &team_page(team, "")), ("Secrets", &all), (name, &one)]))
        h1 { "Value of " (name) }
        p { "Version " (revealed.version) "." }
        @if revealed.value.encoding == Encoding::Base64 { p.faint { "It is no text: this is its base64." } }
        pre { (revealed.value.value) }
        div.actions { a.button href=(one) { "Hide it" } }
    }
}
