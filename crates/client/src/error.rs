//! Why a call failed.

use std::time::Duration;

use kernel::{ErrorKind, Problem};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one.
    #[error("`{server}` is not the address of a platform: {reason}")]
    Address {
        /// As it was given.
        server: String,
        /// Why not.
        reason: String,
    },
    /// Nothing answers there.
    #[error("no platform answers at {server}")]
    Unreachable {
        /// The address.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("{server} did not answer in full")]
    Broken {
        /// The address.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The platform refused.
    #[error("{0}")]
    Refused(Box<ProblemDocument>),
    /// The platform's provider gives no token (RFC 6749, section 5.2).
    #[error("{description}")]
    Grant {
        /// `invalid_grant`, `access_denied` ...
        code: String,
        /// In words.
        description: String,
    },
    /// There is no token to call with; the source of tokens says why.
    #[error("there is no token to call with")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What would be sent as text is none.
    #[error(transparent)]
    Text(#[from] kernel::Error),
    /// The answer is not of a shape that this version knows.
    #[error("{server} answered what this version does not understand: {reason}")]
    Protocol {
        /// The address.
        server: String,
        /// What was wrong with it.
        reason: String,
    },
}

impl Error {
    /// The problem document, where the platform refused.
    pub fn problem(&self) -> Option<&ProblemDocument> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the platform says that the resource is not there.
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether the platform does not know whose call it is.
    pub fn is_unauthenticated(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 401)
    }

    /// Whether the platform may be there again later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused(problem) => is_transient(problem.status),
            Self::Grant { code, .. } => {
                matches!(code.as_str(), "temporarily_unavailable" | "server_error")
            }
            Self::Address { .. } | Self::Token(_) | Self::Text(_) | Self::Protocol { .. } => false,
        }
    }

    /// Whether the same call may succeed in a moment: the platform may be there again, or take more calls.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_transient()
            || self
                .problem()
                .is_some_and(|problem| may_pass(problem.status))
    }

    /// When trying again may succeed, where the platform's refusal says so (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem()?.retry_after
    }
}

/// Whether a status speaks of the platform's state and not of the call.
fn is_transient(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Whether the same call may succeed in a moment: also where it is one of too many (429).
pub(crate) fn may_pass(status: u16) -> bool {
    is_transient(status) || status == 429
}

/// A refusal, as RFC 9457 describes it, with our extensions. Reads what any server between here and
/// the platform may answer: unlike [`kernel::http::ProblemDocument`], nothing in it must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// What sort of problem, as a URI reference.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub problem_type: String,
    /// The sort of problem, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong, where and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Every rule that the input breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Names the request in the platform's log and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Uuid>,
    /// Whether an earlier try of the same call still runs: its answer is had by asking again.
    #[serde(skip)]
    pub runs: bool,
    /// When trying again may succeed: what the answer's `Retry-After` says.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl ProblemDocument {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self.status {
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::Forbidden,
            404 | 410 => ErrorKind::NotFound,
            409 | 412 | 428 => ErrorKind::Conflict,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::TooMany,
            502..=504 => ErrorKind::Unavailable,
            400..=499 => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        }
    }
}

impl std::fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [&self.detail, &self.title]
            .into_iter()
            .find(|text| !text.is_empty());
        match words {
            Some(text) => f.write_str(text),
            None => write!(f, "the platform refused with status {}", self.status),
        }
    }
}
