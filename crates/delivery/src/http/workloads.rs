//! `/v1/environments/{environment}/workloads`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt, stream};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, Path, Query, Session},
};

use super::{one_in, page_in, written};
use crate::{
    api::{Data, ListQuery, LogParams, Removal, RenderedRelease},
    engine::{LogLine, LogQuery},
    model::Workload,
    service::Delivery,
};

type Service = State<Arc<Delivery>>;

/// How many lines a list answers at the most.
const MOST_LINES: usize = 10_000;

/// Workloads of an environment, by name.
#[utoipa::path(get, path = "/v1/environments/{environment}/workloads", operation_id = "workloads", tag = "workloads",
    params(("environment" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_in::<Workload>(&delivery, &caller, &environment, query).await
}

/// One workload.
#[utoipa::path(get, path = "/v1/environments/{environment}/workloads/{name}", operation_id = "workload", tag = "workloads",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response> {
    one_in::<Workload>(&delivery, &caller, &environment, &name).await
}

/// Asks for the removal of a workload, its routes, and what nobody else uses. What holds data stays
/// unless `data=remove`.
#[utoipa::path(delete, path = "/v1/environments/{environment}/workloads/{name}", operation_id = "workload_delete", tag = "workloads",
    params(("environment" = String, Path), ("name" = String, Path), ("data" = Option<Data>, Query), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((environment, name)): Path<(String, String)>,
    Query(removal): Query<Removal>,
) -> Result<Response> {
    let with_data = removal.data == Data::Remove;
    let workload = delivery
        .workload_delete(&caller, &environment, &name, with_data, revision)
        .await?;
    written(StatusCode::ACCEPTED, &workload)
}

/// What the engine is handed of a workload: every variable, file and mount, resolved. A secret stands as
/// `(secret ${resources.NAME.OUTPUT})`.
#[utoipa::path(get, path = "/v1/environments/{environment}/workloads/{name}/release", operation_id = "workload_release", tag = "workloads",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = RenderedRelease), (status = 404), (status = 409, description = "Something that it uses is not there yet")))]
pub(super) async fn release(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Json<RenderedRelease>> {
    let found = delivery.workload_release(&caller, &environment, &name);
    found.await.map(Json)
}

/// Lines of a workload's log: a list, or with `follow` server-sent events.
#[utoipa::path(get, path = "/v1/environments/{environment}/workloads/{name}/logs", tag = "workloads",
    params(("environment" = String, Path), ("name" = String, Path),
        ("container" = Option<String>, Query), ("release" = Option<u64>, Query),
        ("tail" = Option<usize>, Query), ("follow" = Option<bool>, Query)),
    responses((status = 200, body = Vec<LogLine>), (status = 403), (status = 404), (status = 409), (status = 503)))]
pub(super) async fn logs(
    State(delivery): Service,
    session: Session,
    Path((environment, name)): Path<(String, String)>,
    Query(params): Query<LogParams>,
) -> Result<Response> {
    let follow = params.follow;
    let query = LogQuery {
        container: params.container,
        release: params.release,
        tail: params.tail.or((!follow).then_some(MOST_LINES)),
        follow,
    };
    let lines = delivery
        .workload_logs(&session.caller, &environment, &name, query)
        .await?;
    if !follow {
        let lines: Vec<LogLine> = lines.take(MOST_LINES).collect().await;
        return Ok(Json(lines).into_response());
    }
    let reader = Reader {
        delivery,
        session,
        environment,
        name,
    };
    let lines = stream::unfold((lines, reader), |(mut lines, mut reader)| async {
        let line = lines.next().await?;
        match reader.may_go_on().await {
            Ok(()) => Some((line, (lines, reader))),
            Err(error) => {
                tracing::debug!(chain = error.chain(), "a log is followed no more");
                None
            }
        }
    });
    let events = lines.map(|line| {
        let event = Event::default().event("line").json_data(&line);
        Ok::<_, Infallible>(event.unwrap_or_else(|_| Event::default().comment("unreadable line")))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// Who follows a log.
struct Reader {
    delivery: Arc<Delivery>,
    session: Session,
    environment: String,
    name: String,
}

impl Reader {
    /// Whether they still may: asked again as often as the session says.
    async fn may_go_on(&mut self) -> Result<()> {
        if !self.session.renew().await? {
            return Ok(());
        }
        self.delivery
            .may_read_logs(&self.session.caller, &self.environment, &self.name)
            .await
    }
}
