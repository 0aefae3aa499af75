//! What the audit trail says of an event: who caused it, by which means, why, and in which piece of work.

use std::fmt;

use uuid::Uuid;

use crate::{Error, Result};

/// By which means somebody came: what they have shown, by the name that it has in public. Never the
/// thing itself: no token, no session's secret, no key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Means {
    /// A person's login to a program: the session's public id, the `sid` of its tokens.
    Login(String),
    /// A person in a browser that is logged in at the platform's own pages.
    Browser,
    /// A key of a service account, by its id.
    Key(String),
    /// A workload trust of the account's team, by its name.
    Trust(String),
    /// The local admin's token.
    AdminToken,
    /// Nothing: a part of the platform, which needs none.
    Platform,
    /// Nothing that was good: somebody who was not taken for whom they said.
    Nothing,
}

impl fmt::Display for Means {
    /// As events carry it: `login:ID`, `key:ID`, `trust:NAME`, `browser`, `admin-token`, `platform`,
    /// `nothing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(id) => write!(f, "login:{id}"),
            Self::Browser => f.write_str("browser"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Trust(name) => write!(f, "trust:{name}"),
            Self::AdminToken => f.write_str("admin-token"),
            Self::Platform => f.write_str("platform"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// Why somebody does what they do, in their own words. One line, which says something, and which a
/// terminal shows as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason(String);

impl Reason {
    /// The longest reason, in characters: a sentence or two, and the address of a ticket.
    pub const LONGEST: usize = 500;

    /// `text` without the white space around it; `Invalid` where that is empty, too long, or holds
    /// characters that control what is shown.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        let length = text.chars().count();
        if text.is_empty() {
            return Err(Error::invalid("the reason says nothing")
                .remedy("say why, or leave the reason out"));
        }
        if length > Self::LONGEST {
            return Err(Error::invalid(format!(
                "the reason has {length} characters; {} are the most",
                Self::LONGEST
            ))
            .remedy("shorten it, and name a ticket or a page that says the rest"));
        }
        if text.chars().any(controls) {
            return Err(
                Error::invalid("the reason holds characters that control what is shown")
                    .remedy("write it in one line, without control characters"),
            );
        }
        Ok(Self(text.into()))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character is none that is read: a control, a separator of lines, or what turns the
/// direction of the text after it.
pub fn controls(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Who caused an event, by which means, why, and in which piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Who: [`crate::Caller::subject`].
    pub actor: String,
    /// By which means they came.
    pub means: Means,
    /// Why, where they have said so.
    pub reason: Option<Reason>,
    /// Joins the events of one piece of work.
    pub correlation: Uuid,
}

impl Cause {
    /// A part of the platform itself (`system:PART`), which carries on the work `correlation`.
    pub fn system(part: &str, correlation: Uuid) -> Self {
        Self {
            actor: format!("system:{part}"),
            means: Means::Platform,
            reason: None,
            correlation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        let reason = Reason::new("  rotated after INC-42: Schlüssel verloren ").unwrap();
        assert_eq!(reason.as_str(), "rotated after INC-42: Schlüssel verloren");
        assert!(Reason::new(&"ä".repeat(Reason::LONGEST)).is_ok());
        let long = "x".repeat(Reason::LONGEST + 1);
        for bad in [
            "",
            " \t ",
            "two\nlines",
            "\u{1b}[31mred",
            "bell\u{7}",
            "nul\0",
            "\u{202e}desrever",
            "next\u{2028}line",
            &long,
        ] {
            let error = Reason::new(bad).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Invalid, "{bad:?}");
        }
    }
}
