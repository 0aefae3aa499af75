//! `POST /v1/events`: decode, one call to the service, encode.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, header},
    routing::post,
};
use jiff::Timestamp;
use kernel::{
    Caller, Error, Problem, Result,
    http::{Json, Whole, expect_json, read_json},
};
use serde_json::{Map, Value};

use crate::{
    Publications,
    api::{CloudEvent, PublishedEvents},
    model::{Draft, LARGEST, MOST, source::unescaped},
};

/// What the attributes of binary mode begin with, as headers.
const BINARY: &str = "ce-";

/// The largest request: the largest batch, with room for how its publisher writes JSON (indents, escapes).
const BODY_LIMIT: usize = MOST * LARGEST * 5 / 4;

/// The route, below `/v1`.
pub fn routes(service: Arc<Publications>) -> Router {
    Router::new()
        .route("/v1/events", post(publish_events))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(service)
}

/// The OpenAPI description of the route.
#[derive(utoipa::OpenApi)]
#[openapi(paths(publish_events), components(schemas(CloudEvent)))]
pub struct ApiDoc;

/// Publishes what has happened outside: one event, or a batch of up to 100, all or nothing. The same source
/// and id of one team again is the same event, and there once.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    request_body(content(
        (CloudEvent = "application/cloudevents+json"),
        (Vec<CloudEvent> = "application/cloudevents-batch+json"),
        (CloudEvent = "application/json"),
    ), description = "CloudEvents 1.0 in structured or batch mode; in binary mode the attributes are the headers \
        `ce-*`, and the body is the data, if any"),
    responses((status = 200, description = "They are in the log", body = PublishedEvents),
        (status = 403), (status = 404), (status = 409, description = "Another event has this source and id"),
        (status = 413), (status = 422), (status = 429, description = "Too many; Retry-After says when"))
)]
async fn publish_events(
    State(service): State<Arc<Publications>>,
    caller: Caller,
    headers: HeaderMap,
    body: Whole,
) -> Result<Json<PublishedEvents>> {
    // Checking a large batch is work as reading it is, and done with it.
    let drafts = body.read(move |body| read(&headers, body)).await?;
    let items = service.publish(&caller, drafts).await?;
    Ok(Json(PublishedEvents { items }))
}

/// The events of a request, in whichever mode.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Draft>> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    // Of one who sends the JSON format, headers are no attributes: CloudEvents' HTTP binding, 3.
    let is_binary = !kind.starts_with("application/cloudevents")
        && headers.keys().any(|name| name.as_str().starts_with(BINARY));
    // Data may be left out, and nobody says of nothing what it is.
    let body = if is_binary && body.is_empty() {
        Value::Null
    } else {
        expect_json(headers)?;
        read_json(body)?
    };
    let is_batch = kind == "application/cloudevents-batch+json";
    let wrong = |message: &str| {
        Err(Error::invalid(message.to_owned()).remedy(
        "send one event as `application/cloudevents+json`, or a list of them as `application/cloudevents-batch+json`",
    ))
    };
    let all = match body {
        data if is_binary => vec![(String::new(), Value::Object(binary(headers, data)?))],
        Value::Array(events) if is_batch || kind == "application/json" => {
            if events.len() > MOST {
                let message = format!("{} events are more than {MOST}", events.len());
                return Err(Error::problems(
                    message.clone(),
                    vec![Problem::new("event/count", "", message)],
                )
                .remedy("send them in several batches"));
            }
            // Of one alone it need not be said which.
            let is_one = events.len() == 1;
            let place = |at: usize| {
                if is_one {
                    String::new()
                } else {
                    format!("[{at}]")
                }
            };
            let events = events.into_iter().enumerate();
            events.map(|(at, event)| (place(at), event)).collect()
        }
        Value::Array(_) => return wrong("a list of events is a batch, and not said to be one"),
        _ if is_batch => return wrong("a batch is a list of events"),
        one => vec![(String::new(), one)],
    };
    let now = Timestamp::now();
    let mut drafts = Vec::with_capacity(all.len());
    let mut problems = Vec::new();
    for (place, event) in all {
        match event {
            Value::Object(envelope) => match Draft::read(envelope, &place, now) {
                Ok(draft) => drafts.push(draft),
                Err(wrong) => problems.extend(wrong),
            },
            _ => problems.push(Problem::new("event/shape", place, "an event is an object")),
        }
    }
    match problems.first() {
        None => Ok(drafts),
        Some(first) => {
            let place = match first.path.as_str() {
                "" => String::new(),
                path => format!(" at `{path}`"),
            };
            let message = format!("the event is not as it should be{place}: {}", first.message);
            Err(Error::problems(message, problems))
        }
    }
}

/// An event in binary mode, in the shape of the others. Values are percent-encoded (CloudEvents' HTTP
/// binding, 3.1.3.2); what is beyond ASCII may stand as it is.
fn binary(headers: &HeaderMap, data: Value) -> Result<Map<String, Value>> {
    let mut envelope = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(BINARY) else {
            continue;
        };
        let wrong = |why: &str| {
            let message = format!("the header {name} {why}");
            let problem = Problem::new("event/attribute", name.as_str(), message.clone());
            Error::problems(message, vec![problem])
        };
        if matches!(attribute, "data" | "datacontenttype") {
            return Err(wrong(
                "is none: the body is the data, and Content-Type says what it is",
            ));
        }
        let text = String::from_utf8(unescaped(value.as_bytes()))
            .map_err(|_| wrong("is no text in UTF-8"))?;
        let before = envelope.insert(attribute.to_owned(), Value::String(text));
        if before.is_some() {
            return Err(wrong("is there twice"));
        }
    }
    envelope.insert("data".into(), data);
    Ok(envelope)
}
