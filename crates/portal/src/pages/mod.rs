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

/// What the API says, for people: what stands between backticks is code.
fn prose(text: &str) -> Markup {
    if text.matches('`').count() % 2 == 1 {
        return html! { (text) };
    }
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The API's words as a sentence of its own: they begin small, as what follows a colon.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code() {
        let said = prose("run `a <b>`, and `c`").into_string();
        assert_eq!(said, "run <code>a &lt;b&gt;</code>, and <code>c</code>");
        assert_eq!(prose("one ` alone").into_string(), "one ` alone");
    }

    #[test]
    fn a_sentence_begins_with_a_capital() {
        assert_eq!(sentence("the name is taken"), "The name is taken");
        assert_eq!(sentence("`a` is taken"), "`a` is taken");
        assert_eq!(sentence(""), "");
    }
}
