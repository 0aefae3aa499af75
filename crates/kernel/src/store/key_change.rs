//! A change of the platform's key that all replicas take part in while they run.
//!
//! The table `platform` holds what they agree by: the change (`key-change`), with the next and the former key each
//! sealed by the other, so that a store opens with either; a row for each replica (`replica/<id>`), with the time until
//! which it counts as alive and what it is ready for; and for each key that was changed in this way the one that
//! follows it (`retired/<id>`). A transaction that would seal by a retired key seals by its successor: however
//! late a replica learns of a change, nothing is sealed by a key that the others have let go of.
//!
//! All of it is read and written by transactions that the log's lock puts in a row, and needs no order but theirs.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Store, keys,
    sql::{Connection, Row, args},
    work::{Transaction, Work},
};
use crate::{
    Error, Result, Sealer,
    sealer::{KeyId, PlatformKey},
};

const CHANGE: &str = "key-change";
const REPLICA: &str = "replica/";
const RETIRED: &str = "retired/";

/// A change of the platform's key, until the former one is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    /// The new key.
    #[schema(value_type = String)]
    pub key: KeyId,
    /// The one before.
    #[schema(value_type = String)]
    pub former: KeyId,
    /// When it was announced.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Whether everything is sealed by the new key from now on: all replicas can open by it.
    pub in_use: bool,
    /// Whether nothing is sealed by the former key any more. It is kept until every replica starts with the new one.
    pub done: bool,
    /// The replicas that take part.
    pub replicas: Vec<KeyHolder>,
}

/// A replica that takes part in a change of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyHolder {
    /// What people know it by: machine and process.
    pub name: String,
    /// Whether it was there a moment ago.
    pub alive: bool,
    /// Whether it can open by the new key, also after it is killed.
    pub ready: bool,
    /// Whether its next start has the new key without the store's help.
    pub keeps: bool,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a replica says of itself.
#[derive(Debug, Clone)]
pub struct Attendance {
    /// This process, and no other.
    pub replica: Uuid,
    /// What people know it by.
    pub name: String,
    /// Where it runs, and will again after a kill: who is dead there is not waited for.
    pub place: String,
    /// The announced key that it is ready for.
    pub ready: Option<KeyId>,
    /// The key that its next start has.
    pub keeps: KeyId,
    /// Why it is not ready for the announced key.
    pub reason: Option<String>,
    /// How long it counts as alive, from now.
    pub ttl: Duration,
}

/// The change as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    key: KeyId,
    former: KeyId,
    since: Timestamp,
    in_use: bool,
    /// `key` sealed by `former`, in base64.
    next_sealed: String,
    /// And the other way round.
    former_sealed: String,
}

/// A replica as it is stored.
#[derive(Serialize, Deserialize)]
struct Replica {
    name: String,
    place: String,
    /// The key that it seals by.
    seals: KeyId,
    ready: Option<KeyId>,
    keeps: KeyId,
    reason: Option<String>,
    /// By the database's clock.
    expires: i64,
}

impl Replica {
    fn is_alive(&self, now: i64) -> bool {
        self.expires > now
    }
}

impl Stored {
    fn told(self, replicas: Vec<Replica>, now: i64, done: bool) -> KeyChange {
        let holder = |replica: Replica| KeyHolder {
            alive: replica.is_alive(now),
            ready: replica.ready.as_ref() == Some(&self.key),
            keeps: replica.keeps == self.key,
            reason: replica.reason,
            name: replica.name,
        };
        KeyChange {
            replicas: replicas.into_iter().map(holder).collect(),
            done: self.in_use && done,
            in_use: self.in_use,
            since: self.since,
            key: self.key,
            former: self.former,
        }
    }
}

impl Store {
    /// Says that a replica is there and what it is ready for, and takes part in a change of the key as far as it has
    /// come: from the answer on this store opens by both keys, and seals by the new one where that is in use. It is
    /// put to use here where this is the last replica that was waited for.
    ///
    /// Fails with `Forbidden` where the key has been changed while the replica was away, and is not to be had any more.
    pub async fn attend(&self, attendance: Attendance) -> Result<Option<KeyChange>> {
        self.write(Attend(attendance)).await
    }

    /// Says that a replica ends in order: nobody waits for it.
    pub async fn leave(&self, replica: Uuid) -> Result<()> {
        self.write(Leave(replica)).await
    }

    /// The change of the key that is under way, or done and not yet forgotten.
    pub async fn key_change(&self) -> Result<Option<KeyChange>> {
        let readers = &self.inner.readers;
        let sql = format!(
            "SELECT name, value, {} FROM platform
             WHERE name = $1 OR substr(name, 1, 8) = $2 OR substr(name, 1, 4) = $3",
            readers.clock()
        );
        // In one statement: what it says holds together.
        let rows = readers.all(&sql, args![CHANGE, REPLICA, "key/"]).await?;
        let (mut stored, mut replicas, mut noted, mut now) = (None, Vec::new(), Vec::new(), 0);
        for row in &rows {
            let name = row.text(0)?;
            now = row.int(2)?;
            if name == CHANGE {
                stored = Some(read::<Stored>(&row.text(1)?)?);
            } else if name.starts_with(REPLICA) {
                replicas.push(read::<Replica>(&row.text(1)?)?);
            } else {
                noted.push(name);
            }
        }
        Ok(stored.map(|stored| {
            let former = format!("key/{}", stored.former);
            stored.told(replicas, now, !noted.contains(&former))
        }))
    }
}

struct Attend(Attendance);

#[async_trait]
impl Work for Attend {
    type Output = Option<KeyChange>;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Option<KeyChange>> {
        let Attendance {
            replica,
            name,
            place,
            ready,
            keeps,
            reason,
            ttl,
        } = self.0;
        let stored = adopt(tx.connection, tx.sealer, tx.platform).await?;
        let now = tx.connection.now().await?;
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2);
        let mut own = Replica {
            name,
            place,
            seals: tx.sealer.current(),
            ready,
            keeps,
            reason,
            expires: now.saturating_add(ttl),
        };
        let row = format!("{REPLICA}{replica}");
        put(tx.connection, &row, &own).await?;
        let Some(mut stored) = stored else {
            forget_dead(tx.connection, now).await?;
            return Ok(None);
        };
        let mut found = Vec::new();
        for (of, one) in replicas(tx.connection).await? {
            if of == row || one.is_alive(now) || one.place != own.place {
                found.push(one);
            } else {
                remove(tx.connection, &of).await?;
            }
        }
        let is_ready = |one: &Replica| one.ready.as_ref() == Some(&stored.key);
        if !stored.in_use && found.iter().all(|one| is_ready(one) || !one.is_alive(now)) {
            stored.in_use = true;
            put(tx.connection, CHANGE, &stored).await?;
            let retired = retired(&stored.former);
            put_text(tx.connection, &retired, stored.key.as_str()).await?;
            leave_retired(tx).await?;
            own.seals = tx.sealer.current();
            put(tx.connection, &row, &own).await?;
        }
        let done = is_done(tx.connection, &stored).await?;
        Ok(Some(stored.told(found, now, done)))
    }
}

struct Leave(Uuid);

#[async_trait]
impl Work for Leave {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        remove(tx.connection, &format!("{REPLICA}{}", self.0)).await
    }
}

/// Begins a change to `key`; nothing, where it is the one that is under way.
pub(super) async fn announce(tx: &mut Transaction<'_>, key: &PlatformKey) -> Result<()> {
    let id = key.id();
    if let Some(open) = stored(tx.connection).await? {
        if open.key == id {
            return Ok(());
        }
        let done = is_done(tx.connection, &open).await?;
        return Err(under_way(&open, done));
    }
    leave_retired(tx).await?;
    let current = tx.sealer.current();
    if id == current || successor(tx.connection, &id).await?.is_some() {
        let message = format!("key {id} is, or was, the platform's key already");
        return Err(Error::invalid(message).remedy("give another, or have one drawn"));
    }
    if keys::noted(tx.connection).await? != [current.clone()] {
        let message = "something is still sealed by a former key";
        return Err(Error::conflict(message)
            .remedy("call `towpath rekey`, and ask again when that is done"));
    }
    let now = tx.connection.now().await?;
    forget_dead(tx.connection, now).await?;
    for (_, replica) in replicas(tx.connection).await? {
        if replica.seals != current {
            return Err(Error::conflict(format!(
                "the replica {} seals by another key, {}",
                replica.name, replica.seals
            ))
            .remedy("start all replicas with the same key, and ask again"));
        }
    }
    let [next_sealed, former_sealed] = tx
        .sealer
        .hand_over(tx.platform, key)?
        .map(|sealed| STANDARD.encode(sealed));
    let stored = Stored {
        key: id,
        former: current,
        since: Timestamp::now(),
        in_use: false,
        next_sealed,
        former_sealed,
    };
    put(tx.connection, CHANGE, &stored).await
}

/// Ends a change that is done.
pub(super) async fn forget(tx: &mut Transaction<'_>) -> Result<()> {
    let Some(open) = stored(tx.connection).await? else {
        return Err(Error::conflict("the store keeps no former key"));
    };
    if !open.in_use || !is_done(tx.connection, &open).await? {
        return Err(under_way(&open, false));
    }
    remove(tx.connection, CHANGE).await
}

/// Has `sealer` open by both keys of a change that is under way, and seal by the one of them that is in use; by the
/// successor of a key that was retired, in any case.
pub(super) async fn adopt(
    connection: &mut Connection,
    sealer: &Sealer,
    platform: Uuid,
) -> Result<Option<Stored>> {
    let open = stored(connection).await?;
    if let Some(open) = &open {
        let [next, former] = [&open.next_sealed, &open.former_sealed].map(|sealed| {
            STANDARD
                .decode(sealed)
                .map_err(|error| Error::internal("a stored key is not readable", error))
        });
        sealer.take_over(platform, [&next?, &former?]);
    }
    // First: whoever slept through the changes before this one may have its key all the same.
    let missing = turn_from_retired(connection, sealer).await?;
    if let Some(open) = &open {
        let current = sealer.current();
        if !open.in_use && current == open.key {
            // The others do not open by it yet.
            sealer.turn_to_known(&open.former);
        } else if current != open.key
            && current != open.former
            && !is_done(connection, open).await?
        {
            return Err(Error::forbidden(format!(
                "a change of the platform's key from {} to {} is under way, and another is given",
                open.former, open.key
            ))
            .remedy("start with one of the two"));
        }
    }
    match missing {
        Some(missing) => Err(keys::missing_key(&missing)),
        None => Ok(open),
    }
}

/// Has the transaction seal by the key that follows, where its own was retired meanwhile.
pub(super) async fn leave_retired(tx: &mut Transaction<'_>) -> Result<()> {
    match turn_from_retired(tx.connection, tx.sealer).await? {
        None => Ok(()),
        Some(missing) => Err(Error::unavailable(format!(
            "this replica cannot seal: the platform's key was changed to {missing} while it was away"
        ))
        .remedy("start it anew, with that key")),
    }
}

/// Turns to the last in the row of keys that have followed the current one; gives that, where it is not known.
async fn turn_from_retired(connection: &mut Connection, sealer: &Sealer) -> Result<Option<KeyId>> {
    let (mut key, mut is_retired) = (sealer.current(), false);
    while let Some(next) = successor(connection, &key).await? {
        (key, is_retired) = (next, true);
    }
    Ok((is_retired && !sealer.turn_to_known(&key)).then_some(key))
}

async fn successor(connection: &mut Connection, key: &KeyId) -> Result<Option<KeyId>> {
    let row = connection
        .first(
            "SELECT value FROM platform WHERE name = $1",
            args![retired(key)],
        )
        .await?;
    row.map(|row| Ok(KeyId::from_text(&row.text(0)?)))
        .transpose()
}

/// The row that says which key follows `key`.
pub(super) fn retired(key: &KeyId) -> String {
    format!("{RETIRED}{key}")
}

/// Forgets all replicas, for a store that no other process can have.
pub(super) async fn forget_replicas(connection: &mut Connection) -> Result<()> {
    connection
        .execute(
            "DELETE FROM platform WHERE substr(name, 1, 8) = $1",
            args![REPLICA],
        )
        .await
        .map(drop)
}

/// Forgets those that are dead: only where no change waits for what they keep.
async fn forget_dead(connection: &mut Connection, now: i64) -> Result<()> {
    for (name, replica) in replicas(connection).await? {
        if !replica.is_alive(now) {
            remove(connection, &name).await?;
        }
    }
    Ok(())
}

/// Whether nothing is sealed by the former key.
async fn is_done(connection: &mut Connection, change: &Stored) -> Result<bool> {
    Ok(!keys::noted(connection).await?.contains(&change.former))
}

async fn stored(connection: &mut Connection) -> Result<Option<Stored>> {
    let row = connection
        .first("SELECT value FROM platform WHERE name = $1", args![CHANGE])
        .await?;
    row.map(|row| read(&row.text(0)?)).transpose()
}

async fn replicas(connection: &mut Connection) -> Result<Vec<(String, Replica)>> {
    let rows = connection
        .all(
            "SELECT name, value FROM platform WHERE substr(name, 1, 8) = $1 ORDER BY name",
            args![REPLICA],
        )
        .await?;
    let replica = |row: &Row| Ok((row.text(0)?, read(&row.text(1)?)?));
    rows.iter().map(replica).collect()
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal("what replicas agree by is not readable", error))
}

async fn put(connection: &mut Connection, name: &str, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::internal("what replicas agree by cannot be written", error))?;
    put_text(connection, name, &text).await
}

async fn put_text(connection: &mut Connection, name: &str, value: &str) -> Result<()> {
    connection
        .execute(
            "INSERT INTO platform (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            args![name, value],
        )
        .await
        .map(drop)
}

async fn remove(connection: &mut Connection, name: &str) -> Result<()> {
    connection
        .execute("DELETE FROM platform WHERE name = $1", args![name])
        .await
        .map(drop)
}

fn under_way(change: &Stored, done: bool) -> Error {
    let Stored { key, since, .. } = change;
    if done {
        return Error::conflict(format!(
            "the change of the platform's key to {key}, of {since}, is done, and the store keeps the former key for \
             replicas that may still start with it"
        ))
        .remedy(
            "start every replica with the new key, or call `towpath rekey --forget-former`; then ask again",
        );
    }
    Error::conflict(format!(
        "a change of the platform's key to {key} is under way since {since}"
    ))
    .remedy("follow it by `towpath rekey --status`, and ask again when it is done")
}
