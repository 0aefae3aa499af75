//! Rotation of all that lies below a path: of each is said what became of it, and one that fails holds up
//! no other. Asked again, it goes on with what it did not get to.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, ErrorKind, NewEvent, Record, Resource, Result, Transient, anew,
    anew_counted,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{GENERATED, ROTATE, Secrets, USUAL, draw, target};
use crate::{
    api::{RotatedSecret, RotatedSecrets, Rotation},
    model::{DeployCredential, Origin, SecretInfo, SecretRef},
    store::Write,
};

/// How long a rotation that was not finished is gone on with: until then what it has rotated is not rotated
/// again. Later, those who use the secrets have seen the new values, and everything is rotated anew.
const GOES_ON: Duration = Duration::from_hours(24);

/// A rotation that has begun and is not finished. Named by team and path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Unfinished {
    /// The newest version of each secret when it came to the rotation, by name.
    versions: BTreeMap<String, u64>,
}

impl Transient for Unfinished {
    const KIND: &'static str = "secret-rotation";
}

impl Secrets {
    /// Gives all secrets that are `path` or lie below it new values, where the platform draws them. Others
    /// are named, and stay. Where it was begun before and not finished, what has a new value since is named
    /// as well, and not rotated again.
    ///
    /// # Errors
    /// Where there is no secret at `path`; where the caller may not rotate all of them, and nothing is
    /// rotated then; where none of them could be rotated, with why for each. Where some could, those that
    /// could not are items of the answer.
    pub async fn rotate(&self, caller: &Caller, team: &str, path: &str) -> Result<RotatedSecrets> {
        // Whoever may not is refused in the trail, though they see none of them.
        self.guard
            .require(caller, ROTATE, &target(team, path))
            .await?;
        let found = self.below(caller, team, path).await?;
        if found.is_empty() {
            return Err(Error::not_found(format!(
                "a secret of team `{team}` at `{}`",
                path.escape_debug()
            ))
            .remedy(format!(
                "`towpath secret list --team {team}` lists those that do"
            )));
        }
        let mut secrets = Vec::new();
        for info in found {
            let secret = SecretRef::new(team, &info.name)?;
            // All may be rotated, or none is.
            self.require(caller, ROTATE, &secret).await?;
            secrets.push((secret, info));
        }
        // Before the first: killed in between, it is known which had which version.
        let begun = self.begin(team, path, &secrets).await?;
        let (mut items, mut errors) = (Vec::new(), Vec::new());
        for (secret, info) in secrets {
            let before = begun.get(&info.name).copied();
            if before.is_some_and(|before| info.version > before) && info.origin != Origin::Written
            {
                items.push(item(Rotation::Already, info));
                continue;
            }
            match self
                .rotate_since(caller, &secret, info.clone(), before)
                .await
            {
                Ok(rotated) => items.push(rotated),
                Err(error) => {
                    tracing::warn!(%secret, error = error.chain(), "a secret was not rotated");
                    items.push(RotatedSecret {
                        reason: Some(reason(&error)),
                        ..item(Rotation::Failed, info)
                    });
                    errors.push(error);
                }
            }
        }
        if errors.is_empty() {
            self.finish(team, path).await?;
        }
        match errors.into_iter().next() {
            Some(first) if items.iter().all(|item| item.rotation == Rotation::Failed) => {
                Err(none(first, &items))
            }
            _ => Ok(RotatedSecrets { items }),
        }
    }

    /// Keeps which versions the secrets have at the beginning, those of a beginning that was not finished
    /// before them; gives them.
    async fn begin(
        &self,
        team: &str,
        path: &str,
        secrets: &[(SecretRef, SecretInfo)],
    ) -> Result<BTreeMap<String, u64>> {
        anew(|| async {
            let now = Timestamp::now();
            let found = self.store.record::<Unfinished>(&called(team, path)).await?;
            let fresh = || Record::new(called(team, path), now, Unfinished::default());
            let mut record = found.unwrap_or_else(fresh);
            if record.expires <= now {
                record.value = Unfinished::default();
            }
            let known = &mut record.value.versions;
            // One that is gone, and made anew under its name, begins its versions anew.
            known.retain(|name, version| {
                let mut all = secrets.iter();
                all.any(|(_, info)| info.name == *name && info.version >= *version)
            });
            for (_, info) in secrets {
                known.entry(info.name.clone()).or_insert(info.version);
            }
            record.expires = now + GOES_ON;
            let mut change = Change::new();
            change.keep(&record)?;
            self.store.commit(change).await?;
            Ok(record.value.versions)
        })
        .await
    }

    /// The next one is another rotation.
    async fn finish(&self, team: &str, path: &str) -> Result<()> {
        anew(|| async {
            let found = self.store.record::<Unfinished>(&called(team, path)).await?;
            let Some(record) = found else {
                return Ok(());
            };
            let mut change = Change::new();
            change.take(&record);
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Writes what is asked of a deploy credential's keys, and says so.
    pub(super) async fn key_asked_for(
        &self,
        caller: &Caller,
        credential: &Resource<DeployCredential>,
        data: Value,
    ) -> Result<()> {
        let mut change = Change::new().by(caller);
        change.spec(credential)?;
        change.event(NewEvent::caused(
            "deploy-credential.rotation-requested",
            credential.key(),
            &credential.meta.scope,
            caller,
            None,
            data,
        ));
        self.store.commit(change).await.map(drop)
    }

    /// Asks for another key of a deploy credential: its reconciler draws it. Where one is asked for already,
    /// that is the one.
    async fn ask_for_key(&self, caller: &Caller, secret: &SecretRef) -> Result<()> {
        let team = secret.team.as_str();
        let account = secret.name.as_str().rsplit('/').next().unwrap_or_default();
        anew(|| async {
            let mut credential = self.store.expect::<DeployCredential>(team, account).await?;
            if credential.spec.rotation > credential.status.rotation {
                return Ok(());
            }
            credential.spec.rotation += 1;
            let data = json!({ "secret": secret.to_string() });
            self.key_asked_for(caller, &credential, data).await
        })
        .await
    }

    /// Rotates a secret, unless somebody else has since it was as `info` says: where its version is newer than
    /// `before`, that is as good.
    pub(super) async fn rotate_since(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        info: SecretInfo,
        before: Option<u64>,
    ) -> Result<RotatedSecret> {
        let info = &info;
        anew_counted(|overtaken| async move {
            let info = match overtaken {
                0 => info.clone(),
                _ => self.known(secret).await?,
            };
            if overtaken > 0 && before.is_some_and(|before| info.version > before) {
                return Ok(item(Rotation::Already, info));
            }
            self.rotate_one(caller, secret, info).await
        })
        .await
    }

    async fn rotate_one(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        info: SecretInfo,
    ) -> Result<RotatedSecret> {
        let (rotation, secret) = match info.origin {
            Origin::Written => (Rotation::Written, info),
            Origin::DeployCredential => {
                self.ask_for_key(caller, secret).await?;
                (Rotation::Asked, info)
            }
            Origin::Generated => {
                let length = self.values.get(secret, None).await?.map_or(USUAL, |now| {
                    // As long as the one before: 4 letters for 3 bytes.
                    (now.value.expose().len() * 3 / 4).clamp(*GENERATED.start(), *GENERATED.end())
                });
                let write = Write {
                    value: draw(length)?,
                    description: None,
                    origin: Origin::Generated,
                    expected: Some(info.version),
                };
                let written = self.values.put(caller, secret, write).await;
                // The version is the one that was read here, and no caller's.
                let written = written.map_err(|error| match error.kind {
                    ErrorKind::Conflict => error.overtaken(),
                    _ => error,
                });
                (Rotation::Rotated, written?)
            }
        };
        Ok(item(rotation, secret))
    }
}

/// What a rotation's record is called. No team's name has a `/`.
fn called(team: &str, path: &str) -> String {
    format!("{team}/{path}")
}

pub(super) fn item(rotation: Rotation, secret: SecretInfo) -> RotatedSecret {
    RotatedSecret {
        rotation,
        reason: None,
        secret,
    }
}

/// Why one was not rotated, for whoever asked: of a fault of ours nothing of the inside.
fn reason(error: &Error) -> String {
    if error.kind == ErrorKind::Internal {
        return "the platform failed; its log says why".into();
    }
    match &error.remedy {
        Some(remedy) => format!("{}: {remedy}", error.message),
        None => error.message.clone(),
    }
}

/// That none was rotated: as the first of them failed.
fn none(first: Error, items: &[RotatedSecret]) -> Error {
    let said: Vec<_> = items
        .iter()
        .filter_map(|item| Some(format!("`{}`: {}", item.secret.name, item.reason.as_ref()?)))
        .collect();
    let message = format!("no secret was rotated: {}", said.join("; "));
    Error::new(first.kind, message)
        .remedy("ask again: what has a new value by then is not rotated twice")
        .caused_by(first)
}
