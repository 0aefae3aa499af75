//! The form by which a team joins.

use maud::{Markup, html};
use teams::model::TeamType;

use super::{
    Refused, crumbs, csrf,
    field::{About, Field},
};
use crate::{address::HOME, visitor::Visitor};

/// What was typed, to be shown again.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) source: String,
    pub(crate) description: String,
    pub(crate) boundary: String,
    pub(crate) contact: String,
    pub(crate) kind: String,
    pub(crate) leads: String,
    /// None before anything was sent.
    pub(crate) environments: Option<Vec<String>>,
}

/// An environment role.
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Whether it is chosen before anybody has chosen.
    pub(crate) standard: bool,
}

/// The types of teams: the API's word, and what it means.
const KINDS: [(&str, TeamType, &str); 4] = [
    (
        "stream-aligned",
        TeamType::StreamAligned,
        "Stream-aligned: works along one stream of the business",
    ),
    (
        "platform",
        TeamType::Platform,
        "Platform: offers what other teams build on",
    ),
    (
        "enabling",
        TeamType::Enabling,
        "Enabling: helps other teams to what they cannot do yet",
    ),
    (
        "complicated-subsystem",
        TeamType::ComplicatedSubsystem,
        "Complicated subsystem: has what needs specialists",
    ),
];

/// The type of that word; none where the form says nothing.
pub(crate) fn kind_of(word: &str) -> Option<TeamType> {
    let found = KINDS.iter().find(|(known, ..)| *known == word);
    found.map(|(_, kind, _)| *kind)
}

const FIELDS: [&str; 9] = [
    "name",
    "group",
    "source",
    "description",
    "boundary",
    "contact",
    "type",
    "leads",
    "environments",
];

pub(crate) fn page(
    visitor: &Visitor,
    typed: &Typed,
    roles: &[Choice],
    refused: &Refused,
) -> Markup {
    html! {
        (crumbs(&[("Home", HOME), ("Teams", "/portal/teams")]))
        h1 { "Onboard a team" }
        @if !visitor.onboards {
            p.wrong role="alert" { "You may not onboard teams: ask whoever manages which teams are customers." }
        } @else {
            p { "From the second that it is onboarded, every member has exactly the access that the team has." }
            (refused.above(&FIELDS))
            form.fields method="post" action="/portal/onboard" {
                (csrf(visitor))
                (Field::new("name", "Name", &typed.name).required()
                    .hint("Lower-case letters, digits and hyphens: payments. Its namespaces' names begin with it")
                    .show(refused))
                (Field::new("description", "Description", &typed.description).show(refused))
                (Field::new("boundary", "Answers for", &typed.boundary)
                    .hint("The domain, and where it ends. An enabling team works in others' and needs none")
                    .show(refused))
                (Field::new("contact", "Contact", &typed.contact)
                    .hint("Whom to ask: an address, or a channel").show(refused))
                (kind(typed, refused))
                fieldset {
                    legend { "Who is in it" }
                    (Field::new("group", "Group", &typed.group)
                        .hint("Its members are the team's. Empty: the group that is called like the team")
                        .show(refused))
                    (Field::new("source", "Source", &typed.source)
                        .hint("The only source whose group counts: local, or a login provider's name. Empty: whichever knows it")
                        .show(refused))
                    (Field::new("leads", "Leads", &typed.leads).lines(3)
                        .hint("Who may change the team, one on a line, as SOURCE:ID: local:ada").show(refused))
                }
                (environments(typed, roles, refused))
                div.actions {
                    button { "Onboard the team" }
                    a.button.second href="/portal/teams" { "Cancel" }
                }
            }
        }
    }
}

fn kind(typed: &Typed, refused: &Refused) -> Markup {
    let about = About::of("type", "", refused);
    html! {
        label for="type" { "Type" }
        select id="type" name="type" aria-invalid=[about.invalid()] aria-describedby=[about.described()] {
            @for (word, _, meaning) in KINDS {
                option value=(word) selected[typed.kind == word] { (meaning) }
            }
        }
        (about.errors())
    }
}

fn environments(typed: &Typed, roles: &[Choice], refused: &Refused) -> Markup {
    let about = About::of(
        "environments",
        "The team gets a namespace for each",
        refused,
    );
    let is_chosen = |role: &Choice| match &typed.environments {
        Some(chosen) => chosen.contains(&role.name),
        None => role.standard,
    };
    html! {
        fieldset aria-describedby=[about.described()] {
            legend { "Environments" }
            (about.hint())
            @for role in roles {
                label {
                    input type="checkbox" name="environments" value=(role.name)
                        checked[is_chosen(role)];
                    (role.name)
                    @if !role.description.is_empty() { span.hint { (role.description) } }
                }
            }
            (about.errors())
        }
    }
}
