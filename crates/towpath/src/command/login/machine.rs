//! Logging in without a person.

use std::path::{Path, PathBuf};

use clap::Args;
use client::{Provider, Tokens};
use kernel::Secret;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    logins::{Machine, Proof, Shown},
    secret_file,
};

/// The variable with a key. No option: others on the machine could read it.
const KEY: &str = "TOWPATH_KEY";

/// Who logs in by itself, and what proves that.
#[derive(Debug, Args)]
pub(super) struct ByItself {
    /// Log in as this service account: TEAM/NAME
    #[arg(
        long,
        env = "TOWPATH_SERVICE_ACCOUNT",
        hide_env_values = true,
        value_name = "TEAM/NAME",
        conflicts_with = "no_browser",
        value_parser = service_account
    )]
    service_account: Option<String>,
    /// The file with its key; `-` is standard input [default: what is in TOWPATH_KEY]
    #[arg(
        long,
        env = "TOWPATH_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "service_account"
    )]
    key_file: Option<PathBuf>,
    /// The file with the token that its CI system gave the job; `-` is standard input
    #[arg(
        long,
        env = "TOWPATH_WORKLOAD_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "service_account"
    )]
    workload_token_file: Option<PathBuf>,
}

fn service_account(text: &str) -> std::result::Result<String, String> {
    match text.split_once('/') {
        Some((team, name)) if !team.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write TEAM/NAME, such as payments/ci".into()),
    }
}

impl ByItself {
    /// The tokens of the service account, and what renews them, where anything does. None where a person is
    /// to log in.
    pub(super) async fn tokens(
        &self,
        provider: &Provider,
    ) -> Result<Option<(Tokens, Option<Machine>)>> {
        let Some(account) = &self.service_account else {
            return Ok(None);
        };
        let (shown, proof) = self.proof(account).await?;
        let tokens = shown.tokens(provider, account).await;
        let tokens =
            tokens.map_err(|error| or_disabled(account, shown.explained(account, error)))?;
        let machine = proof.map(|proof| Machine {
            service_account: account.clone(),
            proof,
        });
        Ok(Some((tokens, machine)))
    }

    /// What is shown now, and what is shown at each renewal. Standard input has a job's token once: the login
    /// ends with it.
    async fn proof(&self, account: &str) -> Result<(Shown, Option<Proof>)> {
        let proof = match (&self.key_file, &self.workload_token_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "a key and a job's token are given: one of them proves who logs in",
                )
                .remedy(
                    "leave one out; TOWPATH_KEY_FILE and TOWPATH_WORKLOAD_TOKEN_FILE count too",
                ));
            }
            (Some(file), None) if is_stdin(file) => {
                let key = secret_file::read(file, &format!("the key of {account}")).await?;
                Proof::Key { key: text(&key)? }
            }
            (Some(file), None) => Proof::KeyFile {
                file: absolute(file)?,
            },
            (None, Some(file)) if is_stdin(file) => {
                let what = format!("the job's token for {account}");
                let token = secret_file::read(file, &what).await?;
                return Ok((Shown::WorkloadToken(token), None));
            }
            (None, Some(file)) => Proof::WorkloadTokenFile {
                file: absolute(file)?,
            },
            (None, None) => Proof::Key {
                key: variable(account)?,
            },
        };
        Ok((proof.shown(account).await?, Some(proof)))
    }
}

/// With what the platform tells no stranger: a disabled account is refused as one that is not there.
fn or_disabled(account: &str, mut failure: Failure) -> Failure {
    let (team, _) = account.split_once('/').unwrap_or_default();
    if failure.exit == Exit::Refused
        && let Some(remedy) = &mut failure.remedy
    {
        remedy.push_str(&format!(
            "; or the account is disabled: `towpath service-account list --team {team}`"
        ));
    }
    failure
}

/// The key in the variable.
fn variable(account: &str) -> Result<String> {
    let key = std::env::var(KEY).unwrap_or_default();
    match key.trim_end() {
        "" => Err(
            Failure::usage(format!("it is not said by what {account} proves itself")).remedy(
                "name a file with its key (--key-file), put the key in TOWPATH_KEY, or name a file with the \
                 job's token (--workload-token-file)",
            ),
        ),
        key => Ok(key.to_owned()),
    }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file)
        .map_err(|error| Failure::io(&format!("{} cannot be found", file.display()), &error))
}

fn text(secret: &Secret) -> Result<String> {
    let text = secret.expose_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(Exit::Invalid, "the key is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_is_told_that_the_account_may_be_disabled() {
        let refused = Failure::new(Exit::Refused, "no").remedy("see which keys are valid");
        let told = or_disabled("payments/ci", refused).remedy.clone();
        let expected = "see which keys are valid; or the account is disabled: `towpath service-account list \
                        --team payments`";
        assert_eq!(told.as_deref(), Some(expected));
        let away = Failure::new(Exit::Unreachable, "away").remedy("try again");
        let told = or_disabled("payments/ci", away).remedy.clone();
        assert_eq!(told.as_deref(), Some("try again"));
    }
}
