//! Running a request once, however often it is sent.

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{IdempotencyKey, Session, Whole, correlation, problem};
use crate::{
    Error, Result, Secret, Store,
    store::{Ended, Held, Idempotency, Replay},
};

/// Headers that are part of an answer, and not of its transport.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
/// The longest answer that is kept: above what a write is answered with, and little where there are a thousand.
const LONGEST: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Said of work that broke off after it had committed something.
const LOOK: &str = "it was carried out at least in part: look at what there is now, and send what is still \
                    missing with a new Idempotency-Key";
/// Said of it beside what it says itself, which knows better what helps.
const ANEW: &str = "what was done by then stands, and asking again takes a new Idempotency-Key, which each \
                    new command has";

/// Where the keys of requests are kept.
#[derive(Clone)]
pub struct IdempotencyKeys {
    /// The store, which what the requests commit goes to as well.
    pub store: Store,
    /// Keys the digests that requests are known again by: what is in a body does not follow from them. The same
    /// in all replicas.
    pub digest_key: Secret,
}

/// What makes it this request, beside its body.
#[derive(Serialize)]
struct Head {
    method: String,
    path_and_query: String,
    if_match: Vec<String>,
}

/// Middleware: does once what a request with an `Idempotency-Key` asks for, however often it is sent, and gives
/// the later ones the first one's answer. Requests that change nothing, by their method, are passed on; so are those
/// without a key. Whoever is not known is refused before anything is looked up.
///
/// The work goes on where the caller hangs up, and whoever sends the request again meanwhile waits for its answer
/// ([`Store::idempotent`]). What it commits to the store carries the key in the same transaction ([`Held::during`]),
/// and so holds, whatever is killed when:
/// - Work that has committed nothing frees its key, at once or within a minute: sent again, it is run.
/// - Work that was refused (4xx) frees its key: its caller knows why, and may send it again.
/// - Work that has committed something is not run again under the key. Where it broke off (5xx), whoever sends it
///   again is told why for a day; where its answer was lost with the process, they are told that, and look.
///
/// An answer that has no end that is known, is longer than 64 KiB, or is no text, is given once and not kept: whoever
/// sends the request again is told that it was carried out, and looks. Of one caller the newest thousand are kept.
///
/// What work does at other servers is in no transaction of ours: it names what it makes there, so that a
/// second run finds it.
pub async fn idempotent(
    State(keys): State<IdempotencyKeys>,
    request: Request,
    next: Next,
) -> Response {
    let answer = once(keys, request, next).await;
    answer.unwrap_or_else(Error::into_response)
}

async fn once(keys: IdempotencyKeys, request: Request, next: Next) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    let key = IdempotencyKey::from_request_parts(&mut parts, &()).await;
    if parts.method.is_safe() || matches!(key, Ok(IdempotencyKey(None))) {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let session = Session::from_request_parts(&mut parts, &()).await?;
    let subject = session.caller.subject.clone();
    parts.extensions.insert(session);
    let key = key?.0.unwrap_or_default();
    let head = Head::of(&parts);
    let (body, request) = Whole::ahead(Request::from_parts(parts, body)).await?;
    let IdempotencyKeys { store, digest_key } = keys;
    let digest = body
        .read(move |body| digest(&digest_key, &head, body))
        .await?;
    let held = match store.idempotent(&subject, &key, digest).await? {
        Idempotency::Answered(replay) => return replayed(&replay),
        Idempotency::First(held) => held,
    };
    let work = correlation::elsewhere(next.run(request));
    tokio::spawn(async move {
        let response = held.clone().during(work).await;
        ended(&store, held, response).await
    })
    .await
    .map_err(|error| Error::internal("a request's work did not end well", error))?
}

impl Head {
    fn of(parts: &Parts) -> Self {
        let Parts {
            method,
            uri,
            headers,
            ..
        } = parts;
        let if_match = headers.get_all(header::IF_MATCH).iter();
        Self {
            method: method.to_string(),
            path_and_query: uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            if_match: if_match
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect(),
        }
    }
}

/// What a request is known again by.
fn digest(key: &Secret, head: &Head, body: &[u8]) -> Result<[u8; 32]> {
    let head = serde_json::to_vec(head)
        .map_err(|error| Error::internal("a request could not be serialized", error))?;
    let key = key.derive("towpath request digest", 32);
    let keyed = || Sha256::new_with_prefix(key.expose());
    // JSON says itself where it ends, and the body begins.
    let inner = keyed().chain_update(head).chain_update(body).finalize();
    // Twice, as HMAC does: the inner digest alone could be extended by who does not have the key.
    Ok(keyed().chain_update(inner).finalize().into())
}

/// Keeps what the work has ended with, or frees its key; gives what the caller is told.
async fn ended(store: &Store, held: Held, response: Response) -> Result<Response> {
    let ended = match response.status() {
        status if status.is_client_error() => Ended::Refused,
        status if status.is_server_error() => Ended::BrokenOff,
        _ => return keep(store, held, response).await,
    };
    match store.forget_answer(held.clone(), ended).await {
        Ok(true) => Ok(response),
        Ok(false) => keep(store, held, broken_off(response)).await,
        Err(error) => {
            tracing::warn!(error = error.chain(), "an idempotency key was not freed");
            Ok(response)
        }
    }
}

/// What work is answered with that broke off after it had committed something. Under its key that will not change:
/// there is nothing to wait for.
fn broken_off(response: Response) -> Response {
    let mut response = problem::with_remedy(response, |own| match own {
        Some(own) => format!("{own}; {ANEW}"),
        None => LOOK.into(),
    });
    response.headers_mut().remove(header::RETRY_AFTER);
    response
}

/// Keeps the answer. The work is done, whether that succeeds or not.
async fn keep(store: &Store, held: Held, response: Response) -> Result<Response> {
    let longest = response.body().size_hint().upper();
    if longest.is_none_or(|length| length > LONGEST as u64) {
        tracing::debug!("an answer is too long to be kept");
        lose(store, held).await;
        return Ok(response);
    }
    let (replay, response) = kept(response).await?;
    let Some(replay) = replay else {
        lose(store, held).await;
        return Ok(response);
    };
    if let Err(error) = store.keep_answer(held, replay).await {
        tracing::warn!(error = error.chain(), "an answer could not be kept");
    }
    Ok(response)
}

/// Notes that the answer is not kept.
async fn lose(store: &Store, held: Held) {
    if let Err(error) = store.lose_answer(held).await {
        tracing::warn!(
            error = error.chain(),
            "that an answer is not kept could not be noted"
        );
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
