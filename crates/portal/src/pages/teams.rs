//! The teams that somebody may see.

use kernel::{Page, Resource};
use maud::{Markup, html};
use teams::model::Team;

use super::{scrolling, team::phase};
use crate::{
    address::{team as team_page, with},
    visitor::Visitor,
};

pub(crate) fn page(visitor: &Visitor, teams: &Page<Resource<Team>>) -> Markup {
    html! {
        h1 { "Teams" }
        @if teams.items.is_empty() {
            div.empty {
                p { "There is no team that you may see." }
                @if visitor.onboards { p { a href="/portal/onboard" { "Onboard the first" } } }
            }
        } @else {
            (scrolling("Teams", html! {
                table {
                    thead { tr { th scope="col" { "Team" } th scope="col" { "State" } th scope="col" { "Group" }
                        th scope="col" { "Contact" } } }
                    tbody {
                        @for team in &teams.items {
                            tr {
                                th scope="row" { a href=(team_page(&team.meta.name, "")) { (team.meta.name) } }
                                td data-label="State" { (phase(team)) }
                                td data-label="Group" { code { (team.spec.group) } }
                                td data-label="Contact" { (team.spec.contact) }
                            }
                        }
                    }
                }
            }))
        }
        @if let Some(next) = &teams.next {
            p { a href=(with("/portal/teams", &[("after", next)])) rel="next" { "More teams" } }
        }
    }
}
