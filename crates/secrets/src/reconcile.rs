//! Keeps the newest key of every deploy credential in its team's secrets, and rotates it.
//!
//! Two keys of a credential are valid: the newest, which is what is kept, and the one before, so that a job
//! that began with it goes on. A rotation is three steps, and may be killed between any two: the key is drawn
//! and sealed beside the [`DeployCredential`] (*pending*), then identity takes it in, by its id, then it is
//! written to the team's secrets. Each step is done again until it is known to be done, and doing it
//! again changes nothing; until the last one the key of before is kept, and valid. Keys that are to end before
//! their time ([`DeployCredentialSpec::ending`]) end after the last one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use identity::model::{AccountKind, ServiceAccount};
use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, Event, Key, Kind, Meta, NewEvent, Next, Outcome, Reconciler, Resource,
    Result, Secret, reconciler::Context,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    model::{DeployCredential, DeployCredentialSpec, Origin, PendingKey, SecretRef, StoredKey},
    store::{SecretStore, Write},
};

/// A key that was drawn.
#[derive(Debug, Clone)]
pub struct DrawnKey {
    /// Names it.
    pub id: String,
    /// The key.
    pub secret: Secret,
}

/// The port to what knows deploy credentials.
#[async_trait]
pub trait DeployKeys: Send + Sync + 'static {
    /// Draws a key that nobody knows yet.
    fn draw(&self) -> Result<DrawnKey>;

    /// Makes `key` the newest of a service account; the one before it stays valid, and the one before that
    /// ends. The same again changes nothing.
    async fn take(&self, by: &Caller, team: &str, account: &str, key: &DrawnKey) -> Result<()>;

    /// Ends a key of a service account, by id, with its tokens. One that has ended already is as good.
    async fn end(&self, by: &Caller, team: &str, account: &str, key: &str) -> Result<()>;
}

/// How old a key gets.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);
/// So long before, the next one is drawn: what fails on the way has the time to be tried again.
const EARLY: Duration = Duration::from_hours(1);
/// For so long after a key was drawn it is not looked for where keys are kept: what answers may not have it yet, as
/// another node of the store.
const SETTLED: Duration = Duration::from_mins(1);
/// The name under which a pending key is sealed.
const PENDING: &str = "pending";

/// The reconciler of deploy credentials' keys.
pub struct DeployCredentials {
    values: Arc<dyn SecretStore>,
    keys: Arc<dyn DeployKeys>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl DeployCredentials {
    /// Keeps the keys of `keys` in `values`.
    pub fn new(values: Arc<dyn SecretStore>, keys: Arc<dyn DeployKeys>) -> Self {
        Self::with_clock(values, keys, Arc::new(Timestamp::now))
    }

    /// The same by another clock.
    pub fn with_clock(
        values: Arc<dyn SecretStore>,
        keys: Arc<dyn DeployKeys>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { values, keys, now }
    }
}

#[async_trait]
impl Reconciler for DeployCredentials {
    fn name(&self) -> &'static str {
        "deploy-credentials"
    }

    fn kind(&self) -> &'static str {
        ServiceAccount::KIND
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        let about =
            |key: &Key| [ServiceAccount::KIND, DeployCredential::KIND].contains(&&*key.kind);
        let key = event.subject_key().filter(about);
        key.map(|key| Key::of::<ServiceAccount>(key.scope, key.name))
            .into_iter()
            .collect()
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let store = &context.store;
        let (team, name) = (key.scope.as_str(), key.name.as_str());
        let account = store.get::<ServiceAccount>(team, name).await?;
        let account = account.filter(|account| account.spec.kind == AccountKind::Deploy);
        let credential = store.get::<DeployCredential>(team, name).await?;
        let look = Look {
            rotation: self,
            context,
            by: Caller::system(self.name(), Uuid::now_v7()),
        };
        match (account, credential) {
            (None, None) => Ok(Next::Idle),
            (None, Some(credential)) => look.forget(credential).await,
            (Some(account), None) => look.begin(account).await,
            // The account was made anew for another environment: the key of the former one is in that one's place.
            (Some(account), Some(credential))
                if environment_of(&account) != credential.spec.environment =>
            {
                look.forget(credential).await?;
                Ok(Next::After(Duration::ZERO))
            }
            (Some(account), Some(credential)) => look.keep(account, credential).await,
        }
    }
}

/// One look at one credential.
struct Look<'a> {
    rotation: &'a DeployCredentials,
    context: &'a Context,
    by: Caller,
}

impl Look<'_> {
    fn change(&self) -> Change {
        Change::new()
            .by(&self.by)
            .fenced(self.context.fence.clone())
    }

    async fn begin(&self, account: Resource<ServiceAccount>) -> Result<Next> {
        let (team, name) = (account.meta.scope.as_str(), account.meta.name.as_str());
        let spec = DeployCredentialSpec {
            environment: environment_of(&account).to_owned(),
            rotation: 0,
            ending: Vec::new(),
        };
        let mut credential = Resource::<DeployCredential>::new(team, name, spec);
        credential
            .meta
            .labels
            .insert(Meta::TEAM.into(), team.into());
        let mut change = self.change();
        // Not where it goes at the same moment: nothing would take this away again.
        change.require(&account)?;
        change.create(&credential)?;
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    async fn keep(
        &self,
        account: Resource<ServiceAccount>,
        credential: Resource<DeployCredential>,
    ) -> Result<Next> {
        if credential.status.pending.is_some() {
            return self.finish(credential).await;
        }
        let keys = account.status.keys.iter().map(|key| key.id.as_str());
        let (ending, going_on): (Vec<_>, Vec<_>) =
            keys.partition(|id| credential.spec.ending.iter().any(|one| one == id));
        if account.spec.disabled {
            // None of them is taken, the one that is kept neither.
            self.end(&account, &ending).await?;
            return Ok(Next::Idle);
        }
        let now = (self.rotation.now)();
        let status = &credential.status;
        if let Some(stored) = &status.stored
            && credential.spec.rotation <= status.rotation
            && going_on.contains(&stored.id.as_str())
        {
            self.end(&account, &ending).await?;
            let age = Duration::try_from(now.duration_since(stored.created));
            if age.unwrap_or_default() < SETTLED {
                return Ok(Next::After(SETTLED));
            }
            let due = stored.created.checked_add(LIFETIME.saturating_sub(EARLY));
            let left = due.unwrap_or(Timestamp::MAX).duration_since(now);
            if let Ok(left) = Duration::try_from(left)
                && !left.is_zero()
                && self.is_kept(&credential, stored).await?
            {
                return Ok(Next::After(left));
            }
        }
        let credential = self.draw(credential, now).await?;
        self.finish(credential).await
    }

    /// Whether the key that was kept last is still the newest value: values may be in another store since, or in
    /// one that was set back.
    async fn is_kept(
        &self,
        credential: &Resource<DeployCredential>,
        stored: &StoredKey,
    ) -> Result<bool> {
        let values = &self.rotation.values;
        let kept = values.info(&secret_of(credential)?).await?;
        Ok(kept.is_some_and(|kept| kept.version == stored.version))
    }

    async fn end(&self, account: &Resource<ServiceAccount>, keys: &[&str]) -> Result<()> {
        let (team, name) = (account.meta.scope.as_str(), account.meta.name.as_str());
        for key in keys {
            self.rotation.keys.end(&self.by, team, name, key).await?;
        }
        Ok(())
    }

    /// Draws a key, and keeps it before anybody else hears of it.
    async fn draw(
        &self,
        mut credential: Resource<DeployCredential>,
        now: Timestamp,
    ) -> Result<Resource<DeployCredential>> {
        // Where values are must answer first: the key that ends next may be the one that is kept there.
        self.rotation.values.info(&secret_of(&credential)?).await?;
        let drawn = self.rotation.keys.draw()?;
        credential.status.pending = Some(PendingKey {
            id: drawn.id,
            created: now,
            rotation: credential.spec.rotation,
        });
        let mut change = self.change();
        change.status(&credential)?;
        change.seal(credential.meta.uid, PENDING, drawn.secret);
        self.context.store.commit(change).await?;
        let (team, name) = (&credential.meta.scope, &credential.meta.name);
        self.context.store.expect(team, name).await
    }

    /// Has identity take the pending key in, then keeps it.
    async fn finish(&self, mut credential: Resource<DeployCredential>) -> Result<Next> {
        let Some(pending) = credential.status.pending.take() else {
            return Ok(Next::After(Duration::ZERO));
        };
        let sealed = self
            .context
            .store
            .secret(credential.meta.uid, PENDING)
            .await?;
        let drawn = DrawnKey {
            id: pending.id.clone(),
            secret: sealed.ok_or_else(|| {
                Error::internal(
                    "a pending key is not in the store",
                    credential.key().to_string(),
                )
            })?,
        };
        let (team, name) = (
            credential.meta.scope.as_str(),
            credential.meta.name.as_str(),
        );
        self.rotation
            .keys
            .take(&self.by, team, name, &drawn)
            .await?;
        let secret = secret_of(&credential)?;
        let version = self.written(&secret, &credential, &drawn).await?;
        let event = NewEvent::caused(
            "deploy-credential.rotated",
            credential.key(),
            team,
            &self.by,
            Some(Outcome::Pass),
            json!({ "key": pending.id, "secret": secret.to_string(), "version": version }),
        );
        credential.status.rotation = pending.rotation;
        credential.status.stored = Some(StoredKey {
            id: pending.id,
            created: pending.created,
            version,
        });
        let mut change = self.change();
        change.status(&credential)?;
        // There is one place for it, and that is not this one.
        change.seal(credential.meta.uid, PENDING, Secret::new([]));
        change.event(event);
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// Writes the key where it is not the newest value already; gives the version.
    async fn written(
        &self,
        secret: &SecretRef,
        credential: &Resource<DeployCredential>,
        drawn: &DrawnKey,
    ) -> Result<u64> {
        let values = &self.rotation.values;
        if let Some(newest) = values.get(secret, None).await?
            && kernel::secret::same(newest.value.expose(), drawn.secret.expose())
        {
            return Ok(newest.version);
        }
        let write = Write {
            value: drawn.secret.clone(),
            description: Some(format!(
                "key of service account {}/{}",
                credential.meta.scope, credential.meta.name
            )),
            origin: Origin::DeployCredential,
            expected: None,
        };
        Ok(values.put(&self.by, secret, write).await?.version)
    }

    /// The account has gone, and its keys with it: what is kept of it goes.
    async fn forget(&self, credential: Resource<DeployCredential>) -> Result<Next> {
        let secret = secret_of(&credential)?;
        self.rotation.values.delete(&self.by, &secret, None).await?;
        let mut change = self.change();
        change.remove(&credential)?;
        self.context.store.commit(change).await?;
        Ok(Next::Idle)
    }
}

/// The environment that an account deploys to.
fn environment_of(account: &Resource<ServiceAccount>) -> &str {
    account.spec.environment.as_deref().unwrap_or_default()
}

/// Where a credential's key is kept.
fn secret_of(credential: &Resource<DeployCredential>) -> Result<SecretRef> {
    credential
        .spec
        .secret(&credential.meta.scope, &credential.meta.name)
}
