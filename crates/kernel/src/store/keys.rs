//! Which keys the store's secrets are sealed by, and sealing them by another.
//!
//! The table `platform` names every key that has sealed something (`key/<id>`): a store opens only where all
//! of them are given. A transaction that seals names its key there, and a key goes from there in the
//! transaction that finds nothing sealed by it any more. How replicas come to seal by another: `key_change`.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Store, document, idempotency,
    key_change::{self, KeyChange},
    record,
    sql::{Connection, Row, args},
    work::{Transaction, Work},
};
use crate::{
    Error, Result, Sealer, Secret,
    sealer::{KeyId, Keys},
};

/// What a key's row in `platform` begins with.
const PREFIX: &str = "key/";
/// A secret of the platform's that shows whether a key is right.
const PROOF: &str = "platform-key";
/// Secrets that are sealed anew in one transaction: others wait for it.
const BATCH: i64 = 100;

/// By which keys the store's secrets are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedBy {
    /// The key that this process seals with.
    #[schema(value_type = String)]
    pub current: KeyId,
    /// Other keys that are still needed.
    #[schema(value_type = Vec<String>)]
    pub former: Vec<KeyId>,
    /// Secrets that there are.
    pub secrets: i64,
    /// Those that another key than the current one has sealed.
    pub remaining: i64,
    /// A change of the key that all replicas take part in, until the former key is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<KeyChange>,
}

/// Seals `secret` in a transaction, which keeps that the key is in use.
pub(super) async fn seal(
    tx: &mut Transaction<'_>,
    owner: Uuid,
    name: &str,
    secret: &Secret,
) -> Result<Vec<u8>> {
    sealing(tx).await?.seal(owner, name, secret)
}

/// The keys that a transaction seals with, which keeps that the current one is in use. They are of one moment: the key
/// that seals is the one that is noted. One that was retired meanwhile gives way to its successor.
async fn sealing(tx: &mut Transaction<'_>) -> Result<Arc<Keys>> {
    let mut keys = tx.sealer.now();
    let current = keys.current();
    let (used, retired) = (format!("{PREFIX}{current}"), key_change::retired(&current));
    // In one statement: every secret that is written waits for it.
    let rows = tx
        .connection
        .all(
            "SELECT name FROM platform WHERE name IN ($1, $2)",
            args![used.as_str(), retired.as_str()],
        )
        .await?;
    let mut is_noted = false;
    for row in &rows {
        let name = row.text(0)?;
        is_noted |= name == used;
        if name == retired {
            key_change::leave_retired(tx).await?;
            keys = tx.sealer.now();
        }
    }
    let now = keys.current();
    if !is_noted || now != current {
        note(tx.connection, &now).await?;
    }
    Ok(keys)
}

/// Takes in a transaction what was sealed before it by the key `by`, and keeps that the key is in use. Where the platform
/// has turned to another key since, it is sealed by that one.
pub(super) async fn take_sealed(
    tx: &mut Transaction<'_>,
    owner: Uuid,
    name: &str,
    sealed: Vec<u8>,
    by: &KeyId,
) -> Result<Vec<u8>> {
    let keys = sealing(tx).await?;
    if keys.current() == *by {
        Ok(sealed)
    } else {
        keys.reseal(owner, name, &sealed)
    }
}

async fn note(connection: &mut Connection, key: &KeyId) -> Result<()> {
    connection
        .execute(
            "INSERT INTO platform (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING",
            args![format!("{PREFIX}{key}")],
        )
        .await
        .map(drop)
}

/// The keys that something is sealed by.
pub(super) async fn noted(connection: &mut Connection) -> Result<Vec<KeyId>> {
    let rows = connection
        .all(
            "SELECT name FROM platform WHERE substr(name, 1, 4) = $1 ORDER BY name",
            args![PREFIX],
        )
        .await?;
    let ids = rows.iter().map(|row| {
        let name = row.text(0)?;
        Ok(KeyId::from_text(name.strip_prefix(PREFIX).unwrap_or(&name)))
    });
    ids.collect()
}

/// Fails where a secret of the store may not open; `platform` is the platform's id.
pub(super) async fn check(
    connection: &mut Connection,
    sealer: &Sealer,
    platform: Uuid,
) -> Result<()> {
    let sealed = proof(connection, sealer, platform).await?;
    let used = noted(connection).await?;
    let known = sealer.known();
    if let Some(missing) = used.iter().find(|id| !known.contains(id)) {
        return Err(missing_key(missing));
    }
    let by = sealer.sealed_by(platform, PROOF, &sealed).map_err(|error| {
        Error::forbidden("the platform's key is not the one that the store is sealed with")
            .remedy(
                "restore platform.key (or TOWPATH_PLATFORM_KEY), give the former key too, or start with a new data \
                 directory",
            )
            .caused_by(error)
    })?;
    if used.is_empty() {
        // Before keys had ids one had sealed everything: the one that has sealed the proof.
        note(connection, &by).await?;
    }
    Ok(())
}

/// The sealed proof, made where the store is new.
async fn proof(connection: &mut Connection, sealer: &Sealer, platform: Uuid) -> Result<Vec<u8>> {
    connection
        .execute(
            "INSERT INTO secret (owner, name, sealed) VALUES ($1, $2, $3)
             ON CONFLICT (owner, name) DO NOTHING",
            args![
                platform.to_string(),
                PROOF,
                sealer.seal(platform, PROOF, &Secret::from(PROOF))?
            ],
        )
        .await?;
    let row = connection
        .first(
            "SELECT sealed FROM secret WHERE owner = $1 AND name = $2",
            args![platform.to_string(), PROOF],
        )
        .await?;
    let missing = || Error::internal("the store could not be made", "it has no proof of its key");
    row.ok_or_else(missing)?.bytes(0)
}

/// That the store does not open without the key `id`.
pub(super) fn missing_key(id: &KeyId) -> Error {
    Error::forbidden(format!(
        "the platform's key is not the one that the store is sealed with: key {id} is needed, too"
    ))
    .remedy(
        "give it as the platform's key, or beside it with --former-key-file until `towpath rekey` has \
         sealed everything by the new one",
    )
}

/// A table with sealed values: the two columns of its key, and what stands for a row's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Secret,
    Record,
    Answer,
}

impl Table {
    const ALL: [Self; 3] = [Self::Secret, Self::Record, Self::Answer];

    const fn after(self) -> &'static str {
        match self {
            Self::Secret => {
                "SELECT owner, name, sealed FROM secret
                 WHERE (owner, name) > ($1, $2) AND substr(sealed, 1, 9) <> $3
                 ORDER BY owner, name LIMIT $4"
            }
            Self::Record => {
                "SELECT kind, name, sealed FROM record
                 WHERE (kind, name) > ($1, $2) AND substr(sealed, 1, 9) <> $3
                 ORDER BY kind, name LIMIT $4"
            }
            Self::Answer => {
                "SELECT caller, name, sealed FROM idempotency
                 WHERE (caller, name) > ($1, $2) AND substr(sealed, 1, 9) <> $3
                 ORDER BY caller, name LIMIT $4"
            }
        }
    }

    const fn update(self) -> &'static str {
        match self {
            Self::Secret => "UPDATE secret SET sealed = $3 WHERE owner = $1 AND name = $2",
            Self::Record => "UPDATE record SET sealed = $3 WHERE kind = $1 AND name = $2",
            Self::Answer => "UPDATE idempotency SET sealed = $3 WHERE caller = $1 AND name = $2",
        }
    }

    const fn count(self) -> &'static str {
        match self {
            Self::Secret => {
                "SELECT COUNT(*), COUNT(CASE WHEN substr(sealed, 1, 9) <> $1 THEN 1 END) FROM secret"
            }
            Self::Record => {
                "SELECT COUNT(*), COUNT(CASE WHEN substr(sealed, 1, 9) <> $1 THEN 1 END) FROM record"
            }
            Self::Answer => {
                "SELECT COUNT(sealed), COUNT(CASE WHEN substr(sealed, 1, 9) <> $1 THEN 1 END)
                 FROM idempotency"
            }
        }
    }

    /// Owner and name that a row's value is bound to.
    fn place(self, platform: Uuid, first: &str, second: &str) -> Result<(Uuid, String)> {
        Ok(match self {
            Self::Secret => (document::parsed(first)?, second.to_owned()),
            Self::Record => (platform, record::place(first, second)),
            Self::Answer => (platform, idempotency::place(first, second)),
        })
    }
}

/// Where sealing anew has come to: everything before it is done. Only ever in memory, since what is done
/// shows by itself.
#[derive(Debug, Clone)]
pub struct Progress {
    table: usize,
    after: (String, String),
}

impl Progress {
    fn begin() -> Self {
        Self::table(0)
    }

    fn table(table: usize) -> Self {
        Self {
            table,
            after: (String::new(), String::new()),
        }
    }
}

impl Store {
    /// The key that this process seals with.
    pub fn sealing_key(&self) -> KeyId {
        self.inner.sealer.current()
    }

    /// By which keys the secrets are sealed. Counts them all: not for often.
    pub async fn sealed_by(&self) -> Result<SealedBy> {
        let keys = self.inner.sealer.now();
        let mark = keys.mark();
        let (mut secrets, mut remaining) = (0, 0);
        for table in Table::ALL {
            let row = self
                .inner
                .readers
                .first(table.count(), args![mark.clone()])
                .await?;
            if let Some(row) = row {
                secrets += row.int(0)?;
                remaining += row.int(1)?;
            }
        }
        let rows = self
            .inner
            .readers
            .all(
                "SELECT name FROM platform WHERE substr(name, 1, 4) = $1 ORDER BY name",
                args![PREFIX],
            )
            .await?;
        let current = keys.current();
        let mut former = Vec::new();
        for row in rows {
            let name = row.text(0)?;
            let id = KeyId::from_text(name.strip_prefix(PREFIX).unwrap_or(&name));
            if id != current {
                former.push(id);
            }
        }
        Ok(SealedBy {
            current,
            former,
            secrets,
            remaining,
            change: self.key_change().await?,
        })
    }

    /// Seals some more of the secrets by the current key, from where the last call has come to; none: all
    /// are, and no other key is needed any more. May be broken off anywhere, begun anew, and done by several
    /// replicas at once: others read and write all the while.
    pub async fn reseal(&self, progress: Option<Progress>) -> Result<Option<Progress>> {
        self.write(Reseal(progress.unwrap_or_else(Progress::begin)))
            .await
    }
}

struct Reseal(Progress);

#[async_trait]
impl Work for Reseal {
    type Output = Option<Progress>;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Option<Progress>> {
        let Progress { table: at, after } = self.0;
        key_change::leave_retired(tx).await?;
        let Some(table) = Table::ALL.get(at).copied() else {
            return finish(tx).await;
        };
        let keys = tx.sealer.now();
        let mark = keys.mark();
        let rows: Vec<Row> = tx
            .connection
            .all(table.after(), args![after.0, after.1, mark, BATCH])
            .await?;
        let mut last = None;
        for row in &rows {
            let (first, second) = (row.text(0)?, row.text(1)?);
            let (owner, name) = table.place(tx.platform, &first, &second)?;
            let sealed = keys.reseal(owner, &name, &row.bytes(2)?)?;
            tx.connection
                .execute(
                    table.update(),
                    args![first.as_str(), second.as_str(), sealed],
                )
                .await?;
            last = Some((first, second));
        }
        if last.is_some() {
            note(tx.connection, &keys.current()).await?;
        }
        Ok(Some(match last {
            Some(after) => Progress { table: at, after },
            None => Progress::table(at + 1),
        }))
    }
}

/// Lets go of the other keys where nothing is sealed by them; else begins anew.
async fn finish(tx: &mut Transaction<'_>) -> Result<Option<Progress>> {
    let keys = tx.sealer.now();
    let mark = keys.mark();
    for table in Table::ALL {
        let rows = tx
            .connection
            .all(table.count(), args![mark.clone()])
            .await?;
        if rows.first().map_or(Ok(0), |row| row.int(1))? > 0 {
            return Ok(Some(Progress::begin()));
        }
    }
    let current = keys.current();
    tx.connection
        .execute(
            "DELETE FROM platform WHERE substr(name, 1, 4) = $1 AND name <> $2",
            args![PREFIX, format!("{PREFIX}{current}")],
        )
        .await?;
    Ok(None)
}
