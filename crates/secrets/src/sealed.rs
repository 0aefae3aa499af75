//! Values in the platform's own store, sealed by its key.

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, Meta, Name, NewEvent, Outcome, Query, Resource, Result, Store, anew,
};
use serde_json::json;

use crate::{
    model::{SecretInfo, SecretRef, TeamSecret, TeamSecretSpec, Version},
    store::{SecretStore, Value, Write, require_version},
};

/// Secrets as resources of the platform's store, each version sealed beside it.
#[derive(Clone)]
pub struct Sealed {
    store: Store,
}

impl Sealed {
    /// Secrets in `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn found(&self, secret: &SecretRef) -> Result<Option<Resource<TeamSecret>>> {
        self.store
            .get(secret.team.as_str(), secret.name.as_str())
            .await
    }

    async fn put_once(&self, by: &Caller, secret: &SecretRef, write: &Write) -> Result<SecretInfo> {
        let mut resource = self.found(secret).await?.unwrap_or_else(|| {
            let spec = TeamSecretSpec::default();
            Resource::new(secret.team.as_str(), secret.name.as_str(), spec)
        });
        let newest = newest(&resource);
        require_version(secret, write.expected, newest)?;
        let number = newest + 1;
        if let Some(description) = &write.description {
            resource.spec.description.clone_from(description);
        }
        resource.spec.origin = write.origin;
        let versions = &mut resource.status.versions;
        versions.insert(
            0,
            Version {
                number,
                created: Timestamp::now(),
                by: Some(by.subject.clone()),
            },
        );
        versions.truncate(SecretInfo::KEPT as usize);
        resource
            .meta
            .labels
            .insert(Meta::TEAM.into(), secret.team.to_string());
        let mut change = Change::new().by(by);
        change.put(&resource)?;
        // In the place of the version that is not kept any more.
        change.seal(resource.meta.uid, slot(number), write.value.clone());
        change.event(NewEvent::caused(
            "secret.written",
            resource.key(),
            secret.team.as_str(),
            by,
            Some(Outcome::Pass),
            json!({ "version": number, "origin": write.origin }),
        ));
        self.store.commit(change).await?;
        Ok(info(&resource))
    }
}

fn newest(resource: &Resource<TeamSecret>) -> u64 {
    resource.status.versions.first().map_or(0, |v| v.number)
}

/// The name under which a version's value is sealed.
fn slot(version: u64) -> String {
    format!("value-{}", version % SecretInfo::KEPT)
}

fn info(resource: &Resource<TeamSecret>) -> SecretInfo {
    let Resource { meta, spec, status } = resource;
    SecretInfo {
        team: meta.scope.clone(),
        name: meta.name.clone(),
        reference: format!("{}{}/{}", SecretRef::SCHEME, meta.scope, meta.name),
        description: spec.description.clone(),
        origin: spec.origin,
        version: newest(resource),
        versions: status.versions.clone(),
    }
}

#[async_trait]
impl SecretStore for Sealed {
    fn name(&self) -> &'static str {
        "sealed"
    }

    async fn put(&self, by: &Caller, secret: &SecretRef, write: Write) -> Result<SecretInfo> {
        anew(|| self.put_once(by, secret, &write)).await
    }

    async fn get(&self, secret: &SecretRef, version: Option<u64>) -> Result<Option<Value>> {
        anew(|| async {
            let Some(resource) = self.found(secret).await? else {
                return Ok(None);
            };
            let wanted = version.unwrap_or_else(|| newest(&resource));
            let versions = &resource.status.versions;
            let Some(kept) = versions.iter().find(|v| v.number == wanted) else {
                return Ok(None);
            };
            let value = self
                .store
                .secret(resource.meta.uid, &slot(wanted))
                .await?
                .ok_or_else(|| {
                    Error::internal(
                        "a secret's value is not in the store",
                        format!("{} version {wanted}", resource.key()),
                    )
                });
            // Read in two steps: a version may have been written, or the secret removed, in between.
            match self.found(secret).await? {
                Some(now) if now.meta.revision == resource.meta.revision => Ok(Some(Value {
                    version: wanted,
                    written: kept.created,
                    value: value?,
                })),
                _ => Err(Error::conflict("the secret is being written")
                    .remedy("try again in a moment")
                    .overtaken()),
            }
        })
        .await
    }

    async fn info(&self, secret: &SecretRef) -> Result<Option<SecretInfo>> {
        Ok(self.found(secret).await?.as_ref().map(info))
    }

    async fn list(&self, team: &Name) -> Result<Vec<SecretInfo>> {
        let all = self
            .store
            .list_all::<TeamSecret>(&Query::scope(team.as_str()))
            .await?;
        Ok(all.iter().map(info).collect())
    }

    async fn delete(&self, by: &Caller, secret: &SecretRef, expected: Option<u64>) -> Result<bool> {
        anew(|| async {
            let Some(resource) = self.found(secret).await? else {
                return Ok(false);
            };
            require_version(secret, expected, newest(&resource))?;
            let mut change = Change::new().by(by);
            change.remove(&resource)?;
            change.event(NewEvent::caused(
                "secret.deleted",
                resource.key(),
                secret.team.as_str(),
                by,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await?;
            Ok(true)
        })
        .await
    }
}
