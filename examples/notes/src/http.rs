//! The routes.

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    App,
    attachments::BucketError,
    notes::{Attachment, Note},
    page,
};

const LONGEST_NOTE: usize = 4000;
const LONGEST_NAME: usize = 200;
const LARGEST_ATTACHMENT: u64 = 25 * 1024 * 1024;
/// Media types that a browser may show within the page. Others, HTML and SVG above all, are saved.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const VERSION: HeaderName = HeaderName::from_static("x-version");

/// The whole service.
pub fn router(app: App) -> Router {
    let version = HeaderValue::from_str(&app.version).unwrap_or(HeaderValue::from_static("?"));
    Router::new()
        .route("/", get(index))
        .route(
            "/page.css",
            get(|| async { ([(CONTENT_TYPE, "text/css")], page::STYLE) }),
        )
        .route(
            "/page.js",
            get(|| async { ([(CONTENT_TYPE, "text/javascript")], page::SCRIPT) }),
        )
        .route("/api/notes", get(list).post(create))
        .route("/api/notes/{id}", axum::routing::delete(delete))
        .route("/api/notes/{id}/attachments", post(attach))
        .route("/api/attachments/{id}", get(download))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Failure::NotFound("there is nothing at this address") })
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(middleware::map_response(move |mut response: Response| {
            let version = version.clone();
            async move {
                response.headers_mut().insert(VERSION, version);
                response
            }
        }))
        .with_state(app)
}

async fn index(State(app): State<App>) -> Result<impl IntoResponse, Failure> {
    let notes = app.notes.list().await?;
    let policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    let html = page::render(&app.greeting, &app.version, &notes);
    Ok(([(CONTENT_SECURITY_POLICY, policy)], Html(html)))
}

async fn list(State(app): State<App>) -> Result<Json<Vec<Note>>, Failure> {
    Ok(Json(app.notes.list().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    body: String,
}

async fn create(
    State(app): State<App>,
    Json(new): Json<NewNote>,
) -> Result<impl IntoResponse, Failure> {
    let body = new.body.trim();
    if body.is_empty() || body.chars().count() > LONGEST_NOTE || body.contains('\0') {
        return Err(Failure::Refused("a note has 1 to 4000 characters"));
    }
    let id = app.notes.create(body).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn delete(State(app): State<App>, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    let attached = app
        .notes
        .delete(id)
        .await?
        .ok_or(Failure::NotFound("there is no such note"))?;
    for attachment in attached {
        // The note is gone either way; an object left behind is found by its key in the log.
        if let Err(error) = app.attachments.delete(&attachment.key()).await {
            tracing::warn!(%error, key = attachment.key(), "an attachment's object is left behind");
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Upload {
    name: String,
}

async fn attach(
    State(app): State<App>,
    Path(note): Path<i64>,
    Query(Upload { name }): Query<Upload>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let size: u64 = text(CONTENT_LENGTH)
        .and_then(|size| size.parse().ok())
        .ok_or(Failure::Refused(
            "send the attachment with its Content-Length",
        ))?;
    let media_type = text(CONTENT_TYPE)
        .unwrap_or("application/octet-stream")
        .to_owned();
    if size > LARGEST_ATTACHMENT {
        return Err(Failure::TooLarge("an attachment has at most 25 MiB"));
    }
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(char::is_control) {
        return Err(Failure::Refused(
            "an attachment's name has 1 to 200 characters",
        ));
    }
    if !app.notes.exists(note).await? {
        return Err(Failure::NotFound("there is no such note"));
    }
    let id = app.notes.next_attachment().await?;
    let attachment = Attachment {
        id,
        note,
        name,
        media_type,
        size: size.cast_signed(),
    };
    let bytes = reqwest::Body::wrap_stream(body.into_data_stream());
    app.attachments.put(&attachment.key(), size, bytes).await?;
    if let Err(error) = app.notes.attach(&attachment).await {
        // Deleted meanwhile, or no database: what nobody knows of is not kept.
        app.attachments.delete(&attachment.key()).await?;
        return Err(error.into());
    }
    Ok((StatusCode::CREATED, Json(attachment)))
}

async fn download(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failure> {
    let missing = Failure::NotFound("there is no such attachment");
    let attachment = app.notes.attachment(id).await?.ok_or(missing)?;
    let object = app.attachments.get(&attachment.key()).await?;
    let shown = SHOWN.contains(&attachment.media_type.as_str());
    let media_type = if shown {
        &attachment.media_type
    } else {
        "application/octet-stream"
    };
    let disposition = format!(
        "{}; filename*=UTF-8''{}",
        if shown { "inline" } else { "attachment" },
        percent_encoded(&attachment.name)
    );
    let mut headers = HeaderMap::new();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CONTENT_DISPOSITION, &disposition),
        (CONTENT_LENGTH, &attachment.size.to_string()),
    ] {
        headers.insert(
            name,
            HeaderValue::from_str(value).map_err(|_| Failure::Internal)?,
        );
    }
    Ok((headers, Body::from_stream(object.bytes_stream())).into_response())
}

async fn ready(State(app): State<App>) -> Response {
    match app.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// As RFC 5987 wants it in a header.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What goes wrong, as the client sees it. What is not the client's doing is in the log.
enum Failure {
    Refused(&'static str),
    NotFound(&'static str),
    TooLarge(&'static str),
    Unavailable(&'static str),
    Internal,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database");
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => {
                Self::Unavailable("the database is out of reach")
            }
            _ => Self::Internal,
        }
    }
}

impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        tracing::error!(%error, source = ?std::error::Error::source(&error), "the bucket");
        Self::Unavailable("the attachments are out of reach")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Refused(text) => (StatusCode::UNPROCESSABLE_ENTITY, text),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::TooLarge(text) => (StatusCode::PAYLOAD_TOO_LARGE, text),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "something went wrong here",
            ),
        };
        (status, Json(json!({ "error": text }))).into_response()
    }
}
