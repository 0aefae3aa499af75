//! Why a command failed, in one shape for people and for programs.

use std::{
    collections::BTreeMap,
    io::Write as _,
    ops::{Deref, DerefMut},
};

use client::ProblemDocument;
use kernel::{ErrorKind, Problem};
use serde::Serialize;

use crate::{
    context::{Format, Terminal},
    exit::Exit,
    render,
};

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed: one pointer, since it travels through every call.
#[derive(Debug)]
pub(crate) struct Failure(Box<Report>);

/// What there is to say about a failure.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// How the program ends.
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// What failed, where and why. Empty: the command has said it all.
    pub(crate) message: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
    /// Every rule that the input breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<Problem>,
    /// The files that the problems point into, by name.
    #[serde(skip)]
    pub(crate) sources: BTreeMap<String, String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Report {
            exit,
            message: message.into(),
            remedy: None,
            problems: Vec::new(),
            sources: BTreeMap::new(),
        }))
    }

    /// What was given on the command line does not go together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file, or this machine, would not do it.
    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("{doing}: {error}"))
    }

    /// The command has said it all.
    pub(crate) fn told(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// The files that its problems point into, in whose order these are told; what stands in none comes last.
    pub(crate) fn sources(mut self, sources: BTreeMap<String, String>) -> Self {
        self.problems.sort_by(|a, b| place(a).cmp(&place(b)));
        self.sources = sources;
        self
    }

    /// Says it on standard error.
    pub(crate) fn report(&self, format: Format, terminal: Terminal) {
        if self.message.is_empty() {
            return;
        }
        let text = match format {
            Format::Text => {
                let text = render::failure::text(self, terminal);
                if terminal.color {
                    render::control::coloured(&text).into_owned()
                } else {
                    render::control::shown(&text).into_owned()
                }
            }
            Format::Json | Format::Yaml => render::document::text(format, &*self.0),
        };
        // Where standard error is closed, nobody can be told.
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }
}

fn place(problem: &Problem) -> (bool, Option<(&str, usize, usize)>) {
    let at = problem.location.as_ref();
    let at = at.map(|at| (at.file.as_str(), at.line, at.column));
    (at.is_none(), at)
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Deref for Failure {
    type Target = Report;
    fn deref(&self) -> &Report {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let message = error.to_string();
        match error {
            client::Error::Refused(problem) => refused(*problem),
            client::Error::Token(source) => match source.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(other) => Failure::new(Exit::Failed, format!("{message}: {other}")),
            },
            client::Error::Grant { ref code, .. } => {
                let exit = match code.as_str() {
                    "expired_token" => Exit::Timeout,
                    "temporarily_unavailable" => Exit::Unreachable,
                    "server_error" => Exit::Failed,
                    _ => Exit::Refused,
                };
                Failure::new(exit, message)
            }
            client::Error::Address { .. } => Failure::usage(message)
                .remedy("give it as --server http://HOST:PORT, or in TOWPATH_SERVER"),
            client::Error::Unreachable { .. } => Failure::new(Exit::Unreachable, message)
                .remedy("start one with `towpath up`, or name another with --server"),
            client::Error::Broken { source, .. } => {
                let reason = chain(&source);
                Failure::new(Exit::Unreachable, format!("{message}: {reason}"))
                    .remedy("see whether the platform still runs: `towpath status`")
            }
            client::Error::Protocol { .. } => Failure::new(Exit::Failed, message).remedy(
                "see that it is the address of a platform's API, which `towpath up` prints, and that the \
                 platform is of this version",
            ),
            client::Error::Text(error) => error.into(),
            _ => Failure::new(Exit::Failed, message),
        }
    }
}

/// Rules that an input breaks because somebody else was first: as it is it would be right elsewhere.
const TAKEN: [&str; 1] = ["route/taken"];

fn refused(problem: ProblemDocument) -> Failure {
    let taken = |problem: &Problem| TAKEN.contains(&problem.rule.as_str());
    let exit = match problem.kind() {
        ErrorKind::Invalid
            if !problem.problems.is_empty() && problem.problems.iter().all(taken) =>
        {
            Exit::Conflict
        }
        ErrorKind::Invalid | ErrorKind::TooLarge => Exit::Invalid,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Exit::Refused,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Conflict | ErrorKind::AlreadyExists => Exit::Conflict,
        ErrorKind::Unavailable | ErrorKind::TooMany => Exit::Unreachable,
        ErrorKind::Internal => Exit::Failed,
    };
    let mut failure = Failure::new(exit, problem.to_string()).problems(problem.problems);
    failure.remedy = problem.remedy.or_else(|| match exit {
        Exit::Failed => problem
            .correlation
            .map(|id| format!("the platform's log says why, at correlation {id}")),
        Exit::Refused if problem.status == 401 => Some(
            "log in with `towpath login`; or name the right token with --token-file, or the platform's data directory with --data".into(),
        ),
        _ => None,
    });
    failure
}

impl From<kernel::Error> for Failure {
    fn from(error: kernel::Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Invalid | ErrorKind::TooLarge => Exit::Invalid,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => Exit::Refused,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Conflict | ErrorKind::AlreadyExists => Exit::Conflict,
            ErrorKind::Unavailable | ErrorKind::TooMany => Exit::Unreachable,
            ErrorKind::Internal => Exit::Failed,
        };
        let mut failure = Failure::new(exit, error.chain()).problems(error.problems);
        failure.remedy = error.remedy;
        failure
    }
}

/// What lies at the bottom: the words of the system.
fn chain(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    deepest.to_string()
}
