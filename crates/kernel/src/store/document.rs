//! Rows to documents and events, and back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    sql::{Row, args},
    writer::Transaction,
};
use crate::{Document, Error, ErrorKind, Event, Key, Meta, Outcome, Result, contention::Contest};

pub(super) const COLUMNS: &str = "SELECT kind, scope, name, uid, revision, generation, labels, \
     spec, status, created, updated, deleting FROM resource";
pub(super) const COLUMNS_BY_KEY: &str = "SELECT kind, scope, name, uid, revision, generation, \
     labels, spec, status, created, updated, deleting FROM resource \
     WHERE kind = $1 AND scope = $2 AND name = $3";
pub(super) const EVENT_COLUMNS: &str = "SELECT seq, id, time, type, subject, team, correlation, actor, means, reason, outcome, data, \
     source, source_id, happened, attributes FROM event";

/// What data is in.
const JSON: &str = "application/json";

/// Refuses where a resource of `kind` was made, or its spec changed, after the event at `head`.
pub(super) async fn refuse_written(
    tx: &mut Transaction<'_>,
    kind: &'static str,
    head: i64,
) -> Result<()> {
    let [created, changed] =
        ["created", "changed"].map(|what| format!("{}{what}", Event::RESOURCE));
    let since = tx
        .connection
        .first(
            "SELECT seq FROM event WHERE seq > $1 AND type IN ($2, $3) AND subject LIKE $4 LIMIT 1",
            args![head, created, changed, format!("{kind}/%")],
        )
        .await?;
    match since {
        None => Ok(()),
        Some(_) => Err(Error::conflict(format!(
            "resources of kind {kind} were written since they were looked at"
        ))
        .remedy("look at them again, and repeat the change on what they are now")
        .overtaken_at(Contest::Kind(kind))),
    }
}

/// That `held` has the key that something else is to have.
pub(super) fn already_exists(held: &Document) -> Error {
    let error = Error::new(
        ErrorKind::AlreadyExists,
        format!("{} already exists", held.key().called()),
    );
    match held.meta.deleting {
        Some(_) => error.remedy("it is being deleted: try again when it is gone"),
        None => error,
    }
}

/// A row of [`COLUMNS`].
pub(super) fn read_document(row: &Row) -> Result<Document> {
    Ok(Document {
        kind: row.text(0)?,
        meta: Meta {
            scope: row.text(1)?,
            name: row.text(2)?,
            uid: parsed(&row.text(3)?)?,
            revision: row.int(4)?,
            generation: row.int(5)?,
            labels: from_json::<BTreeMap<_, _>>(&row.text(6)?)?,
            created: parsed(&row.text(9)?)?,
            updated: parsed(&row.text(10)?)?,
            deleting: row.optional_text(11)?.as_deref().map(parsed).transpose()?,
        },
        spec: from_json(&row.text(7)?)?,
        status: from_json(&row.text(8)?)?,
    })
}

/// A row of [`EVENT_COLUMNS`].
pub(super) fn read_event(row: &Row, platform: Uuid) -> Result<Event> {
    let committed: Timestamp = parsed(&row.text(2)?)?;
    let mut event = Event {
        specversion: "1.0".into(),
        id: row.text(1)?,
        source: format!("/towpath/{platform}"),
        kind: row.text(3)?,
        subject: row.text(4)?,
        time: committed,
        datacontenttype: JSON.into(),
        seq: row.int(0)?,
        team: row.text(5)?,
        correlation: parsed(&row.text(6)?)?,
        actor: row.text(7)?,
        means: row.optional_text(8)?,
        reason: row.optional_text(9)?,
        outcome: row
            .optional_text(10)?
            .map(|outcome| from_json::<Outcome>(&format!("\"{outcome}\"")))
            .transpose()?,
        entry: None,
        received: None,
        data: from_json(&row.text(11)?)?,
        attributes: BTreeMap::new(),
    };
    if let Some(source) = row.optional_text(12)? {
        event.entry = Some(parsed(&event.id)?);
        event.received = Some(committed);
        event.source = source;
        event.id = row.optional_text(13)?.unwrap_or_default();
        if let Some(happened) = row.optional_text(14)? {
            event.time = parsed(&happened)?;
        }
        event.attributes = from_json(row.optional_text(15)?.as_deref().unwrap_or("{}"))?;
    }
    Ok(event)
}

pub(super) fn json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("a document could not be serialized", error))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal("a stored document is not readable", error))
}

pub(super) fn parsed<T>(text: &str) -> Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse()
        .map_err(|error: T::Err| Error::internal("a stored value is not readable", error))
}

/// A key's parts are joined by `/` in the subject of events, and must come apart again: only a name
/// that follows a scope may be a path.
pub(super) fn check_key(key: &Key) -> Result<()> {
    let slash = |part: &str| part.contains('/');
    let joined = slash(&key.kind) || slash(&key.scope) || key.scope.is_empty() && slash(&key.name);
    let path = key.name.split('/').all(|word| !word.is_empty());
    let control = |part: &String| part.chars().any(char::is_control);
    if key.kind.is_empty()
        || !path
        || joined
        || [&key.kind, &key.scope, &key.name].into_iter().any(control)
    {
        return Err(Error::invalid(format!(
            "`{}` cannot name a resource",
            key.to_string().escape_debug()
        ))
        .remedy(
            "kind and name are not empty, contain no control characters, and no `/` but within the \
             name of a thing that is in a scope",
        ));
    }
    Ok(())
}

/// Postgres keeps no NUL in a text.
pub(super) fn check_labels(document: &Document) -> Result<()> {
    let bad = |text: &String| text.contains('\0');
    match document
        .meta
        .labels
        .iter()
        .find(|(name, value)| bad(name) || bad(value))
    {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid(format!(
            "the label `{}` contains a NUL character",
            name.escape_debug()
        ))),
    }
}
