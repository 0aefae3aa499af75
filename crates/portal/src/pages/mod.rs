//! What the pages look like: plain HTML, every text in it escaped. No I/O.

pub(crate) mod confirm;
mod field;
pub(crate) mod home;
pub(crate) mod notice;
pub(crate) mod onboard;
pub(crate) mod problem;
pub(crate) mod secrets;
pub(crate) mod team;
pub(crate) mod teams;
mod time;

pub(crate) use self::field::{Refused, missing};

use maud::{Markup, html};

use crate::{address::HOME, visitor::Visitor};

/// The portal's stylesheet: the look of all pages, and what these have beside it.
pub(crate) const STYLE: [&str; 2] = [kernel::http::html::STYLE, include_str!("style.css")];

/// A page's frame: where one may go from everywhere, and who one is.
pub(crate) fn frame(visitor: Option<&Visitor>, body: Markup) -> Markup {
    html! {
        a.skip href="#main" { "Skip to the content" }
        header {
            a.brand href=(HOME) { "Towpath" }
            @if let Some(visitor) = visitor {
                nav aria-label="Portal" {
                    a href="/portal/teams" { "Teams" }
                    @if visitor.onboards { a href="/portal/onboard" { "Onboard a team" } }
                }
                form method="post" action="/portal/logout" {
                    (csrf(visitor))
                    span.who { (visitor.me.subject) }
                    button { "Log out" }
                }
            }
        }
        main id="main" { (body) }
    }
}

/// What every form carries.
fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.csrf); }
}

/// The way back: pages above this one, by name and address.
fn crumbs(way: &[(&str, &str)]) -> Markup {
    html! {
        nav.crumbs aria-label="Way back" {
            @for (index, (name, address)) in way.iter().enumerate() {
                @if index > 0 { " / " }
                a href=(address) { (name) }
            }
        }
    }
}

/// That something was done.
fn told(notice: Option<&str>) -> Markup {
    html! { @if let Some(text) = notice { p.good-news role="status" { (text) } } }
}

/// A table that scrolls by itself where it is wider than the screen.
fn scrolling(name: &str, table: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(name) tabindex="0" { (table) } }
}
