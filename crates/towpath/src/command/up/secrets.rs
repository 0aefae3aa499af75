//! Where `towpath up` keeps teams' secrets.

use std::path::PathBuf;

use ::secrets::{Login, VaultConfig};
use clap::Args;
use kernel::{Error, Secret};

use crate::failure::{Failure, Result};

/// Vault, in place of the platform's own store.
#[derive(Debug, Args)]
#[command(next_help_heading = "Teams' secrets (default: sealed in the platform's store)")]
pub(super) struct VaultArgs {
    /// Keep teams' secrets in this Vault or OpenBao, in a version 2 key-value store
    #[arg(
        long = "secrets-vault",
        env = "TOWPATH_SECRETS_VAULT",
        value_name = "URL",
        hide_env_values = true
    )]
    url: Option<String>,
    /// The namespace there
    #[arg(
        long = "secrets-vault-namespace",
        env = "TOWPATH_SECRETS_VAULT_NAMESPACE",
        value_name = "NAME"
    )]
    namespace: Option<String>,
    /// Where the key-value store is mounted
    #[arg(
        long = "secrets-vault-mount",
        env = "TOWPATH_SECRETS_VAULT_MOUNT",
        value_name = "PATH",
        default_value = "secret"
    )]
    mount: String,
    /// The path of a team's secrets there
    #[arg(
        long = "secrets-vault-path",
        env = "TOWPATH_SECRETS_VAULT_PATH",
        value_name = "PATH",
        default_value = "towpath/{team}"
    )]
    path: String,
    /// Log in with AppRole, as this role [default: with a token]
    #[arg(
        long = "secrets-vault-role-id",
        env = "TOWPATH_SECRETS_VAULT_ROLE_ID",
        value_name = "ID"
    )]
    role_id: Option<String>,
    /// Where AppRole is mounted
    #[arg(
        long = "secrets-vault-auth-mount",
        env = "TOWPATH_SECRETS_VAULT_AUTH_MOUNT",
        value_name = "PATH",
        default_value = "approle"
    )]
    auth_mount: String,
    /// The file with the token, or the role's secret id [default: what TOWPATH_SECRETS_VAULT_CREDENTIAL holds]
    #[arg(
        long = "secrets-vault-credential-file",
        env = "TOWPATH_SECRETS_VAULT_CREDENTIAL_FILE",
        value_name = "FILE"
    )]
    credential_file: Option<PathBuf>,
}

/// The platform's key.
#[derive(Debug, Args)]
#[command(next_help_heading = "The platform's key, with which secrets are sealed")]
pub(super) struct KeyArgs {
    /// The file with the key [default: what TOWPATH_PLATFORM_KEY holds, else platform.key in the data directory]
    #[arg(long, env = "TOWPATH_PLATFORM_KEY_FILE", value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// A file with a key that secrets may still be sealed with; TOWPATH_FORMER_PLATFORM_KEY may hold one as well
    #[arg(
        long,
        env = "TOWPATH_FORMER_PLATFORM_KEY_FILE",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub(super) former_key_file: Vec<PathBuf>,
    /// Have this key of the Transit engine of the Vault above encrypt the platform's key
    #[arg(long, env = "TOWPATH_PLATFORM_KEY_TRANSIT", value_name = "NAME")]
    pub(super) key_transit: Option<String>,
}

/// Holds the token or secret id: an option would show it to all on the machine.
const CREDENTIAL: &str = "TOWPATH_SECRETS_VAULT_CREDENTIAL";

impl VaultArgs {
    pub(super) fn vault(&self) -> Result<Option<VaultConfig>> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let credential = match &self.credential_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|e| Failure::io(&format!("{} cannot be read", file.display()), &e))?,
            None => std::env::var(CREDENTIAL).unwrap_or_default(),
        };
        let credential = credential.trim();
        if credential.is_empty() {
            return Err(Error::invalid("Vault is configured without a credential")
                .remedy(format!(
                    "set {CREDENTIAL} to a token or the role's secret id, or name a file with \
                 --secrets-vault-credential-file"
                ))
                .into());
        }
        let login = match &self.role_id {
            None => Login::Token(Secret::from(credential)),
            Some(role_id) => Login::AppRole {
                mount: self.auth_mount.clone(),
                role_id: role_id.clone(),
                secret_id: Secret::from(credential),
            },
        };
        Ok(Some(VaultConfig {
            namespace: self.namespace.clone(),
            mount: self.mount.clone(),
            path: self.path.clone(),
            ..VaultConfig::new(url.as_str(), login)
        }))
    }
}
