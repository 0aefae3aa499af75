//! Events from outside, each once.

use std::{collections::HashMap, sync::LazyLock};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    document::{from_json, json_text, parsed},
    sql::{Row, args},
    writer::Transaction,
};
use crate::{Error, Publication, Published, Result, change::Write};

/// Publications that are looked up by one statement. A batch has as many ways to the database less, while it
/// holds the log's lock.
const AT_ONCE: usize = 25;

/// The newest of a source, id and team: those before it are of former teams.
static ONE: LazyLock<String> = LazyLock::new(|| lookup(0));
/// The same of as many as are looked up at once. There are these two statements and no others: each
/// connection keeps those that it has prepared.
static MANY: LazyLock<String> = LazyLock::new(|| {
    let all = (0..AT_ONCE).map(|at| format!("SELECT * FROM ({}) AS place{at}", lookup(at)));
    all.collect::<Vec<_>>().join(" UNION ALL ")
});

fn lookup(at: usize) -> String {
    let [source, id, team] = [1, 2, 3].map(|place| at * 3 + place);
    format!(
        "SELECT seq, id, time, correlation, type, subject, outcome, data, source, source_id, team FROM event
         WHERE source = ${source} AND source_id = ${id} AND team = ${team} ORDER BY seq DESC LIMIT 1"
    )
}

/// By source, id and team.
type Name = (String, String, String);

/// What was published before under the names of a change's publications, and what it has published itself.
#[derive(Default)]
pub(super) struct Known(HashMap<Name, Found>);

/// An event from outside that is in the log.
struct Found {
    published: Published,
    time: Timestamp,
    kind: String,
    subject: String,
    outcome: Option<String>,
    data: Value,
}

impl Known {
    /// Looks up what `writes` publish. Whatever writes holds the log's lock, on every replica: what is not
    /// found is not there, for as long as the transaction lasts.
    pub(super) async fn of(tx: &mut Transaction<'_>, writes: &[Write]) -> Result<Self> {
        let names: Vec<_> = writes
            .iter()
            .filter_map(|write| match write {
                Write::Publish(publication) => Some(name(publication)),
                _ => None,
            })
            .collect();
        let mut known = Self::default();
        for some in names.chunks(AT_ONCE) {
            let (sql, places) = match some {
                [_] => (&*ONE, 1),
                _ => (&*MANY, AT_ONCE),
            };
            // What fewer leave over is filled with the last.
            let last = some.last().into_iter().cycle();
            let filled = some.iter().chain(last).take(places);
            let values = filled.flat_map(|(source, id, team)| args![&**source, &**id, &**team]);
            let rows = tx.connection.all(sql, values.collect()).await?;
            for row in &rows {
                let name = (row.text(8)?, row.text(9)?, row.text(10)?);
                known.0.insert(name, Found::read(row)?);
            }
        }
        Ok(known)
    }

    /// The one of this source and id that the team has published before.
    fn find(&self, publication: &Publication) -> Result<Option<Published>> {
        let Some(found) = self.0.get(&name(publication)) else {
            return Ok(None);
        };
        if publication.since.is_some_and(|since| found.time < since) {
            return Ok(None);
        }
        let is_same = found.kind == publication.kind
            && found.subject == publication.subject
            && found.outcome == outcome(publication)
            && found.data == publication.data;
        if !is_same {
            return Err(Error::conflict(format!(
                "`{}` has published another event with the id `{}`, with another type, subject, outcome or data",
                publication.source, publication.id
            ))
            .remedy("an event that is sent again is sent as it was; give a further event an id of its own"));
        }
        Ok(Some(Published {
            is_new: false,
            ..found.published.clone()
        }))
    }
}

impl Found {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            published: Published {
                seq: row.int(0)?,
                entry: parsed(&row.text(1)?)?,
                correlation: parsed(&row.text(3)?)?,
                is_new: false,
            },
            time: parsed(&row.text(2)?)?,
            kind: row.text(4)?,
            subject: row.text(5)?,
            outcome: row.optional_text(6)?,
            data: from_json(&row.text(7)?)?,
        })
    }
}

fn name(publication: &Publication) -> Name {
    let Publication {
        source, id, team, ..
    } = publication;
    (source.clone(), id.clone(), team.clone())
}

fn outcome(publication: &Publication) -> Option<String> {
    let outcome = publication.outcome.map(|outcome| json!(outcome));
    outcome.and_then(|outcome| outcome.as_str().map(str::to_owned))
}

/// Writes `publication`, or finds it among what is `known`.
pub(super) async fn publish(
    tx: &mut Transaction<'_>,
    known: &mut Known,
    now: Timestamp,
    publication: Publication,
) -> Result<Published> {
    if let Some(published) = known.find(&publication)? {
        return Ok(published);
    }
    let name = name(&publication);
    let outcome = outcome(&publication);
    let published = Published {
        seq: tx.head + 1,
        entry: Uuid::now_v7(),
        correlation: publication.cause.correlation,
        is_new: true,
    };
    let reason = publication.cause.reason.as_ref();
    tx.connection
        .execute(
            "INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason,
                                outcome, data, source, source_id, happened, attributes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            args![
                published.seq,
                published.entry.to_string(),
                now.to_string(),
                publication.kind.as_str(),
                publication.subject.as_str(),
                publication.team,
                published.correlation.to_string(),
                publication.cause.actor,
                publication.cause.means.to_string(),
                reason.map(|reason| reason.as_str().to_owned()),
                outcome.clone(),
                json_text(&publication.data)?,
                publication.source,
                publication.id,
                publication.happened.map(|time| time.to_string()),
                json_text(&publication.attributes)?,
            ],
        )
        .await?;
    tx.head = published.seq;
    let found = Found {
        published: published.clone(),
        time: now,
        kind: publication.kind,
        subject: publication.subject,
        outcome,
        data: publication.data,
    };
    known.0.insert(name, found);
    Ok(published)
}
