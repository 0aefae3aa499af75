//! Events from outside, each once.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    document::{from_json, json_text, parsed},
    sql::args,
    writer::Transaction,
};
use crate::{Error, Publication, Published, Result};

/// Writes `publication`, or finds it. Whatever writes holds the log's lock, on every replica: what is not
/// found is not there.
pub(super) async fn publish(
    tx: &mut Transaction<'_>,
    now: Timestamp,
    publication: Publication,
) -> Result<Published> {
    if let Some(published) = find(tx, &publication).await? {
        return Ok(published);
    }
    let seq = tx.head + 1;
    let entry = Uuid::now_v7();
    let correlation = publication.cause.correlation;
    let outcome = publication.outcome.map(|outcome| json!(outcome));
    let outcome = outcome.and_then(|outcome| outcome.as_str().map(str::to_owned));
    let reason = publication.cause.reason.as_ref();
    tx.connection
        .execute(
            "INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason,
                                outcome, data, source, source_id, happened, attributes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            args![
                seq,
                entry.to_string(),
                now.to_string(),
                publication.kind,
                publication.subject,
                publication.team,
                correlation.to_string(),
                publication.cause.actor,
                publication.cause.means.to_string(),
                reason.map(|reason| reason.as_str().to_owned()),
                outcome,
                json_text(&publication.data)?,
                publication.source,
                publication.id,
                publication.happened.map(|time| time.to_string()),
                json_text(&publication.attributes)?,
            ],
        )
        .await?;
    tx.head = seq;
    Ok(Published {
        seq,
        entry,
        correlation,
        is_new: true,
    })
}

/// The one of this source and id that the team has published before.
async fn find(tx: &mut Transaction<'_>, publication: &Publication) -> Result<Option<Published>> {
    let rows = tx
        .connection
        .all(
            "SELECT seq, id, time, correlation, type, subject, outcome, data FROM event
             WHERE source = $1 AND source_id = $2 AND team = $3 ORDER BY seq DESC",
            args![
                publication.source.as_str(),
                publication.id.as_str(),
                publication.team.as_str()
            ],
        )
        .await?;
    // The newest: those before it are of former teams.
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let time: Timestamp = parsed(&row.text(2)?)?;
    if publication.since.is_some_and(|since| time < since) {
        return Ok(None);
    }
    let outcome = publication.outcome.map_or(Value::Null, |one| json!(one));
    let is_same = row.text(4)? == publication.kind
        && row.text(5)? == publication.subject
        && json!(row.optional_text(6)?) == outcome
        && from_json::<Value>(&row.text(7)?)? == publication.data;
    if !is_same {
        return Err(Error::conflict(format!(
            "`{}` has published another event with the id `{}`, with another type, subject, outcome or data",
            publication.source, publication.id
        ))
        .remedy("an event that is sent again is sent as it was; give a further event an id of its own"));
    }
    Ok(Some(Published {
        seq: row.int(0)?,
        entry: parsed(&row.text(1)?)?,
        correlation: parsed(&row.text(3)?)?,
        is_new: false,
    }))
}
