//! Fields of forms, and what is wrong with what was typed there.

use client::ProblemDocument;
use kernel::Problem;
use maud::{Markup, html};

use super::{prose, sentence};

/// What the API had against a form, put where the form has it.
#[derive(Default)]
pub(crate) struct Refused {
    problem: Option<ProblemDocument>,
    /// The field that is meant where the API names none.
    otherwise: &'static str,
    typed: Vec<(&'static str, String)>,
}

/// That a field was left empty which the platform needs.
pub(crate) fn missing(field: &str, message: &str) -> ProblemDocument {
    ProblemDocument {
        status: 422,
        detail: "Something is missing.".into(),
        problems: vec![Problem::new("portal/missing", field, message)],
        ..ProblemDocument::default()
    }
}

impl Refused {
    /// A refusal; what names no field is about `otherwise`.
    pub(crate) fn of(problem: ProblemDocument, otherwise: &'static str) -> Self {
        Self {
            problem: Some(problem),
            otherwise,
            typed: Vec::new(),
        }
    }

    /// With what was typed into a field.
    pub(crate) fn typed(mut self, field: &'static str, text: &str) -> Self {
        self.typed.push((field, text.into()));
        self
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> u16 {
        self.problem.as_ref().map_or(200, |problem| problem.status)
    }

    pub(super) fn was_typed(&self, field: &str) -> &str {
        let found = self.typed.iter().find(|(name, _)| *name == field);
        found.map_or("", |(_, text)| text)
    }

    /// What is wrong at a field: the API says `leads[0]` of one of several.
    fn at(&self, field: &str) -> Vec<(String, Option<String>)> {
        let Some(problem) = &self.problem else {
            return Vec::new();
        };
        if problem.problems.is_empty() {
            let whole = (problem.to_string(), problem.remedy.clone());
            return (field == self.otherwise)
                .then_some(whole)
                .into_iter()
                .collect();
        }
        let all = problem.problems.iter();
        all.filter(|one| root_of(&one.path) == field)
            .map(|one| (one.message.clone(), one.remedy.clone()))
            .collect()
    }

    /// Above the form: that it was not taken, and what is about none of these fields.
    pub(super) fn above(&self, fields: &[&str]) -> Markup {
        let Some(problem) = &self.problem else {
            return html! {};
        };
        let elsewhere = |one: &&Problem| !fields.contains(&root_of(&one.path));
        html! {
            div.wrong role="alert" {
                strong { "Nothing was changed. " }
                @if !problem.problems.is_empty() { (prose(&sentence(&problem.to_string()))) ". " }
                "What is wrong is said below, where it is."
                @for one in problem.problems.iter().filter(elsewhere) {
                    p { (prose(&sentence(&one.message))) @if let Some(remedy) = &one.remedy { ": " (prose(remedy)) } }
                }
            }
        }
    }
}

fn root_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// A field of a form.
pub(super) struct Field<'a> {
    pub(super) name: &'static str,
    pub(super) label: &'a str,
    pub(super) hint: &'a str,
    pub(super) value: &'a str,
    pub(super) required: bool,
    /// Whether it is said that it may be left empty.
    pub(super) marked: bool,
    /// How many it shows.
    pub(super) lines: usize,
}

impl<'a> Field<'a> {
    pub(super) fn new(name: &'static str, label: &'a str, value: &'a str) -> Self {
        Self {
            name,
            label,
            hint: "",
            value,
            required: false,
            marked: true,
            lines: 1,
        }
    }

    pub(super) fn hint(self, hint: &'a str) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// Whether it may be left empty depends on another field, and is not said here.
    pub(super) fn unmarked(self) -> Self {
        Self {
            marked: false,
            ..self
        }
    }

    pub(super) fn lines(self, lines: usize) -> Self {
        Self { lines, ..self }
    }

    /// The field with its label, its hint and what is wrong with it.
    pub(super) fn show(self, refused: &Refused) -> Markup {
        let Self {
            name,
            label,
            hint,
            value,
            required,
            marked,
            lines,
        } = self;
        let about = About::of(name, hint, refused);
        html! {
            label for=(name) { (label) @if !required && marked { span.faint { " (optional)" } } }
            (about.hint())
            @if lines > 1 {
                textarea id=(name) name=(name) rows=(lines) autocomplete="off" autocapitalize="none"
                    spellcheck="false" required[required] aria-invalid=[about.invalid()]
                    aria-describedby=[about.described()] { "\n" (value) }
            } @else {
                input id=(name) name=(name) value=(value) autocomplete="off" autocapitalize="none"
                    spellcheck="false" required[required] aria-invalid=[about.invalid()]
                    aria-describedby=[about.described()];
            }
            (about.errors())
        }
    }
}

/// What is said of a field, beside its label.
pub(super) struct About<'a> {
    name: &'static str,
    hint: &'a str,
    wrong: Vec<(String, Option<String>)>,
}

impl<'a> About<'a> {
    pub(super) fn of(name: &'static str, hint: &'a str, refused: &Refused) -> Self {
        Self {
            name,
            hint,
            wrong: refused.at(name),
        }
    }

    pub(super) fn invalid(&self) -> Option<&'static str> {
        (!self.wrong.is_empty()).then_some("true")
    }

    pub(super) fn described(&self) -> Option<String> {
        let hint = (!self.hint.is_empty()).then(|| format!("{}-hint", self.name));
        let wrong = self.invalid().map(|_| format!("{}-error", self.name));
        let all: Vec<_> = wrong.into_iter().chain(hint).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    pub(super) fn hint(&self) -> Markup {
        html! { @if !self.hint.is_empty() { p.hint id={ (self.name) "-hint" } { (self.hint) } } }
    }

    pub(super) fn errors(&self) -> Markup {
        html! {
            @if !self.wrong.is_empty() {
                div id={ (self.name) "-error" } {
                    @for (message, remedy) in &self.wrong {
                        p.error { (prose(message)) @if let Some(remedy) = remedy { ": " (prose(remedy)) } }
                    }
                }
            }
        }
    }
}
