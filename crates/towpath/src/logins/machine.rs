//! Logins without a person: a service account, and what proves each time that it is the one.

use std::{fmt, path::PathBuf};

use client::{Provider, Tokens};
use kernel::Secret;
use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    secret_file,
};

/// A service account that logs in by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Machine {
    /// `TEAM/NAME`.
    pub(crate) service_account: String,
    /// What every renewal begins with.
    pub(crate) proof: Proof,
}

/// What proves who logs in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Proof {
    /// A key, kept here as a person's refresh token is.
    Key { key: String },
    /// A file with a key: whoever rotates it writes the next one there.
    KeyFile { file: PathBuf },
    /// A file with a token of a CI system or a cluster, which writes the next one there.
    WorkloadTokenFile { file: PathBuf },
}

/// What the keys of service accounts begin with.
const KEY: &str = "twk_";

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { .. } => f.write_str("Key"),
            Self::KeyFile { file } => f.debug_tuple("KeyFile").field(file).finish(),
            Self::WorkloadTokenFile { file } => {
                f.debug_tuple("WorkloadTokenFile").field(file).finish()
            }
        }
    }
}

/// What a provider is asked with.
pub(crate) enum Shown {
    Key(Secret),
    WorkloadToken(Secret),
}

impl Proof {
    /// What is to be shown now: files are read anew each time.
    pub(crate) async fn shown(&self, account: &str) -> Result<Shown> {
        match self {
            Self::Key { key } => Shown::key(account, key.as_str().into()),
            Self::KeyFile { file } => {
                let what = format!("the key of {account}");
                Shown::key(account, secret_file::read(file, &what).await?)
            }
            Self::WorkloadTokenFile { file } => {
                let what = format!("the job's token for {account}");
                Ok(Shown::WorkloadToken(secret_file::read(file, &what).await?))
            }
        }
    }
}

impl Shown {
    /// What is no key of a service account is another secret, and goes nowhere.
    fn key(account: &str, key: Secret) -> Result<Self> {
        let is_one = key.expose_str().is_some_and(|key| key.starts_with(KEY));
        if is_one {
            return Ok(Self::Key(key));
        }
        let why = format!(
            "what was given as the key of {account} is none, and was not sent: keys begin with `{KEY}`"
        );
        let (team, name) = account.split_once('/').unwrap_or(("TEAM", account));
        Err(Failure::new(Exit::Invalid, why).remedy(format!(
            "have one drawn: `towpath service-account key create {name} --team {team}`"
        )))
    }

    /// A token for the service account.
    pub(crate) async fn tokens(
        &self,
        provider: &Provider,
        account: &str,
    ) -> client::Result<Tokens> {
        match self {
            Self::Key(key) => provider.client_credentials(account, key).await,
            Self::WorkloadToken(token) => provider.exchange(account, token).await,
        }
    }

    /// Says how a proof that was refused is mended; other failures are as they are.
    pub(crate) fn explained(&self, account: &str, error: client::Error) -> Failure {
        let code = match &error {
            client::Error::Grant { code, .. } => code.as_str(),
            _ => "",
        };
        if !["invalid_client", "invalid_grant"].contains(&code) {
            return error.into();
        }
        let (team, name) = account.split_once('/').unwrap_or_default();
        let remedy = match self {
            Self::Key(_) => format!(
                "see which keys are valid: `towpath service-account key list {name} --team {team}`; draw \
                 another with `key create`"
            ),
            Self::WorkloadToken(_) => format!(
                "see what the team trusts: `towpath trust list --team {team}`; the token must not have ended"
            ),
        };
        Failure::new(Exit::Refused, format!("{account} is not let in: {error}")).remedy(remedy)
    }
}
