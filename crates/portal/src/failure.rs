//! Why a page cannot be shown, or a form not be taken: in the platform's own words where it has any.

use std::error::Error as _;

use client::ProblemDocument;
use kernel::{Contended, ErrorKind, Line, http};

/// Why a page cannot be shown.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody is logged in, or not any more.
    LoggedOut,
    /// A form that this session was not given.
    Forged,
    /// What was sent is no form of ours.
    NoForm(&'static str),
    /// There is no such page.
    NoPage,
    /// What is there is not to be opened, or takes no form.
    NoMethod,
    /// A login that went wrong: what the provider says of it.
    Login(String),
    /// The API, or the way to it.
    Api(client::Error),
    /// Something here.
    Ours(kernel::Error),
}

/// Why a session gives no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// It has ended.
    #[error("the session is over")]
    Over,
    /// The provider does not answer.
    #[error("the session was not renewed")]
    Provider(#[source] client::Error),
    /// It could not be read or written.
    #[error("the session was not read")]
    Store(#[source] kernel::Error),
}

impl Contended for Lost {
    fn is_overtaken(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_overtaken())
    }

    fn line(&self) -> Option<Line> {
        match self {
            Self::Store(error) => Contended::line(error),
            Self::Over | Self::Provider(_) => None,
        }
    }

    fn given_up(self, times: u32) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.given_up(times)),
            other => other,
        }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Over => Self::LoggedOut,
            Lost::Provider(error) => Self::Api(error),
            Lost::Store(error) => Self::Ours(error),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Token(why) => match why.downcast::<Lost>() {
                Ok(lost) => (*lost).into(),
                Err(why) => Self::Ours(kernel::Error::internal("a session gives no token", why)),
            },
            error if error.is_unauthenticated() => Self::LoggedOut,
            error => Self::Api(error),
        }
    }
}

impl From<kernel::Error> for Failure {
    fn from(error: kernel::Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// What, why, and how to mend it. What is the platform's own fault is in its log.
    pub(crate) fn problem(self) -> ProblemDocument {
        match self {
            Self::LoggedOut => said(
                401,
                "You are not logged in",
                "The session is over, or was ended elsewhere. Nothing was changed.",
                "log in, and do it again",
            ),
            Self::Forged => said(
                403,
                "This form is of another session",
                "It does not carry what this session gave it: the page is older than your login, or another \
                 site sent it. Nothing was changed.",
                "go back, load the page again, and send it once more",
            ),
            Self::NoForm(why) => said(
                400,
                "This is no form of the portal",
                why,
                "go back, and try again",
            ),
            Self::NoPage => said(
                404,
                "There is no such page",
                "The address leads nowhere in the portal.",
                "begin at the portal's home",
            ),
            Self::NoMethod => said(
                405,
                "This is no page to open",
                "The address takes something else than what was sent to it.",
                "begin at the portal's home",
            ),
            Self::Login(why) => said(400, "The login did not work", &why, "log in again"),
            Self::Api(client::Error::Refused(problem)) => *problem,
            Self::Api(error) => {
                let mut chain = error.to_string();
                let mut next = error.source();
                while let Some(cause) = next {
                    chain = format!("{chain}: {cause}");
                    next = cause.source();
                }
                tracing::error!(chain, "the portal gets no answer from the API");
                said(
                    503,
                    "The platform does not answer",
                    "The portal could not ask the platform's API.",
                    "try again in a moment; if it stays so, tell whoever operates the platform",
                )
            }
            Self::Ours(error) => {
                if error.kind == ErrorKind::Internal {
                    tracing::error!(chain = error.chain(), "a page failed");
                }
                let known = http::ProblemDocument::from(&error);
                ProblemDocument {
                    problem_type: known.type_uri,
                    title: known.title,
                    status: known.status,
                    detail: known.detail,
                    remedy: known.remedy,
                    problems: known.problems,
                    correlation: Some(known.correlation),
                    ..ProblemDocument::default()
                }
            }
        }
    }
}

fn said(status: u16, title: &str, detail: &str, remedy: &str) -> ProblemDocument {
    ProblemDocument {
        status,
        title: title.into(),
        detail: detail.into(),
        remedy: Some(remedy.into()),
        ..ProblemDocument::default()
    }
}
