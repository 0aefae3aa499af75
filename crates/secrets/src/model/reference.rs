//! Names of secrets, and references to them: `towpath://payments/stripe/key`.

use std::{fmt, str::FromStr};

use kernel::{Error, Name, Result};
use serde::{Deserialize, Serialize};

/// A secret's name within its team: words of `a-z`, `0-9`, `.`, `_`, `-`, joined by `/` into a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The longest name, in bytes.
    pub const MAX: usize = 200;
    /// What begins the names that the platform itself writes: the keys of deploy credentials.
    pub const DEPLOY_CREDENTIALS: &str = "deploy-credentials/";

    /// Checks and takes `name`.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let inner =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let word = |word: &str| {
            word.chars().all(inner) && word.starts_with(outer) && word.ends_with(outer)
        };
        if name.len() <= Self::MAX && name.split('/').all(word) {
            return Ok(Self(name));
        }
        let shown: String = name.chars().take(80).collect();
        Err(
            Error::invalid(format!("`{}` is not a secret's name", shown.escape_debug())).remedy(
                "use lower-case letters, digits, `.`, `_` and `-`, in words that begin and end with a letter \
                 or digit, joined by `/`: stripe/api-key",
            ),
        )
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the platform writes it, and nobody else.
    pub fn is_managed(&self) -> bool {
        self.0.starts_with(Self::DEPLOY_CREDENTIALS)
    }

    /// Whether it is `path`, or lies below it. Everything lies below the empty path.
    pub fn is_below(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty()
            || self
                .0
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SecretName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

/// Which secret: `towpath://TEAM/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// The team.
    pub team: Name,
    /// The name within it.
    pub name: SecretName,
}

impl SecretRef {
    /// What references begin with.
    pub const SCHEME: &str = "towpath://";

    /// The secret `name` of `team`.
    pub fn new(team: &str, name: &str) -> Result<Self> {
        Ok(Self {
            team: Name::new(team)?,
            name: SecretName::new(name)?,
        })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::SCHEME, self.team, self.name)
    }
}

impl FromStr for SecretRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let shown = || {
            text.chars()
                .take(80)
                .flat_map(char::escape_debug)
                .collect::<String>()
        };
        let rest = text.strip_prefix(Self::SCHEME);
        let parts = rest.and_then(|rest| rest.split_once('/'));
        let (team, name) = parts.ok_or_else(|| {
            Error::invalid(format!("`{}` is no reference to a secret", shown()))
                .remedy("write towpath://TEAM/NAME")
        })?;
        Self::new(team, name)
    }
}
