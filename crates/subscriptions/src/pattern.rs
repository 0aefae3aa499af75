//! Which types of events are wanted: `deployment.succeeded`, `deployment.*`, `*`.

use std::fmt;

use kernel::{Error, Event, Kind as _, NewEvent, Result, suggest::nearest};
use serde::{Deserialize, Serialize};

use crate::model::Subscription;

/// A type of event, of the platform's own without our prefix, or all that begin with the same words: the last
/// may be `*`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct Pattern(String);

impl Pattern {
    /// Above the longest type that there is.
    const LONGEST: usize = 120;

    /// Checks and takes `text`, with our prefix or without.
    pub fn new(text: &str) -> Result<Self> {
        let short = text.strip_prefix(NewEvent::PREFIX).unwrap_or(text);
        // Others than the platform may write theirs with capitals; theirs have three words or more.
        let is_others = short.matches('.').count() > 1;
        let others = |c: char| is_others && (c.is_ascii_uppercase() || c == '_');
        let ours = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| ours(c) || others(c));
        let words = short.strip_suffix('*').map_or(Some(short), |rest| {
            rest.strip_suffix('.').or(rest.is_empty().then_some("any"))
        });
        let good = words.is_some_and(|words| words.split('.').all(word));
        if good && short.len() <= Self::LONGEST {
            return Ok(Self(short.to_owned()));
        }
        let shown: String = text.chars().take(Self::LONGEST).collect();
        Err(Error::invalid(format!(
            "`{}` is not a type of events",
            shown.escape_debug()
        ))
        .remedy(
            "write a type (`deployment.succeeded`), the beginning of one (`deployment.*`), or `*`",
        ))
    }

    /// Whether anything can be of this type, where the platform's own types begin with `words`: others have three
    /// words or more, and begin as they like. Fails with the word that was most likely meant.
    pub(crate) fn expect_some<'w>(&self, words: &[&'w str]) -> Result<(), Option<&'w str>> {
        let first = self.0.split('.').next().unwrap_or_default();
        let is_long = self.0.matches('.').count() > 1;
        if words.is_empty() || self.0 == "*" || is_long || words.contains(&first) {
            return Ok(());
        }
        let near = nearest(first, words.iter().copied());
        // Somebody may have such a domain, where it is not nearly a word of ours.
        if near.is_none() && self.0.ends_with(".*") {
            return Ok(());
        }
        Err(near)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// All patterns that `event` answers to: as many as its type has words, whatever the number of those who
/// subscribe.
///
/// What tells of deliveries themselves answers to its very type alone: two who want everything, and do
/// not answer, would have each other told of it for ever.
pub fn patterns_of(event: &Event) -> Vec<String> {
    let short = event.kind.strip_prefix(NewEvent::PREFIX);
    let short = short.unwrap_or(&event.kind);
    let mut patterns = vec![short.to_owned()];
    let tells_of = event.subject_key().map(|key| key.kind);
    if tells_of.as_deref() == Some(Subscription::KIND) {
        return patterns;
    }
    let ends = short.match_indices('.').map(|(at, _)| at + 1);
    patterns.extend(ends.map(|end| format!("{}*", &short[..end])));
    patterns.push("*".into());
    patterns
}
