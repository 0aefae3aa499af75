//! The port, as Vault answers it.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kernel::{Caller, Change, Error, Name, NewEvent, Outcome, Result, anew};
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{
    Vault,
    client::Answer,
    wire::{Listed, Metadata, Read, Wrapped, Written, data_of, value_in},
};
use crate::{
    model::{SecretInfo, SecretName, SecretRef},
    service::key,
    store::{SecretStore, Value, Write, conflict, require_version},
};

/// Secrets that lists look at at the same time.
pub(super) const AT_ONCE: usize = 8;
/// How deep folders are followed: no name is as deep.
const DEEPEST: usize = SecretName::MAX / 2 + 1;

impl Vault {
    async fn metadata(&self, secret: &SecretRef) -> Result<Option<Metadata>> {
        let path = self.secret_path("metadata", secret);
        match self.client.call(Method::GET, &path, &[], None).await? {
            Answer::Done(Wrapped { data }) => Ok(Some(data)),
            Answer::Absent => Ok(None),
            Answer::Moved => Err(unexpected()),
        }
    }

    /// Writes a version where another than the expected is not the newest; gives its number.
    async fn put_once(&self, secret: &SecretRef, write: &Write) -> Result<(u64, Metadata)> {
        let metadata = self.metadata(secret).await?;
        let known = metadata.as_ref().and_then(|m| m.info(secret));
        require_version(secret, write.expected, known.map_or(0, |info| info.version))?;
        // Also where the newest version was deleted by others: the numbers go on.
        let newest = metadata.as_ref().map_or(0, |m| m.current_version);
        // Before the value, and for this version alone: killed in between, what there is stays what it was,
        // and the value is never there without what is said of it.
        let before = metadata.unwrap_or_default();
        let saying = before.saying(write.description.as_deref(), write.origin);
        if let Some(saying) = &saying {
            self.say(secret, saying).await?;
        }
        let body = json!({ "options": { "cas": newest }, "data": data_of(&write.value)? });
        let path = self.secret_path("data", secret);
        let written = self
            .client
            .call(Method::POST, &path, &[], Some(&body))
            .await?;
        let version = match written {
            Answer::Done(Wrapped {
                data: Written { version },
            }) => version,
            Answer::Moved => {
                // The version that this was said for is another's.
                if saying.is_some() {
                    self.say(secret, &before.said()).await?;
                }
                return Err(conflict(secret, newest).overtaken());
            }
            Answer::Absent => return Err(self.no_mount()),
        };
        let vanished = || {
            Error::conflict(format!("{secret} was removed while it was written"))
                .remedy("look at what it is now, and decide anew")
                .overtaken()
        };
        let now = self.metadata(secret).await?.ok_or_else(vanished)?;
        Ok((version, now))
    }

    /// Says something of a secret, whether it is there or not.
    async fn say(&self, secret: &SecretRef, custom: &Json) -> Result<()> {
        let path = self.secret_path("metadata", secret);
        let said: Answer<Json> = self
            .client
            .call(Method::POST, &path, &[], Some(custom))
            .await?;
        match said {
            Answer::Done(_) => Ok(()),
            Answer::Absent => Err(self.no_mount()),
            Answer::Moved => Err(unexpected()),
        }
    }

    fn no_mount(&self) -> Error {
        Error::unavailable(format!("Vault has no key-value store at `{}`", self.mount))
            .remedy("enable one: vault secrets enable -version=2 -path=MOUNT kv")
    }

    /// Does `work` between two events: that it was asked for, and how it went.
    async fn kept<T>(
        &self,
        by: &Caller,
        secret: &SecretRef,
        (asked, done): (&str, &str),
        work: impl Future<Output = Result<(T, Json)>>,
    ) -> Result<T> {
        self.event(by, secret, asked, None, json!({})).await?;
        match work.await {
            Ok((output, data)) => {
                self.event(by, secret, done, Some(Outcome::Pass), data)
                    .await?;
                Ok(output)
            }
            Err(error) => {
                let data = json!({ "error": error.message });
                self.event(by, secret, done, Some(Outcome::Fail), data)
                    .await?;
                Err(error)
            }
        }
    }

    async fn event(
        &self,
        by: &Caller,
        secret: &SecretRef,
        what: &str,
        outcome: Option<Outcome>,
        data: Json,
    ) -> Result<()> {
        let mut change = Change::new().by(by);
        let team = secret.team.as_str();
        change.event(NewEvent::caused(what, key(secret), team, by, outcome, data));
        self.store.commit(change).await.map(drop)
    }

    /// The names of a team's secrets, folder after folder.
    async fn names(&self, team: &Name) -> Result<Vec<SecretName>> {
        let top = self.team_path("metadata", team);
        let mut names = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = format!("{top}/{folder}");
            let query = [("list", "true".to_owned())];
            let answer = self
                .client
                .call(Method::GET, path.trim_end_matches('/'), &query, None)
                .await?;
            let Answer::Done(Wrapped {
                data: Listed { keys },
            }) = answer
            else {
                continue;
            };
            for key in keys {
                let path = format!("{folder}{key}");
                if key.ends_with('/') {
                    if path.matches('/').count() <= DEEPEST {
                        folders.push(path);
                    }
                // What is named otherwise is not ours, and cannot be referred to.
                } else if let Ok(name) = SecretName::new(path) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

/// An answer that the operation does not have.
fn unexpected() -> Error {
    Error::internal("Vault answered what it should not", "unexpected answer")
}

#[async_trait]
impl SecretStore for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    async fn put(&self, by: &Caller, secret: &SecretRef, write: Write) -> Result<SecretInfo> {
        let words = ("secret.write-asked", "secret.written");
        self.kept(by, secret, words, async {
            let (version, metadata) = anew(|| self.put_once(secret, &write)).await?;
            let data = json!({ "version": version, "origin": write.origin });
            let info = metadata.info(secret).ok_or_else(|| {
                Error::conflict(format!("{secret} was removed as soon as it was written"))
                    .remedy("look at what it is now, and decide anew")
            })?;
            // As it was written, whatever others have written since.
            let mut versions = info.versions;
            versions.retain(|kept| kept.number <= version);
            let info = SecretInfo {
                version,
                versions,
                ..info
            };
            Ok((info, data))
        })
        .await
    }

    async fn get(&self, secret: &SecretRef, version: Option<u64>) -> Result<Option<Value>> {
        // To Vault, version 0 is the newest.
        if version == Some(0) {
            return Ok(None);
        }
        let path = self.secret_path("data", secret);
        let query: Vec<_> = version
            .map(|version| ("version", version.to_string()))
            .into_iter()
            .collect();
        let answer = self.client.call(Method::GET, &path, &query, None).await?;
        let Answer::Done(Wrapped { data: read }) = answer else {
            return Ok(None);
        };
        let Read { data, metadata } = read;
        let Some(data) = data else { return Ok(None) };
        Ok(Some(Value {
            version: metadata.version,
            written: metadata.created_time,
            value: value_in(data, secret)?,
        }))
    }

    async fn info(&self, secret: &SecretRef) -> Result<Option<SecretInfo>> {
        let metadata = self.metadata(secret).await?;
        Ok(metadata.and_then(|metadata| metadata.info(secret)))
    }

    async fn list(&self, team: &Name) -> Result<Vec<SecretInfo>> {
        let names = self.names(team).await?;
        let looks = stream::iter(names).map(async |name| {
            let team = team.clone();
            // One for all lists. Never closed.
            let _turn = self.looks.acquire().await;
            self.info(&SecretRef { team, name }).await
        });
        let found: Vec<_> = looks.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn delete(&self, by: &Caller, secret: &SecretRef, expected: Option<u64>) -> Result<bool> {
        let Some(metadata) = self.metadata(secret).await? else {
            return Ok(false);
        };
        let newest = metadata.info(secret).map_or(0, |info| info.version);
        require_version(secret, expected, newest)?;
        let words = ("secret.delete-asked", "secret.deleted");
        self.kept(by, secret, words, async {
            let path = self.secret_path("metadata", secret);
            let answer: Answer<Json> = self.client.call(Method::DELETE, &path, &[], None).await?;
            // Vault has no deletion that compares: a version written since goes as well.
            Ok((matches!(answer, Answer::Done(_)), json!({})))
        })
        .await
    }
}
