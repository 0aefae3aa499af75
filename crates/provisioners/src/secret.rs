//! `secret`: a secret that the environment's team keeps, for its workloads.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use jiff::Timestamp;
use kernel::Problem;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::params::{self, Param, Shape};

/// The newest version of a team's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamSecret {
    /// Which version it is.
    pub version: u64,
    /// When that was written: a secret that was removed and written anew has the same versions again.
    pub written: Timestamp,
    /// Its value.
    pub value: kernel::Secret,
}

/// The port to where teams keep their secrets.
#[async_trait]
pub trait TeamSecrets: Send + Sync + 'static {
    /// The secret `name` of `team`, none where there is none; the error says why it cannot be told.
    async fn read(&self, team: &str, name: &str) -> Result<Option<TeamSecret>, ProvisionError>;
}

/// Hands workloads the secrets of their environment's team, and of no other.
///
/// It makes nothing: an instance has the version that was the newest when it was made, and gets the
/// newest with the next deployment, or where somebody rotates it.
#[derive(Clone)]
pub struct Secret {
    secrets: Arc<dyn TeamSecrets>,
}

impl Secret {
    /// Secrets that are kept in `secrets`.
    pub fn new(secrets: Arc<dyn TeamSecrets>) -> Self {
        Self { secrets }
    }

    async fn newest(&self, request: &Request) -> Result<(String, TeamSecret), ProvisionError> {
        let name = params::text(&request.params, "name").ok_or_else(|| {
            ProvisionError::permanent("the secret has no `name`")
                .remedy("give the parameter `name`")
        })?;
        let team = &request.team;
        let found = self.secrets.read(team, &name).await?.ok_or_else(|| {
            ProvisionError::permanent(format!("team `{team}` has no secret `{name}`")).remedy(
                format!("write it first: towpath secret set {name} --team {team} < FILE"),
            )
        })?;
        if found.value.expose_str().is_none() {
            return Err(ProvisionError::permanent(format!(
                "secret `{name}` of team `{team}` is no text, which outputs are"
            ))
            .remedy("write it in base64, and have the workload decode it"));
        }
        Ok((name, found))
    }
}

#[async_trait]
impl Provisioner for Secret {
    fn name(&self) -> &'static str {
        "secret"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A secret that the environment's team keeps.",
            outputs: &[("value", true), ("version", false)],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[Param::required("name", Shape::Text)];
        params::check("secret", KNOWN, given)
    }

    async fn outdated(&self, request: &Request) -> Result<Option<String>, ProvisionError> {
        let (name, newest) = self.newest(request).await?;
        let made_with = request.state.get("version").and_then(Value::as_u64);
        let written = request.state.get("written").and_then(Value::as_str);
        if let Some(version) = made_with.filter(|version| *version != newest.version) {
            let newest = newest.version;
            return Ok(Some(format!(
                "secret `{name}`: version {version} -> {newest}"
            )));
        }
        // Deleted, and kept anew under the same number.
        let changed = written.is_some_and(|written| written != newest.written.to_string());
        Ok(changed.then(|| format!("secret `{name}`: written anew, version {}", newest.version)))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let (name, newest) = self.newest(request).await?;
        let (version, written) = (newest.version, newest.written.to_string());
        let before = &request.state;
        let is_same =
            before["name"] == name && before["version"] == version && before["written"] == written;
        // Whoever was shown an instance's value before this knows another.
        let since = before["since"].as_str().or(before["written"].as_str());
        let since = since
            .filter(|_| is_same)
            .map_or_else(|| Timestamp::now().to_string(), str::to_owned);
        Ok(Provisioned {
            outputs: BTreeMap::from([
                ("value".to_owned(), Output::Secret(newest.value)),
                ("version".to_owned(), Output::Plain(version.into())),
            ]),
            state: json!({
                "name": name,
                "version": version,
                "written": written,
                "since": since,
            }),
            listens: None,
            summary: format!("version {version} of secret {name}"),
            claims: Vec::new(),
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        if request.state.is_null() {
            Presence::Absent
        } else {
            Presence::Present
        }
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(Vec::new())
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}
