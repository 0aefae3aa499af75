//! One team, with all that it has and waits for.

use kernel::Resource;
use maud::{Markup, html};
use teams::{
    api::{Members, SourceAnswer, SourceState},
    model::{Condition, IntegrationState, Namespace, Quota, Step, Team, Truth},
};

use super::{Refused, crumbs, csrf, field::Field, prose, scrolling, time, told};
use crate::{
    LOCAL,
    address::{HOME, team as team_page, with},
    visitor::Visitor,
};

/// All that is shown of a team.
pub(crate) struct Shown {
    pub(crate) team: Resource<Team>,
    pub(crate) members: Members,
    pub(crate) namespaces: Vec<Resource<Namespace>>,
    pub(crate) integrations: Vec<Resource<IntegrationState>>,
    /// Whether who looks may say who is in it.
    pub(crate) changes_members: bool,
    /// Whether who looks may see which secrets it has.
    pub(crate) sees_secrets: bool,
}

/// How far a team is, in a word.
pub(super) fn phase(team: &Resource<Team>) -> Markup {
    let (class, word) = match team.status.phase.as_str() {
        "ready" => ("yes", "ready"),
        "" | "onboarding" => ("wait", "being onboarded"),
        other => ("no", other),
    };
    html! { span class={ "badge " (class) } { (word) } }
}

/// What it waits for first.
pub(super) fn waiting(team: &Resource<Team>) -> Option<&str> {
    let open = team.status.conditions.iter();
    let open = open.filter(|one| one.status != Truth::True && !one.message.is_empty());
    open.map(|one| one.message.as_str()).next()
}

pub(crate) fn page(
    visitor: &Visitor,
    shown: &Shown,
    notice: Option<&str>,
    refused: &Refused,
) -> Markup {
    let Shown { team, .. } = shown;
    let name = team.meta.name.as_str();
    html! {
        (crumbs(&[("Home", HOME), ("Teams", "/portal/teams")]))
        h1 { (name) " " (phase(team)) }
        (told(notice))
        @if !team.spec.description.is_empty() { p { (team.spec.description) } }
        @if shown.sees_secrets {
            div.actions { a.button href=(team_page(name, "secrets")) { "Secrets" } }
        }
        (about(team))
        (conditions(team))
        (namespaces(&shown.namespaces))
        (members(visitor, shown, refused))
        (quotas(team))
        (integrations(&shown.integrations))
    }
}

fn about(team: &Resource<Team>) -> Markup {
    let spec = &team.spec;
    html! {
        dl {
            dt { "Group" }
            dd {
                code { (spec.group) }
                @match &spec.source {
                    Some(source) => { " of source " code { (source) } }
                    None => { span.faint { ", of whichever source knows it" } }
                }
            }
            dt { "Leads" }
            dd {
                @if spec.leads.is_empty() { span.faint { "none: managers and operators say who" } }
                @else { @for (index, lead) in spec.leads.iter().enumerate() {
                    @if index > 0 { ", " } code { (lead) }
                } }
            }
            @if !spec.boundary.is_empty() { dt { "Answers for" } dd { (spec.boundary) } }
            @if !spec.contact.is_empty() { dt { "Contact" } dd { (spec.contact) } }
            dt { "A customer since" } dd { (time::at(team.meta.created)) }
        }
    }
}

fn called(condition: &str) -> &str {
    match condition {
        Condition::NAMESPACES => "Namespaces",
        Condition::ROLE_BINDINGS => "Members' rights",
        Condition::GATEWAYS => "Addresses at the gateway",
        Condition::INTEGRATIONS => "Other tools",
        Condition::CREDENTIALS => "Deploy credentials",
        Condition::GROUP => "Group at its source",
        Condition::LEADS => "Leads are in the group",
        Condition::TOPOLOGY => "What it answers for",
        other => other,
    }
}

fn conditions(team: &Resource<Team>) -> Markup {
    html! {
        section aria-labelledby="conditions" {
            h2 id="conditions" { "Conditions" }
            @if team.status.conditions.is_empty() {
                div.empty { p { "The platform has not looked yet. Load the page again in a moment." } }
            } @else {
                (scrolling("Conditions", html! {
                    table {
                        thead { tr { th scope="col" { "What" } th scope="col" { "State" }
                            th scope="col" { "What it waits for, or what was found" } th scope="col" { "Since" } } }
                        tbody {
                            @for one in &team.status.conditions {
                                tr {
                                    th scope="row" { (called(&one.kind)) }
                                    td data-label="State" { (truth(one.status)) }
                                    td data-label="Found" { (prose(&one.message)) }
                                    td data-label="Since" { (time::at(one.since)) }
                                }
                            }
                        }
                    }
                }))
            }
            @for left in &team.status.remaining { p.wrong { (prose(left)) } }
        }
    }
}

fn truth(truth: Truth) -> Markup {
    match truth {
        Truth::True => html! { span.badge.yes { "as it should be" } },
        Truth::False => html! { span.badge.wait { "waiting" } },
        Truth::Unknown => html! { span.badge.no { "unknown" } },
    }
}

fn namespaces(namespaces: &[Resource<Namespace>]) -> Markup {
    html! {
        section aria-labelledby="namespaces" {
            h2 id="namespaces" { "Namespaces" }
            @if namespaces.is_empty() {
                div.empty { p { "The team has none." } }
            } @else {
                (scrolling("Namespaces", html! {
                    table {
                        thead { tr { th scope="col" { "Namespace" } th scope="col" { "Role" } th scope="col" { "State" }
                            th scope="col" { "Addresses" } th scope="col" { "Asked for, of its quota" } } }
                        tbody { @for one in namespaces { (namespace(one)) } }
                    }
                }))
            }
        }
    }
}

fn namespace(one: &Resource<Namespace>) -> Markup {
    let (spec, status) = (&one.spec, &one.status);
    let asked = status
        .usage
        .as_ref()
        .map_or(Quota::NONE, |usage| usage.asked);
    html! {
        tr {
            th scope="row" { (one.meta.name) }
            td data-label="Role" { (spec.role) @if status.protected == Some(true) { " " span.badge { "protected" } } }
            td data-label="State" {
                @if status.ready { span.badge.yes { "ready" } } @else { span.badge.wait { "waiting" } }
                @if !status.message.is_empty() { p { (prose(&status.message)) } }
            }
            td data-label="Addresses" { @if !status.hosts.is_empty() { code { (status.hosts) } } }
            td data-label="Quota" { (uses(&one.meta.name, &asked, &spec.quota)) }
        }
    }
}

/// Each part of a quota, and how much of it is used.
fn uses(of: &str, used: &Quota, quota: &Quota) -> Markup {
    let parts = used.parts().into_iter().zip(quota.parts());
    html! {
        @for ((part, used, used_text), (_, most, most_text)) in parts {
            div.keep {
                meter aria-label={ (part) " of " (of) } min="0" max=(most.max(1)) high=(most / 5 * 4)
                    value=(used) {}
                " " (used_text) " of " (most_text) " " span.faint { (part) }
            }
        }
    }
}

fn quotas(team: &Resource<Team>) -> Markup {
    let (taken, allowance) = (&team.status.taken, &team.spec.allowance);
    html! {
        section aria-labelledby="quotas" {
            h2 id="quotas" { "Allowance" }
            dl {
                dt { "Namespaces of its own" } dd { (taken.namespaces) " of " (allowance.namespaces) }
                dt { "Quotas of all namespaces" } dd { (uses("the allowance", &taken.quota, &allowance.quota)) }
            }
        }
    }
}

fn members(visitor: &Visitor, shown: &Shown, refused: &Refused) -> Markup {
    let name = shown.team.meta.name.as_str();
    let nobody = shown
        .members
        .sources
        .iter()
        .all(|source| source.members.is_empty());
    html! {
        section aria-labelledby="members" {
            h2 id="members" { "Members" }
            @for source in &shown.members.sources { (source_state(source, &shown.members.group)) }
            @if nobody {
                div.empty { p { "Nobody is in it, as far as its sources tell." } }
            } @else {
                (scrolling("Members", html! {
                    table {
                        thead { tr { th scope="col" { "Name" } th scope="col" { "Subject" } th scope="col" { "Source" }
                            @if shown.changes_members { th scope="col" { "Change" } } } }
                        tbody {
                            @for source in &shown.members.sources { @for member in &source.members {
                                tr {
                                    th scope="row" {
                                        (member.name)
                                        @if shown.members.leads.contains(&member.subject) {
                                            " " span.badge { "lead" }
                                        }
                                    }
                                    td data-label="Subject" { code { (member.subject) } }
                                    td data-label="Source" { (source.source) }
                                    @if shown.changes_members {
                                        td {
                                            @if source.source == LOCAL {
                                                a href=(with(&team_page(name, "members/remove"),
                                                    &[("user", &member.name)]))
                                                    aria-label={ "Remove " (member.name) " from the team" } { "Remove" }
                                            }
                                        }
                                    }
                                }
                            } }
                        }
                    }
                }))
            }
            @if shown.changes_members {
                (refused.above(&["user"]))
                form.fields method="post" action=(team_page(name, "members")) {
                    (csrf(visitor))
                    (Field::new("user", "Add a member", refused.was_typed("user")).required()
                        .hint("The name of a user of the platform, such as ada").show(refused))
                    div.actions { button { "Add" } }
                }
            } @else {
                p.faint {
                    "Who is in it is changed by its leads, or where its group is kept: the platform follows."
                }
            }
        }
    }
}

fn source_state(answer: &SourceAnswer, group: &str) -> Markup {
    let said = match answer.state {
        SourceState::Complete => return html! {},
        SourceState::Missing => format!("The source {} has no group {group}.", answer.source),
        SourceState::Seen => format!("Of source {}: {}.", answer.source, answer.message),
        SourceState::Unavailable => format!(
            "The source {} could not be asked: {}.",
            answer.source, answer.message
        ),
    };
    html! { p.faint { (said) } }
}

fn integrations(integrations: &[Resource<IntegrationState>]) -> Markup {
    html! {
        section aria-labelledby="integrations" {
            h2 id="integrations" { "Other tools" }
            @if integrations.is_empty() {
                div.empty { p { "No other tool is kept in step with this team." } }
            } @else {
                (scrolling("Other tools", html! {
                    table {
                        thead { tr { th scope="col" { "Integration" } th scope="col" { "State" }
                            th scope="col" { "Why" } th scope="col" { "Looked" } } }
                        tbody {
                            @for one in integrations {
                                tr {
                                    th scope="row" { (one.meta.name) }
                                    td data-label="State" { (step(&one.status.step)) }
                                    td data-label="Why" {
                                        (prose(&one.status.message))
                                        @for violation in &one.status.violations { p { (prose(violation)) } }
                                    }
                                    td data-label="Looked" { @if let Some(looked) = one.status.looked { (time::at(looked)) } }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn step(step: &Step) -> Markup {
    let (class, word) = match step {
        Step::InStep => ("yes", "in step"),
        Step::New => ("wait", "not looked at yet"),
        Step::OutOfStep => ("no", "out of step"),
        Step::Unknown => ("no", "unknown"),
        Step::Resting => ("", "resting"),
    };
    html! { span class={ "badge " (class) } { (word) } }
}
