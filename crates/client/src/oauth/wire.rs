//! Requests to a provider, and what it answers.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Result};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Tries of a request that broke on the way, the first included: the provider gives the answer to a
/// refresh once more for a minute.
const TRIES: u32 = 3;

/// The wait between two of them.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest answer that is read: tokens with some hundred teams.
const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What a good answer says; tried again where the connection broke.
pub(super) async fn ask<T: DeserializeOwned>(
    server: &str,
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Result<T> {
    read(server, &answer(server, request).await?)
}

/// The same, asked for once: for what may not be shown a second time.
pub(super) async fn ask_once<T: DeserializeOwned>(
    server: &str,
    request: reqwest::RequestBuilder,
) -> Result<T> {
    read(server, &once(server, request).await?)
}

fn read<T: DeserializeOwned>(server: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::Protocol {
        server: server.into(),
        // Not the text of the answer: it may hold a token.
        reason: format!("an answer that is not as expected ({})", fault(&error)),
    })
}

/// What is wrong with JSON, without a word of it.
fn fault(error: &serde_json::Error) -> &'static str {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => "a field is missing or of another type",
        Category::Eof => "it breaks off",
        Category::Io | Category::Syntax => "no JSON",
    }
}

/// The body of a good answer; tried again where the connection broke.
pub(super) async fn answer(
    server: &str,
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Result<Vec<u8>> {
    let mut tries = 1;
    loop {
        match once(server, request()).await {
            Err(error @ Error::Broken { .. }) if tries < TRIES => {
                tracing::debug!(%error, tries, "trying again");
                tokio::time::sleep(PAUSE).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

async fn once(server: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>> {
    let broken = |source: reqwest::Error| Error::Broken {
        server: server.into(),
        source: source.without_url(),
    };
    let request = request
        .header(header::ACCEPT, "application/json")
        .timeout(TIMEOUT);
    let mut response = request.send().await.map_err(|error| {
        if error.is_connect() {
            Error::Unreachable {
                server: server.into(),
                source: error.without_url(),
            }
        } else {
            broken(error)
        }
    })?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(Error::Protocol {
                server: server.into(),
                reason: "an answer longer than any of a provider".into(),
            });
        }
    }
    if status.is_success() {
        return Ok(body);
    }
    Err(match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => Error::Grant {
            description: if refusal.error_description.is_empty() {
                refusal.error.clone()
            } else {
                refusal.error_description
            },
            code: refusal.error,
        },
        Err(_) if unavailable(status) => Error::Grant {
            code: "temporarily_unavailable".into(),
            description: format!("{server} answered {status}"),
        },
        Err(_) => Error::Protocol {
            server: server.into(),
            reason: format!("status {status}; is it a Towpath platform?"),
        },
    })
}

fn unavailable(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}
