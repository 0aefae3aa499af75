//! `/v1/events`: the event log, to read and to watch.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Json, Query, Session, Sight, event_stream};
use crate::{Caller, Error, ErrorKind, Event, EventFilter, Guard, Result, Store, Target};

/// Events in an answer where the caller does not say.
const DEFAULT_LIMIT: usize = 100;

/// What the routes of the kernel add to the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(list_events),
    components(schemas(Event, EventPage, super::ProblemDocument))
)]
pub struct EventsApi;

/// Which events, and from where on.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// After this place in the log (`seq`); from its beginning where it is absent. A stream begins
    /// at `Last-Event-ID`, else here, else at the newest event. A place beyond the log's end is refused.
    pub after: Option<i64>,
    /// How many at the most, up to 1000; 100 where it is absent. Does not concern a stream.
    pub limit: Option<usize>,
    /// Types that begin with this, whoever published them; `dev.towpath.` at the beginning of the platform's
    /// own may be left out.
    #[serde(rename = "type")]
    pub type_prefix: Option<String>,
    /// About this resource (`Kind/scope/name`), or those below it.
    pub subject: Option<String>,
    /// Of this piece of work.
    #[param(value_type = Option<String>, format = Uuid)]
    pub correlation: Option<Uuid>,
    /// Of this team.
    pub team: Option<String>,
    /// Caused by this one, as `towpath whoami` shows them: `local:ada`.
    pub actor: Option<String>,
    /// That were committed at this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

/// A page of the event log.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventPage {
    /// The events, oldest first.
    pub items: Vec<Event>,
    /// What to send as `after` to read on.
    pub next: i64,
}

/// The routes of the kernel. Everybody sees the events that `guard` lets them see. Streams end with
/// `stop`.
pub fn routes(store: Store, guard: Guard, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/events", get(list_events))
        .with_state(Log { store, guard, stop })
}

#[derive(Clone)]
struct Log {
    store: Store,
    guard: Guard,
    stop: CancellationToken,
}

/// Reads the event log, or watches it where the caller accepts `text/event-stream`.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<i64>, Header, description = "Resumes a stream")),
    responses(
        (status = 200, description = "The events, oldest first", content(
            (EventPage = "application/json"),
            (Event = "text/event-stream"),
        )),
        (status = 404, description = "There is no such team, or none that the caller may see", body = super::ProblemDocument),
        (status = 422, description = "The query is not as it should be", body = super::ProblemDocument),
    )
)]
async fn list_events(
    State(Log { store, guard, stop }): State<Log>,
    session: Session,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    if let Some(team) = &query.team {
        check_team(&store, &guard, &session.caller, team).await?;
    }
    if let Some(after) = query.after {
        check_place(&store, "`after`", after).await?;
    }
    let filter = EventFilter {
        type_beginning: query.type_prefix,
        subject: query.subject,
        correlation: query.correlation,
        team: query.team,
        actor: query.actor,
        ..EventFilter::default()
    };
    let since = match query.since {
        Some(time) => Some(store.place_before(time).await?),
        None => None,
    };
    let begin = query.after.max(since);
    let sight = Sight::new(guard, session);
    if wants_stream(&headers) {
        let last = last_event_id(&headers)?;
        if let Some(last) = last {
            check_place(&store, "Last-Event-ID", last).await?;
        }
        let after = match last.or(begin) {
            Some(after) => after,
            None => store.head().await?,
        };
        return Ok(event_stream(store, filter, after, sight, stop).into_response());
    }
    let after = begin.unwrap_or(0);
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let items = seen(&store, &filter, &sight, after, limit).await?;
    let next = items.last().map_or(after, |event| event.seq);
    Ok(Json(EventPage { items, next }).into_response())
}

/// That there is a team of this name whose events the caller may see: who followed those of none would wait in
/// silence. Of a team that is gone the operators have the past.
async fn check_team(store: &Store, guard: &Guard, caller: &Caller, team: &str) -> Result<()> {
    let known = guard.expect_team(caller, team).await;
    if !caller.admin {
        known?;
        if caller.teams.iter().any(|one| one == team) {
            return Ok(());
        }
        let of_team = Target {
            kind: "Team",
            name: team,
            team,
            ..Target::default()
        };
        return guard.require(caller, Sight::READ, &of_team).await;
    }
    match known {
        Err(missing) if missing.kind == ErrorKind::NotFound => {
            let filter = EventFilter {
                team: Some(team.into()),
                ..EventFilter::default()
            };
            let past = store.events(&filter, 0, 1).await?;
            if past.is_empty() {
                Err(missing)
            } else {
                Ok(())
            }
        }
        known => known,
    }
}

/// That `place`, given as `name`, is one that the log can have given. Beyond its end are those of
/// another log, of one before a restore too: whoever went on from there would wait in silence.
async fn check_place(store: &Store, name: &str, place: i64) -> Result<()> {
    if place < 0 {
        return Err(Error::invalid(format!("{name} is negative"))
            .remedy("send the place of the last event that was received, or none"));
    }
    if place == 0 {
        return Ok(());
    }
    let head = store.head().await?;
    if place > head {
        return Err(Error::invalid(format!(
            "{name} is {place}, and the log ends at {head}: it is the place of another log, or of this one \
             before it was restored from a backup"
        ))
        .remedy(format!(
            "go on at {head}, or read the log anew from 0 and pass over what is known by its `id`"
        )));
    }
    Ok(())
}

/// The events after place `after` that the caller may see, as many as there are up to `limit`.
async fn seen(
    store: &Store,
    filter: &EventFilter,
    sight: &Sight,
    mut after: i64,
    limit: usize,
) -> Result<Vec<Event>> {
    let limit = limit.clamp(1, Store::MAX_EVENTS);
    let mut seen = Vec::new();
    let mut part = limit;
    loop {
        let events = store.events(&sight.narrow(filter), after, part).await?;
        let is_last = events.len() < part;
        after = events.last().map_or(after, |event| event.seq);
        for event in events {
            // Each is asked for: a long log lets others run in between.
            tokio::task::consume_budget().await;
            if sight.sees(&event)? {
                seen.push(event);
                if seen.len() == limit {
                    return Ok(seen);
                }
            }
        }
        if is_last {
            return Ok(seen);
        }
        part = Store::MAX_EVENTS;
    }
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Error::invalid("Last-Event-ID is not one of ours")
                .remedy("send the id of the last event that was received, or none")
        })
}
