//! Applying a [`Change`] within a transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{
    Committed,
    document::{
        COLUMNS_BY_KEY, already_exists, check_key, check_labels, json_text, read_document,
        refuse_written,
    },
    idempotency::Held,
    key_change, keys,
    line::Line,
    publish, record,
    sql::args,
    writer::{Transaction, Work},
};
use crate::{
    Cause, Change, Document, Error, Event, Key, Meta, NewEvent, Published, Result, change::Write,
    contention::Contest, lease::Fence,
};

/// A change, and the request under an idempotency key that it is part of.
pub(super) struct Apply {
    pub(super) change: Change,
    pub(super) held: Option<Held>,
}

/// What the transaction knows of a row that this change has touched already: two writes of one
/// resource in one change both carry the revision at which it was read.
struct Touched {
    /// The revision before the change; 0 for a row that it creates.
    read_at: i64,
    /// The row as it is now; none after its removal.
    now: Option<Document>,
}

struct Applying<'t, 'c> {
    tx: &'t mut Transaction<'c>,
    touched: BTreeMap<Key, Touched>,
    written: Vec<Document>,
    published: Vec<Published>,
    known: publish::Known,
    sealed_for: Vec<Uuid>,
    cause: Cause,
    now: Timestamp,
}

#[async_trait]
impl Work for Apply {
    type Output = Committed;

    fn lines(&self) -> Option<Vec<Line>> {
        let change = &self.change;
        if change.fence.is_some() || !change.writes.is_empty() {
            return None;
        }
        // What cannot be stored is told where it is run.
        change.events.iter().map(|e| Line::new(e).ok()).collect()
    }

    fn appended(&self, head: i64) -> Option<Committed> {
        Some(Committed {
            documents: vec![],
            published: vec![],
            head,
        })
    }

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Committed> {
        let Change {
            writes,
            events,
            fence,
            cause,
        } = self.change;
        // Events alone (a refusal, say) are not what the request was for.
        let held = self.held.filter(|_| !writes.is_empty());
        if let Some(fence) = &fence {
            check_fence(tx, fence).await?;
        }
        let cause = cause
            .or_else(|| events.first().map(|event| event.cause.clone()))
            .unwrap_or_else(|| Cause {
                actor: "system".into(),
                ..Cause::system("", Uuid::now_v7())
            });
        let known = publish::Known::of(tx, &writes).await?;
        let mut applying = Applying {
            tx,
            touched: BTreeMap::new(),
            written: Vec::new(),
            published: Vec::new(),
            known,
            sealed_for: Vec::new(),
            cause,
            now: Timestamp::now(),
        };
        for write in writes {
            applying.write(write).await?;
        }
        applying.check_owners().await?;
        if let Some(held) = held {
            held.worked(applying.tx).await?;
        }
        for event in events {
            applying.append(event).await?;
        }
        Ok(Committed {
            documents: applying.written,
            published: applying.published,
            head: applying.tx.head,
        })
    }
}

impl Applying<'_, '_> {
    async fn write(&mut self, write: Write) -> Result<()> {
        match write {
            Write::Create(document) => self.create(document).await,
            Write::Spec(document) => self.spec(document).await,
            Write::Status(document) => self.status(document).await,
            Write::Note(document) => self.note(document).await,
            Write::Delete(document) => self.delete(document).await,
            Write::Remove(document) => self.remove(&document).await,
            Write::Require(document) => self.current(&document).await.map(drop),
            Write::Unwritten { kind, head } => refuse_written(self.tx, kind, head).await,
            Write::Seal {
                owner,
                name,
                secret,
            } => {
                let sealed = keys::seal(self.tx, owner, &name, &secret).await?;
                self.sealed_for.push(owner);
                self.execute(
                    "INSERT INTO secret (owner, name, sealed) VALUES ($1, $2, $3)
                     ON CONFLICT (owner, name) DO UPDATE SET sealed = excluded.sealed",
                    args![owner.to_string(), name, sealed],
                )
                .await
                .map(drop)
            }
            Write::Unseal { owner } => self
                .execute(
                    "DELETE FROM secret WHERE owner = $1",
                    args![owner.to_string()],
                )
                .await
                .map(drop),
            Write::Keep(record) => record::keep(self.tx, record).await,
            Write::Drop {
                kind,
                name,
                version,
                called,
            } => record::take(self.tx, kind, name, version, called).await,
            Write::Publish(publication) => {
                let published =
                    publish::publish(self.tx, &mut self.known, self.now, *publication).await?;
                self.published.push(published);
                Ok(())
            }
            Write::AnnounceKey(key) => key_change::announce(self.tx, &key).await,
            Write::ForgetFormerKey => key_change::forget(self.tx).await,
        }
    }

    async fn create(&mut self, mut document: Document) -> Result<()> {
        let key = document.key();
        check_key(&key)?;
        check_labels(&document)?;
        if let Some(held) = self.row(&key).await? {
            // It was free when it was looked at.
            return Err(already_exists(&held).overtaken_at(Contest::Resource(key)));
        }
        document.meta.generation = 1;
        document.meta.revision = self.tx.head + 1;
        document.meta.created = self.now;
        document.meta.updated = self.now;
        document.meta.deleting = None;
        let meta = &document.meta;
        self.execute(
            "INSERT INTO resource (kind, scope, name, uid, revision, generation, labels, spec,
                                   status, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            args![
                document.kind.clone(),
                meta.scope.clone(),
                meta.name.clone(),
                meta.uid.to_string(),
                meta.revision,
                meta.generation,
                json_text(&meta.labels)?,
                json_text(&document.spec)?,
                json_text(&document.status)?,
                meta.created.to_string(),
                meta.updated.to_string(),
            ],
        )
        .await?;
        self.label(&document).await?;
        self.wrote("created", document, 0).await
    }

    async fn spec(&mut self, document: Document) -> Result<()> {
        check_labels(&document)?;
        let (mut now, read_at) = self.current(&document).await?;
        let relabelled = now.meta.labels != document.meta.labels;
        if now.spec == document.spec && now.status == document.status && !relabelled {
            self.written.push(now);
            return Ok(());
        }
        if now.spec != document.spec {
            now.meta.generation += 1;
        }
        now.spec = document.spec;
        now.status = document.status;
        now.meta.labels = document.meta.labels;
        self.stamp(&mut now);
        self.execute(
            "UPDATE resource SET revision = $2, generation = $3, labels = $4, spec = $5,
                                 status = $6, updated = $7
             WHERE uid = $1",
            args![
                now.meta.uid.to_string(),
                now.meta.revision,
                now.meta.generation,
                json_text(&now.meta.labels)?,
                json_text(&now.spec)?,
                json_text(&now.status)?,
                now.meta.updated.to_string(),
            ],
        )
        .await?;
        if relabelled {
            self.execute(
                "DELETE FROM resource_label WHERE uid = $1",
                args![now.meta.uid.to_string()],
            )
            .await?;
            self.label(&now).await?;
        }
        self.wrote("changed", now, read_at).await
    }

    async fn status(&mut self, document: Document) -> Result<()> {
        let (mut now, read_at) = self.current(&document).await?;
        if now.status == document.status {
            self.written.push(now);
            return Ok(());
        }
        now.status = document.status;
        self.stamp(&mut now);
        self.execute(
            "UPDATE resource SET revision = $2, status = $3, updated = $4 WHERE uid = $1",
            args![
                now.meta.uid.to_string(),
                now.meta.revision,
                json_text(&now.status)?,
                now.meta.updated.to_string(),
            ],
        )
        .await?;
        self.wrote("status-changed", now, read_at).await
    }

    async fn note(&mut self, document: Document) -> Result<()> {
        let (mut now, read_at) = self.current(&document).await?;
        let key = document.key();
        now.status = document.status;
        self.execute(
            "UPDATE resource SET status = $2 WHERE uid = $1",
            args![now.meta.uid.to_string(), json_text(&now.status)?],
        )
        .await?;
        let now = Some(now);
        self.touched.insert(key, Touched { read_at, now });
        Ok(())
    }

    async fn delete(&mut self, document: Document) -> Result<()> {
        let key = document.key();
        if let Some(now) = self.row(&key).await?
            && now.meta.uid == document.meta.uid
            && now.meta.deleting.is_some()
        {
            self.written.push(now);
            return Ok(());
        }
        let (mut now, read_at) = self.current(&document).await?;
        now.meta.deleting = Some(self.now);
        self.stamp(&mut now);
        self.execute(
            "UPDATE resource SET revision = $2, deleting = $3, updated = $4 WHERE uid = $1",
            args![
                now.meta.uid.to_string(),
                now.meta.revision,
                self.now.to_string(),
                now.meta.updated.to_string(),
            ],
        )
        .await?;
        self.wrote("deleting", now, read_at).await
    }

    async fn remove(&mut self, document: &Document) -> Result<()> {
        let (mut now, read_at) = self.current(document).await?;
        self.execute(
            "DELETE FROM resource WHERE uid = $1",
            args![now.meta.uid.to_string()],
        )
        .await?;
        self.stamp(&mut now);
        let key = now.key();
        self.announce("removed", &now).await?;
        self.touched.insert(key, Touched { read_at, now: None });
        Ok(())
    }

    /// The row that `document` was read from, where it is still as it was read; and the revision
    /// before this change.
    async fn current(&mut self, document: &Document) -> Result<(Document, i64)> {
        let key = document.key();
        let read_at = self.touched.get(&key).map(|touched| touched.read_at);
        let Some(now) = self.row(&key).await? else {
            return Err(
                Error::conflict(format!("{} was removed since it was read", key.called()))
                    .overtaken_at(Contest::Resource(key)),
            );
        };
        let read_at = read_at.unwrap_or(now.meta.revision);
        if now.meta.uid != document.meta.uid {
            return Err(Error::conflict(format!(
                "{} was removed and made anew since it was read",
                key.called()
            ))
            .overtaken_at(Contest::Resource(key)));
        }
        if document.meta.revision != read_at {
            return Err(Error::conflict(format!(
                "{} was changed since it was read (revision {} is now {})",
                key.called(),
                document.meta.revision,
                now.meta.revision
            ))
            .remedy("read it again, and repeat the change on what it is now")
            .overtaken_at(Contest::Resource(key)));
        }
        Ok((now, read_at))
    }

    async fn row(&mut self, key: &Key) -> Result<Option<Document>> {
        if let Some(touched) = self.touched.get(key) {
            return Ok(touched.now.clone());
        }
        self.tx
            .connection
            .first(
                COLUMNS_BY_KEY,
                args![key.kind.clone(), key.scope.clone(), key.name.clone()],
            )
            .await?
            .map(|row| read_document(&row))
            .transpose()
    }

    /// A write's revision is the place of its event in the log: it grows with every write, and a
    /// resource made anew under a taken name never has an earlier one's ETag.
    fn stamp(&self, document: &mut Document) {
        document.meta.revision = self.tx.head + 1;
        document.meta.updated = self.now;
    }

    async fn label(&mut self, document: &Document) -> Result<()> {
        for (name, value) in &document.meta.labels {
            self.execute(
                "INSERT INTO resource_label (uid, name, value) VALUES ($1, $2, $3)",
                args![document.meta.uid.to_string(), name.as_str(), value.as_str()],
            )
            .await?;
        }
        Ok(())
    }

    async fn wrote(&mut self, what: &str, document: Document, read_at: i64) -> Result<()> {
        self.announce(what, &document).await?;
        let now = Some(document.clone());
        self.touched
            .insert(document.key(), Touched { read_at, now });
        self.written.push(document);
        Ok(())
    }

    /// The event that every write of a resource comes with.
    async fn announce(&mut self, what: &str, document: &Document) -> Result<()> {
        let mut data = json!({
            "revision": document.meta.revision,
            "generation": document.meta.generation,
        });
        if let Some(phase) = document
            .status
            .get("phase")
            .filter(|phase| phase.is_string())
        {
            data["phase"] = phase.clone();
        }
        self.append(NewEvent {
            kind: format!("{}{what}", Event::RESOURCE),
            subject: document.key(),
            team: team(document),
            cause: self.cause.clone(),
            outcome: None,
            data,
        })
        .await
    }

    async fn append(&mut self, event: NewEvent) -> Result<()> {
        let seq = self.tx.head + 1;
        let line = Line::new(&event)?;
        self.tx.connection.line(seq, self.now, line).await?;
        self.tx.head = seq;
        Ok(())
    }

    /// A secret without an owner would stay for ever.
    async fn check_owners(&mut self) -> Result<()> {
        for owner in std::mem::take(&mut self.sealed_for) {
            let found = self
                .tx
                .connection
                .first(
                    "SELECT 1 FROM resource WHERE uid = $1",
                    args![owner.to_string()],
                )
                .await?;
            if found.is_none() && owner != self.tx.platform {
                return Err(Error::conflict(format!(
                    "the resource {owner}, for which a secret was to be kept, does not exist"
                ))
                .overtaken());
            }
        }
        Ok(())
    }

    async fn execute(&mut self, sql: &'static str, values: Vec<super::sql::Value>) -> Result<u64> {
        self.tx.connection.execute(sql, values).await
    }
}

/// The team that a resource belongs to: what its spec says, where it does; else its label.
fn team(document: &Document) -> String {
    let spec = document.spec.get("team").and_then(|team| team.as_str());
    let label = document.meta.labels.get(Meta::TEAM).map(String::as_str);
    spec.or(label).unwrap_or_default().to_owned()
}

async fn check_fence(tx: &mut Transaction<'_>, fence: &Fence) -> Result<()> {
    let row = tx
        .connection
        .first(
            "SELECT epoch FROM lease WHERE name = $1",
            args![fence.lease.as_str()],
        )
        .await?;
    match row {
        Some(row) if row.int(0)? == fence.epoch => Ok(()),
        _ => Err(Error::conflict(format!(
            "the lease `{}` has passed to another replica",
            fence.lease
        ))),
    }
}
