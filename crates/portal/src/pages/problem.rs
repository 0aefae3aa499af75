//! Pages in place of others: what is wrong, why, and how to mend it.

use client::ProblemDocument;
use maud::{Markup, html};

use super::{prose, sentence};
use crate::address::HOME;

/// What a problem document says, with its title; with the way to log in where that helps.
pub(crate) fn page(problem: &ProblemDocument, again: bool) -> (String, Markup) {
    let title = match problem.title.as_str() {
        "" => "That did not work",
        title => title,
    };
    let body = html! {
        h1 { (title) }
        div.wrong role="alert" {
            @if !problem.detail.is_empty() { p { (prose(&sentence(&problem.detail))) } }
            @for one in &problem.problems {
                @if one.message != problem.detail && !problem.detail.ends_with(&one.message) {
                    p {
                        @if !one.path.is_empty() { code { (one.path) } ": " }
                        (prose(&one.message))
                        @if let Some(remedy) = &one.remedy { ": " (prose(remedy)) }
                    }
                }
            }
        }
        @if let Some(remedy) = &problem.remedy { p { strong { "What to do: " } (prose(remedy)) "." } }
        div.actions {
            @if again { a.button href="/portal/login" { "Log in" } }
            @else { a.button.second href=(HOME) { "To the portal's home" } }
        }
        @if let Some(correlation) = problem.correlation {
            p.faint { "Correlation id, for whoever operates the platform: " code { (correlation) } }
        }
    };
    (title.to_owned(), body)
}

/// That somebody has logged out.
pub(crate) fn logged_out() -> Markup {
    html! {
        h1 { "Logged out" }
        p { "Your session has ended, here and in whatever else was logged in from this browser." }
        div.actions { a.button href="/portal/login" { "Log in again" } }
    }
}
