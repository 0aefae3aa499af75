//! How the program ends: the codes that scripts rely on.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Invalid = 3,
    NotFound = 4,
    Refused = 5,
    Conflict = 6,
    Unreachable = 7,
    Timeout = 8,
}

impl Exit {
    /// Every code, in order, with its meaning: the table of `docs/cli.md`.
    #[cfg(test)]
    pub(crate) const TABLE: [(Self, &'static str); 9] = [
        (Self::Success, "Done."),
        (
            Self::Failed,
            "The command failed: a deployment that did not get ready, a fault of the platform, a file that exists but cannot be read.",
        ),
        (Self::Usage, "Invalid command line."),
        (
            Self::Invalid,
            "The input breaks a rule: a Score file, a document, a name, a size limit.",
        ),
        (
            Self::NotFound,
            "Something that you named does not exist: a resource, an environment, a file.",
        ),
        (
            Self::Refused,
            "The caller may not do this, or has to log in first; or policy refuses the deployment.",
        ),
        (
            Self::Conflict,
            "The resource is not in the state you expected: changed by somebody else, protected, held, or its host or name is in use.",
        ),
        (
            Self::Unreachable,
            "No platform answers, or something that the platform needs is away.",
        ),
        (
            Self::Timeout,
            "Not done in time: within `--wait-timeout` (it may still be done), or before a login's code ended.",
        ),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
