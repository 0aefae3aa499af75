//! Running a request once, however often it is sent.

use std::{collections::BTreeMap, future::Future};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::IdempotencyKey;
use crate::{
    Caller, Error, Result, Store,
    store::{Idempotency, Replay},
};

/// Headers that are part of an answer, and not of its transport.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
/// The longest answer that is kept: far above what a write is answered with.
const LONGEST: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Runs `work` for a request that may be sent several times with one key, and gives later ones the
/// first one's answer. `request` is all that makes it this request: operation, path, body.
///
/// The work goes on where the caller hangs up. An error is not kept: nothing was done, and the
/// request may be sent again. A process that is killed between the work's commit and the keeping
/// leaves the key taken for a minute, then free: work names what it makes, so that a second run
/// finds it made.
pub async fn idempotent<F, W>(
    store: &Store,
    caller: &Caller,
    IdempotencyKey(key): IdempotencyKey,
    request: &impl Serialize,
    work: W,
) -> Result<Response>
where
    W: FnOnce() -> F,
    F: Future<Output = Result<Response>> + Send + 'static,
{
    let Some(key) = key else {
        return work().await;
    };
    let digest: [u8; 32] = serde_json::to_vec(request)
        .map(|bytes| Sha256::digest(bytes).into())
        .map_err(|error| Error::internal("a request could not be serialized", error))?;
    let subject = caller.subject.clone();
    if let Idempotency::Answered(replay) = store.idempotent(&subject, &key, digest).await? {
        return replayed(&replay);
    }
    let (store, work) = (store.clone(), work());
    tokio::spawn(async move {
        match work.await {
            Ok(response) => {
                let (replay, response) = kept(response).await?;
                store.keep_answer(&subject, &key, replay).await?;
                Ok(response)
            }
            Err(error) => {
                store.forget_answer(&subject, &key).await?;
                Err(error)
            }
        }
    })
    .await
    .map_err(|error| Error::internal("a request's work did not end well", error))?
}

async fn kept(response: Response) -> Result<(Replay, Response)> {
    let (parts, body) = response.into_parts();
    let body: Bytes = to_bytes(body, LONGEST)
        .await
        .map_err(|error| Error::internal("an answer is too long to be kept", error))?;
    let text = String::from_utf8(body.to_vec())
        .map_err(|error| Error::internal("an answer that is not text cannot be kept", error))?;
    let headers = KEPT
        .iter()
        .filter_map(|name| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some((name.to_string(), value.to_owned()))
        })
        .collect();
    let replay = Replay {
        status: parts.status.as_u16(),
        body: serde_json::to_vec(&Kept {
            headers,
            body: text,
        })
        .map_err(|error| Error::internal("an answer could not be kept", error))?,
    };
    Ok((replay, Response::from_parts(parts, Body::from(body))))
}

fn replayed(replay: &Replay) -> Result<Response> {
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::internal("a kept answer is not readable", error)
    };
    let kept: Kept =
        serde_json::from_slice(&replay.body).map_err(|error| unreadable(error.into()))?;
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() =
        StatusCode::from_u16(replay.status).map_err(|error| unreadable(error.into()))?;
    for (name, value) in kept.headers {
        let name: HeaderName = name.parse().map_err(|_| unreadable("header name".into()))?;
        let value = HeaderValue::from_str(&value).map_err(|error| unreadable(error.into()))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
