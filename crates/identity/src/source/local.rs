//! The local source: users and groups that are resources of the platform.

use std::{collections::BTreeMap, sync::Arc};

use argon2::{
    Params,
    password_hash::{CustomizedPasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use async_trait::async_trait;
use kernel::{Error, Result, Secret, Store, bytes::random};
use tokio::sync::{OnceCell, Semaphore};

use super::{Membership, SourceError, TeamSource, hasher::Hasher};
use crate::{
    clock::Clock,
    model::{LocalUser, local_id},
    state::Login,
    view::View,
};

/// The source's name, with which its subjects begin.
pub(crate) const LOCAL: &str = "local";
/// The name of a user's hashed password among its secrets.
pub(crate) const PASSWORD: &str = "password";
/// Hashes at once: each takes 19 MiB and some ten milliseconds of a core.
const AT_ONCE: usize = 2;
/// The longest password: hashing must not become work without end.
const LONGEST: usize = 1024;
/// The shortest password that is taken.
const SHORTEST: usize = 12;

/// Users and groups of the platform itself.
pub(crate) struct Local {
    store: Store,
    clock: Clock,
    view: Arc<View>,
    slots: Arc<Semaphore>,
    /// What the password of a user who does not exist is compared with: it takes as long.
    nobody: OnceCell<Secret>,
}

impl Local {
    pub(crate) fn new(store: Store, clock: Clock, view: Arc<View>) -> Self {
        Self {
            store,
            clock,
            view,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            nobody: OnceCell::new(),
        }
    }

    /// Hashes a password that somebody has chosen (Argon2id, with the parameters that OWASP names).
    pub(crate) async fn hash(&self, password: &Secret) -> Result<Secret> {
        let length = password.expose().len();
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(Error::invalid(format!(
                "a password has {SHORTEST} to {LONGEST} bytes, this one {length}"
            ))
            .remedy("choose another; several words are easy to remember"));
        }
        self.hash_any(password.clone()).await
    }

    async fn hash_any(&self, password: Secret) -> Result<Secret> {
        self.work(move || {
            let salt = random::<16>()?;
            let hash = Hasher
                .hash_password_with_params(password.expose(), &salt, Params::default())
                .map_err(|error| {
                    Error::internal("a password could not be hashed", error.to_string())
                })?;
            Ok(Secret::from(hash.to_string()))
        })
        .await
    }

    /// Whether `password` is that of the user `name`; takes as long where there is no such user.
    pub(crate) async fn verify(&self, name: &str, password: Secret) -> Result<Option<Login>> {
        let user = self.store.get::<LocalUser>("", name).await?;
        let user = user.filter(|user| !user.spec.disabled && !user.is_deleting());
        let kept = match &user {
            Some(user) => self.store.secret(user.meta.uid, PASSWORD).await?,
            None => None,
        };
        let exists = kept.is_some();
        let hash = match kept {
            Some(hash) => hash,
            None => self.nobody().await?,
        };
        let too_long = password.expose().len() > LONGEST;
        let good = self
            .work(move || {
                let text = hash.text()?;
                let hash = PasswordHash::new(text).map_err(|error| {
                    Error::internal("a kept password is not readable", error.to_string())
                })?;
                let password = if too_long { &[] } else { password.expose() };
                Ok(Hasher.verify_password(password, &hash).is_ok())
            })
            .await?;
        let Some(user) = user.filter(|_| good && exists && !too_long) else {
            return Ok(None);
        };
        let now = self.clock.now();
        self.view.current().await?;
        let id = local_id(name, user.status.before);
        let groups = self.view.known().local_groups(&id);
        Ok(groups.map(|groups| Login {
            group_ids: BTreeMap::new(),
            subject: format!("{LOCAL}:{id}"),
            name: name.to_owned(),
            email: user.spec.email,
            source: LOCAL.into(),
            groups,
            evaluated: now,
            // Its groups are asked for at each call.
            log_place: 0,
            at: now,
            logins: user.status.logins,
            upstream: None,
            browser: None,
            upstream_sid: None,
        }))
    }

    async fn nobody(&self) -> Result<Secret> {
        let make = || self.hash_any(Secret::from("nobody has this password"));
        self.nobody.get_or_try_init(make).await.cloned()
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = self.slots.clone().acquire_owned().await;
        let slot =
            slot.map_err(|error| Error::internal("passwords are no longer hashed", error))?;
        // Held by the work itself, which goes on where whoever asked has hung up.
        let work = move || {
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::internal("a password could not be hashed", error))?
    }
}

#[async_trait]
impl TeamSource for Local {
    async fn groups(&self, login: &Login, _: Option<&Secret>) -> Result<Membership, SourceError> {
        self.view.current().await.map_err(SourceError::Away)?;
        let groups = self.view.known().login_groups(login);
        match groups {
            Some(groups) => Ok(Membership {
                groups,
                ..Membership::default()
            }),
            None => Err(SourceError::Gone(format!(
                "the user `{}` may not log in any more",
                login.name
            ))),
        }
    }
}
