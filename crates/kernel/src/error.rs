//! The one error of the house, with its public and its internal text apart.
//!
//! `message`, `remedy` and `problems` are for the person who sees them. `source` is for the log and
//! never leaves the process: see [`crate::http`] for the only conversion to HTTP.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Transient, contention::Contest, turns::Line};

/// The result of everything that can fail in Towpath.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The input breaks a rule; `problems` says which and where.
    Invalid,
    /// No credentials, or credentials that are no longer good.
    Unauthenticated,
    /// The caller is known, and may not do this.
    Forbidden,
    /// There is no such resource, or the caller may not know of it.
    NotFound,
    /// The resource is not as the caller took it to be (revision, phase, protection).
    Conflict,
    /// A name, host or path that somebody else holds.
    AlreadyExists,
    /// Larger than the limit that the message names.
    TooLarge,
    /// More than is taken at a time; later it is taken.
    TooMany,
    /// A server that is needed is away; trying again later may succeed.
    Unavailable,
    /// A fault of ours. Its public text says nothing of the inside.
    Internal,
}

/// Where in a file something is. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Location {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length of the offending text in characters; 0 where only a point is known.
    pub length: usize,
}

/// One thing that is wrong with an input. A caller gets all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The rule that is broken, as a stable word: `score/unknown-field`.
    pub rule: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Which field, as a path: `containers.web.image`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Where in the input, when it came from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

impl Problem {
    /// A problem of `rule` at `path`.
    pub fn new(rule: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            message: message.into(),
            remedy: None,
            path: path.into(),
            location: None,
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
}

/// What failed, why, and how to mend it. A clone is for a further one who waited for the same.
#[derive(Debug, Clone)]
pub struct Error {
    /// What sort of failure.
    pub kind: ErrorKind,
    /// What failed, where and why: public.
    pub message: String,
    /// How to mend it: public.
    pub remedy: Option<String>,
    /// Every rule that the input breaks: public.
    pub problems: Vec<Problem>,
    /// See [`Error::overtaken`].
    overtaken: Option<Box<Overtaken>>,
    /// See [`Error::unmatched`].
    unmatched: bool,
    /// See [`Error::after`].
    after: Option<Duration>,
    /// What lies beneath: for the log only.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// That somebody else was first.
#[derive(Debug, Clone, Default)]
struct Overtaken {
    /// At what, where that has a name.
    at: Option<Contest>,
    /// Where those of this process stand who were overtaken there.
    line: Option<Line>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            problems: Vec::new(),
            overtaken: None,
            unmatched: false,
            after: None,
            source: None,
        }
    }

    /// The input breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The input breaks these rules; there is at least one.
    pub fn problems(message: impl Into<String>, problems: Vec<Problem>) -> Self {
        Self {
            problems,
            ..Self::new(ErrorKind::Invalid, message)
        }
    }

    /// There is no such thing.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} does not exist"))
    }

    /// It is not as the caller took it to be.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// The caller may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// A server that is needed is away.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// A fault of ours; `context` says for the log what was being done.
    pub fn internal(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Internal, context).caused_by(source)
    }

    /// Says how to mend it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Marks it as saying that what was read has moved on before it was written: read again, the same
    /// work may succeed ([`crate::anew`]). A refusal that reading again would not change is not marked.
    #[must_use]
    pub fn overtaken(mut self) -> Self {
        self.overtaken = Some(Box::default());
        self
    }

    /// The same, and what has moved on.
    #[must_use]
    pub(crate) fn overtaken_at(mut self, at: Contest) -> Self {
        let line = None;
        self.overtaken = Some(Box::new(Overtaken { at: Some(at), line }));
        self
    }

    /// Says where those stand who were overtaken at the same.
    #[must_use]
    pub(crate) fn in_line(mut self, line: impl FnOnce(&Contest) -> Line) -> Self {
        if let Some(overtaken) = &mut self.overtaken {
            overtaken.line = overtaken.at.as_ref().map(line);
        }
        self
    }

    /// Marks it as saying what stays so, however often it is read.
    #[must_use]
    pub(crate) fn decided(mut self) -> Self {
        self.overtaken = None;
        self
    }

    /// See [`Error::overtaken`].
    pub fn is_overtaken(&self) -> bool {
        self.overtaken.is_some()
    }

    /// Whether it says that a record of this sort has moved on.
    pub fn is_overtaken_at<T: Transient>(&self) -> bool {
        matches!(self.contest(), Some(Contest::Record { kind, .. }) if *kind == T::KIND)
    }

    /// What has moved on, where that has a name.
    pub(crate) fn contest(&self) -> Option<&Contest> {
        self.overtaken.as_ref()?.at.as_ref()
    }

    /// Where those stand who were overtaken at the same.
    pub(crate) fn line(&self) -> Option<&Line> {
        self.overtaken.as_ref()?.line.as_ref()
    }

    /// Marks it as saying that the revision which the caller named (`If-Match`) is not the present one.
    #[must_use]
    pub fn unmatched(mut self) -> Self {
        self.unmatched = true;
        self
    }

    /// See [`Error::unmatched`].
    pub fn is_unmatched(&self) -> bool {
        self.unmatched
    }

    /// Says when trying again may succeed.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// See [`Error::after`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.after
    }

    /// Keeps what lies beneath, for the log.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = source.into();
        self.source = Some(source.into());
        self
    }

    /// Whether trying the same again later may succeed.
    pub fn retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unavailable | ErrorKind::TooMany | ErrorKind::Conflict | ErrorKind::Internal
        )
    }

    /// The whole chain in one line, for the log.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
/// How to mend what a disk has refused; `otherwise` where the error does not say it all.
pub fn disk_remedy(error: &std::io::Error, otherwise: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room on it".into()
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: make it writable, or choose another directory".into()
        }
        _ => otherwise.into(),
    }
}
