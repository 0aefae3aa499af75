//! Running a request once, however often it is sent.

use std::{collections::BTreeMap, future::Future};

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::IdempotencyKey;
use crate::{
    Caller, Error, ErrorKind, Result, Store,
    store::{Ended, Held, Idempotency, Replay},
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

/// Said of work that broke off after it had committed something.
const LOOK: &str = "it was carried out at least in part: look at what there is now, and send what is still \
                    missing with a new Idempotency-Key";

/// Runs `work` for a request that may be sent several times with one key, and gives later ones the
/// first one's answer. `request` is all that makes it this request: operation, path, body.
///
/// The work goes on where the caller hangs up. What it commits to the store carries the key in the same
/// transaction ([`Held::during`]), and so holds, whatever is killed when:
/// - Work that has committed nothing frees its key, at once or within a minute: sent again, it is run.
/// - Work that was refused frees its key: its caller knows why, and may send it again.
/// - Work that has committed something is not run again under the key. Where it broke off, or its answer
///   was lost with the process, whoever sends it again is told so for a day, and looks.
///
/// What work does at other servers is in no transaction of ours: it names what it makes there, so that a
/// second run finds it.
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
    let held = match store.idempotent(&caller.subject, &key, digest).await? {
        Idempotency::Answered(replay) => return replayed(&replay),
        Idempotency::First(held) => held,
    };
    let (store, work) = (store.clone(), work());
    tokio::spawn(async move {
        match held.clone().during(work).await {
            Ok(response) => Ok(keep(&store, held, response).await?),
            Err(error) => Err(forget(&store, held, error).await),
        }
    })
    .await
    .map_err(|error| Error::internal("a request's work did not end well", error))?
}

/// Keeps the answer. The work is done, whether that succeeds or not.
async fn keep(store: &Store, held: Held, response: Response) -> Result<Response> {
    let longest = response.body().size_hint().upper();
    if longest.is_none_or(|length| length > LONGEST as u64) {
        tracing::warn!("an answer is too long to be kept");
        return Ok(response);
    }
    let (replay, response) = kept(response).await?;
    if let Some(replay) = replay
        && let Err(error) = store.keep_answer(held, replay).await
    {
        tracing::warn!(error = error.chain(), "an answer could not be kept");
    }
    Ok(response)
}

/// Frees the key where that is safe; gives what the caller is told.
async fn forget(store: &Store, held: Held, error: Error) -> Error {
    let ended = match error.kind {
        ErrorKind::Unavailable | ErrorKind::Internal => Ended::BrokenOff,
        _ => Ended::Refused,
    };
    match store.forget_answer(held, ended).await {
        Ok(true) => error,
        Ok(false) => error.remedy(LOOK),
        Err(other) => {
            tracing::warn!(error = other.chain(), "an idempotency key was not freed");
            error
        }
    }
}

/// The answer as it is kept, where it is text; and as it is given.
async fn kept(response: Response) -> Result<(Option<Replay>, Response)> {
    let (parts, body) = response.into_parts();
    let body: Bytes = to_bytes(body, LONGEST)
        .await
        .map_err(|error| Error::internal("an answer could not be read", error))?;
    let Ok(text) = String::from_utf8(body.to_vec()) else {
        tracing::warn!("an answer that is not text is not kept");
        return Ok((None, Response::from_parts(parts, Body::from(body))));
    };
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
    Ok((Some(replay), Response::from_parts(parts, Body::from(body))))
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
