//! Who one is, which teams one has, and what to do next.

use kernel::Resource;
use maud::{Markup, html};
use teams::model::Team;

use super::{
    prose,
    team::{phase, waiting},
    told,
};
use crate::{address::team as team_page, visitor::Visitor};

pub(crate) fn page(visitor: &Visitor, teams: &[Resource<Team>], notice: Option<&str>) -> Markup {
    let me = &visitor.me;
    let hidden = me.teams.len().saturating_sub(teams.len());
    html! {
        h1 { "Welcome, " (me.subject.split_once(':').map_or(me.subject.as_str(), |(_, name)| name)) }
        (told(notice))
        section aria-labelledby="teams" {
            h2 id="teams" { "Your teams" }
            @if teams.is_empty() { (no_team(visitor)) }
            @else {
                ul.cards {
                    @for team in teams {
                        li {
                            a href=(team_page(&team.meta.name, "")) { (team.meta.name) } " " (phase(team))
                            @if !team.spec.description.is_empty() { p { (team.spec.description) } }
                            @if me_leads(visitor, &team.meta.name) { p.faint { "You lead it." } }
                        }
                    }
                }
                @if hidden > 0 { p { a href="/portal/teams" { "All teams that you see" } } }
            }
        }
        section aria-labelledby="next" {
            h2 id="next" { "What to do next" }
            (next(visitor, teams))
        }
        section aria-labelledby="you" {
            h2 id="you" { "Who you are here" }
            dl {
                dt { "Subject" } dd { code { (me.subject) } }
                dt { "Groups" }
                dd {
                    @let groups = texts(visitor, "groups");
                    @if groups.is_empty() { span.faint { "none that your source tells of" } }
                    @else { (groups.join(", ")) }
                }
                @if me.admin { dt { "Operator" } dd { "You operate the platform." } }
            }
        }
    }
}

fn texts<'v>(visitor: &'v Visitor, field: &str) -> Vec<&'v str> {
    let list = visitor
        .me
        .more
        .get(field)
        .and_then(|value| value.as_array());
    list.into_iter()
        .flatten()
        .filter_map(|one| one.as_str())
        .collect()
}

fn me_leads(visitor: &Visitor, team: &str) -> bool {
    texts(visitor, "leads").contains(&team)
}

fn no_team(visitor: &Visitor) -> Markup {
    html! {
        div.empty {
            p { "You are in no team that is a customer of the platform." }
            @if !visitor.onboards {
                p {
                    "Tell a lead of your team who you are: " code { (visitor.me.subject) }
                    ". As soon as you are in the team, all that it has is here."
                }
            }
        }
    }
}

fn next(visitor: &Visitor, teams: &[Resource<Team>]) -> Markup {
    let unready = teams.iter().find(|team| team.status.phase != "ready");
    html! {
        ol.next {
            @if visitor.onboards {
                li { a href="/portal/onboard" { "Onboard a team" } ": one form, and every member has its access." }
            }
            @if let Some(team) = unready {
                li {
                    a href=(team_page(&team.meta.name, "")) { "See what " (team.meta.name) " waits for" }
                    @if let Some(first) = waiting(team) { ": " (prose(first)) }
                }
            }
            @if let Some(team) = teams.first() {
                li {
                    "Keep what its workloads need in "
                    a href=(team_page(&team.meta.name, "secrets")) { "the secrets of " (team.meta.name) } "."
                }
            }
            li {
                "Log in from your terminal: " code { "towpath login --server " (visitor.server) }
            }
            @if let Some(team) = teams.first() && let Some(role) = team.spec.environments.first() {
                li {
                    "Deploy a workload: "
                    code { "towpath deploy score.yaml --env " (team.meta.name) "-" (role) }
                }
            }
        }
    }
}
