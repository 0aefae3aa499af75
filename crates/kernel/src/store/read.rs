//! Reading documents and events.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::{
    Store,
    document::{COLUMNS, COLUMNS_BY_KEY, EVENT_COLUMNS, already_exists, read_document, read_event},
    sql::{Value, args},
};
use crate::{
    Document, Error, Event, EventFilter, Key, Kind, NewEvent, Page, Query, Resource, Result,
};

impl Store {
    /// Events in one answer at the most.
    pub const MAX_EVENTS: usize = 1000;

    /// The resource of this scope and name.
    pub async fn get<K: Kind>(&self, scope: &str, name: &str) -> Result<Option<Resource<K>>> {
        self.document(&Key::of::<K>(scope, name))
            .await?
            .map(Document::typed)
            .transpose()
    }

    /// The same, where it must exist: else an error that names it.
    pub async fn expect<K: Kind>(&self, scope: &str, name: &str) -> Result<Resource<K>> {
        match self.get(scope, name).await? {
            Some(resource) => Ok(resource),
            None => Err(K::not_found(scope, name)),
        }
    }

    /// Refuses where there is a resource of this scope and name: for what makes one and replaces none.
    pub async fn expect_free<K: Kind>(&self, scope: &str, name: &str) -> Result<()> {
        let held = self.document(&Key::of::<K>(scope, name)).await?;
        held.map_or(Ok(()), |held| Err(already_exists(&held)))
    }

    /// A page of the resources of kind `K`, by scope and name.
    pub async fn list<K: Kind>(&self, query: &Query) -> Result<Page<Resource<K>>> {
        let page = self.documents(K::KIND, query).await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(Document::typed)
                .collect::<Result<_>>()?,
            next: page.next,
        })
    }

    /// All that `query` finds from its cursor on, however many pages; its limit does not count.
    pub async fn list_all<K: Kind>(&self, query: &Query) -> Result<Vec<Resource<K>>> {
        let mut query = Query {
            limit: Query::MAX_LIMIT,
            ..query.clone()
        };
        let mut all = Vec::new();
        loop {
            let page = self.list(&query).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// The document with this key.
    pub async fn document(&self, key: &Key) -> Result<Option<Document>> {
        let values = args![key.kind.as_str(), key.scope.as_str(), key.name.as_str()];
        if key.to_string().contains('\0') {
            return Ok(None);
        }
        self.inner
            .readers
            .first(COLUMNS_BY_KEY, values)
            .await?
            .map(|row| read_document(&row))
            .transpose()
    }

    /// A page of the documents of a kind, by scope and name.
    pub async fn documents(&self, kind: &str, query: &Query) -> Result<Page<Document>> {
        let limit = query.page_size();
        let mut select = Select::new(COLUMNS);
        select.and("kind = ", kind);
        if let Some(scope) = &query.scope {
            select.and("scope = ", scope.as_str());
        }
        if let Some(after) = &query.after {
            let (scope, name) = read_cursor(after)?;
            let (scope, name) = (select.bind(scope), select.bind(name));
            select.condition(&format!("(scope, name) > ({scope}, {name})"));
        }
        for (name, value) in &query.labels {
            let (name, value) = (select.bind(name.as_str()), select.bind(value.as_str()));
            select.condition(&format!(
                "EXISTS (SELECT 1 FROM resource_label AS l WHERE l.uid = resource.uid \
                 AND l.name = {name} AND l.value = {value})"
            ));
        }
        // One more than asked for shows whether there is another page.
        let rows = select.run(self, "scope, name", limit + 1).await?;
        let mut items = rows.iter().map(read_document).collect::<Result<Vec<_>>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor_at);
        Ok(Page { items, next })
    }

    /// The same, of those alone that `sees` lets through: the page is as full as it can be, and its
    /// cursor tells of nothing else.
    pub async fn documents_seen(
        &self,
        kind: &str,
        query: &Query,
        sees: impl Fn(&Document) -> bool + Send,
    ) -> Result<Page<Document>> {
        let limit = query.page_size();
        let mut items: Vec<Document> = Vec::new();
        let mut part = Query {
            limit: limit + 1,
            ..query.clone()
        };
        loop {
            let page = self.documents(kind, &part).await?;
            for document in page.items {
                // Each is asked for: a long list lets others run in between.
                tokio::task::consume_budget().await;
                if !sees(&document) {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last().map(cursor_at);
                    return Ok(Page { items, next });
                }
                items.push(document);
            }
            let Some(next) = page.next else {
                return Ok(Page { items, next: None });
            };
            part.after = Some(next);
            part.limit = Query::MAX_LIMIT;
        }
    }

    /// The keys of all resources of a kind, or of those in one scope. Reads no documents: for work
    /// that begins with each.
    pub async fn keys(&self, kind: &str, scope: Option<&str>) -> Result<Vec<Key>> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let mut select = Select::new("SELECT scope, name FROM resource");
            select.and("kind = ", kind);
            if let Some(scope) = scope {
                select.and("scope = ", scope);
            }
            if let Some(last) = keys.last() {
                let scope = select.bind(last.scope.as_str());
                let name = select.bind(last.name.as_str());
                select.condition(&format!("(scope, name) > ({scope}, {name})"));
            }
            let rows = select.run(self, "scope, name", Query::MAX_LIMIT).await?;
            for row in &rows {
                keys.push(Key {
                    kind: kind.into(),
                    scope: row.text(0)?,
                    name: row.text(1)?,
                });
            }
            if rows.len() < Query::MAX_LIMIT {
                return Ok(keys);
            }
        }
    }

    /// The events after place `after` in the log, oldest first, `limit` at the most
    /// ([`Store::MAX_EVENTS`] in any case).
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let mut select = Select::new(EVENT_COLUMNS);
        select.and("seq > ", after);
        if let Some(prefix) = &filter.type_prefix {
            select.prefix("type", prefix);
        }
        if let Some(beginning) = &filter.type_beginning {
            let in_full = format!("{}{beginning}", NewEvent::PREFIX);
            let either = [beginning, &in_full].map(|one| select.range("type", one));
            select.condition(&format!("({} OR {})", either[0], either[1]));
        }
        if let Some(subject) = &filter.subject {
            let place = select.bind(subject.as_str());
            let below = format!("{subject}/");
            let (length, below) = (select.bind(length(&below)), select.bind(below));
            select.condition(&format!(
                "(subject = {place} OR substr(subject, 1, CAST({length} AS INTEGER)) = {below})"
            ));
        }
        if let Some(correlation) = &filter.correlation {
            select.and("correlation = ", correlation.to_string());
        }
        if let Some(team) = &filter.team {
            select.and("team = ", team.as_str());
        }
        if let Some(actor) = &filter.actor {
            select.and("actor = ", actor.as_str());
        }
        if let Some(teams) = &filter.teams {
            select.one_of("team", teams);
        }
        if let Some(upto) = filter.upto {
            select.and("seq <= ", upto);
        }
        let rows = select
            .run(self, "seq", limit.clamp(1, Self::MAX_EVENTS))
            .await?;
        rows.iter()
            .map(|row| read_event(row, self.inner.platform))
            .collect()
    }

    /// The place in the log after which those events are that happened at `time` or later. The log is in
    /// the order of its commits: where replicas' clocks differ, it is as exact as they are.
    pub async fn place_before(&self, time: Timestamp) -> Result<i64> {
        let all = EventFilter::default();
        let (mut before, mut from) = (0, self.head().await?);
        while before < from {
            let middle = before + (from - before) / 2;
            match self.events(&all, middle, 1).await?.first() {
                Some(event) if event.committed() < time => before = event.seq,
                _ => from = middle,
            }
        }
        Ok(before)
    }

    /// The newest event's place in the log; 0 while there is none.
    pub async fn head(&self) -> Result<i64> {
        let row = self
            .inner
            .readers
            .first("SELECT COALESCE(MAX(seq), 0) FROM event", vec![])
            .await?;
        row.map_or(Ok(0), |row| row.int(0))
    }
}

/// A `SELECT` that is put together from literals; what comes from outside is bound.
pub(super) struct Select {
    sql: String,
    values: Vec<Value>,
    conditions: usize,
}

impl Select {
    pub(super) fn new(columns: &'static str) -> Self {
        Self {
            sql: columns.into(),
            values: Vec::new(),
            conditions: 0,
        }
    }

    /// Binds a value; gives its placeholder.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn condition(&mut self, condition: &str) {
        self.sql.push_str(if self.conditions == 0 {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
        self.conditions += 1;
    }

    pub(super) fn and(&mut self, comparison: &'static str, value: impl Into<Value>) {
        let place = self.bind(value);
        self.condition(&format!("{comparison}{place}"));
    }

    fn one_of(&mut self, column: &'static str, values: &[String]) {
        let places: Vec<String> = values
            .iter()
            .map(|value| self.bind(value.as_str()))
            .collect();
        self.condition(&match places.as_slice() {
            [] => "1 = 0".to_owned(),
            places => format!("{column} IN ({})", places.join(", ")),
        });
    }

    /// Texts sort by byte on both databases, so that what begins with `prefix` is one range of an index.
    pub(super) fn prefix(&mut self, column: &'static str, prefix: &str) {
        let range = self.range(column, prefix);
        self.condition(&range);
    }

    fn range(&mut self, column: &'static str, prefix: &str) -> String {
        let first = self.bind(prefix);
        match end_of(prefix) {
            None => format!("{column} >= {first}"),
            Some(end) => {
                let end = self.bind(end);
                format!("({column} >= {first} AND {column} < {end})")
            }
        }
    }

    pub(super) async fn run(
        mut self,
        store: &Store,
        order: &'static str,
        limit: usize,
    ) -> Result<Vec<super::sql::Row>> {
        // Nothing that is stored contains NUL, and Postgres takes none.
        let nul = |value: &Value| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
        if self.values.iter().any(nul) {
            return Ok(vec![]);
        }
        let limit = self.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let sql = format!("{} ORDER BY {order} LIMIT {limit}", self.sql);
        store.inner.readers.all(&sql, self.values).await
    }
}

/// In characters, as `substr` counts on both databases.
fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// The first text after all that begin with `prefix`; none where there is no such text.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The range knows of the characters that there are, and leaves out surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn cursor_at(document: &Document) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", document.meta.scope, document.meta.name))
}

fn read_cursor(cursor: &str) -> Result<(String, String)> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let (scope, name) = text.split_once('/')?;
            Some((scope.to_owned(), name.to_owned()))
        })
        .ok_or_else(|| {
            Error::invalid("the cursor `after` is not one of ours")
                .remedy("use `next` of the page before, unaltered")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_prefix_ends_before_the_next() {
        assert_eq!(end_of("team/").as_deref(), Some("team0"));
        assert_eq!(end_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{10ffff}"), None);
        assert_eq!(end_of(""), None);
    }
}
