//! One call: headers, retries, and the answer or its problem document.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kernel::{Backoff, Document, Kind, Page, Resource, Secret, http::REASON, store::Idempotency};
use reqwest::{Method, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{CALL_TIMEOUT, Client, Error, ProblemDocument, Result, error::may_pass};

/// Tries of a call that broke on the way, the first included.
const TRIES: u32 = 4;

/// The waits before further tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// How long also a client without patience tries again where the platform says when (`Retry-After`):
/// a moment's rush is nothing that a person has to hear of.
const RUSH: Duration = Duration::from_secs(3);

/// How long to wait for the answer of an earlier try. The platform gives up one whose process is gone a minute after
/// it began, or after it last did something within that minute, and lets who asks wait half a minute each time.
const RUNNING: Duration = Duration::from_secs(150);

/// The longest problem document that is read: more is not one of ours.
const MAX_PROBLEM_BYTES: usize = 1 << 20;

/// A call in the making.
pub(crate) struct Call<'a> {
    client: &'a Client,
    request: reqwest::RequestBuilder,
    streaming: bool,
}

impl Client {
    /// A call of `method` on `/v1/<segments>`; each segment is escaped.
    pub(crate) fn call(&self, method: Method, segments: &[&str]) -> Call<'_> {
        let below: Vec<&str> = ["v1"].iter().chain(segments).copied().collect();
        self.call_root(method, &below)
    }

    /// The same outside `/v1`.
    pub(crate) fn call_root(&self, method: Method, segments: &[&str]) -> Call<'_> {
        let mut url = (*self.base).clone();
        url.path_segments_mut()
            .expect("http and https addresses have a path")
            .pop_if_empty()
            .extend(segments);
        let writes = !method.is_safe();
        let mut request = self
            .http
            .request(method, url)
            .header(header::ACCEPT, "application/json, application/problem+json");
        if let Some(reason) = &self.reason {
            request = request.header(REASON, reason.as_str());
        }
        if writes {
            // Made once for the call and sent with each try: a second try is not a second act.
            request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
        }
        Call {
            client: self,
            request,
            streaming: false,
        }
    }
}

impl<'a> Call<'a> {
    /// One that was made before, and has no body.
    pub(crate) fn again(client: &'a Client, request: &reqwest::RequestBuilder) -> Self {
        Self {
            client,
            request: request
                .try_clone()
                .expect("what has no body can be sent again"),
            streaming: false,
        }
    }

    /// What it is made of, to be made [again](Call::again).
    pub(crate) fn parts(self) -> (Client, reqwest::RequestBuilder) {
        (self.client.clone(), self.request)
    }

    /// With a query.
    pub(crate) fn query(mut self, query: &impl Serialize) -> Self {
        self.request = self.request.query(query);
        self
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Only while the resource is at this revision.
    pub(crate) fn if_match(mut self, revision: Option<i64>) -> Self {
        if let Some(revision) = revision {
            self.request = self
                .request
                .header(header::IF_MATCH, format!("\"{revision}\""));
        }
        self
    }

    /// For server-sent events, from after `last_id`.
    pub(crate) fn events(mut self, last_id: Option<&str>) -> Self {
        self.streaming = true;
        let mut accept = header::HeaderMap::new();
        accept.insert(
            header::ACCEPT,
            header::HeaderValue::from_static("text/event-stream"),
        );
        self.request = self.request.headers(accept);
        if let Some(id) = last_id {
            self.request = self.request.header("Last-Event-ID", id);
        }
        self
    }

    /// The answer's body as text.
    pub(crate) async fn text(self) -> Result<String> {
        let client = self.client;
        let response = self.send().await?;
        response.text().await.map_err(|e| broken(client, e))
    }

    /// Nothing but success.
    pub(crate) async fn done(self) -> Result<()> {
        self.send().await.map(drop)
    }

    /// The answer as a `T`.
    pub(crate) async fn read<T: DeserializeOwned>(self) -> Result<T> {
        let client = self.client;
        let text = self.text().await?;
        serde_json::from_str(&text).map_err(|e| protocol(client, e))
    }

    /// The answer as a resource.
    pub(crate) async fn resource<K: Kind>(self) -> Result<Resource<K>> {
        let client = self.client;
        let document: Document = self.read().await?;
        document.typed().map_err(|e| protocol(client, e.chain()))
    }

    /// The answer as a page of resources.
    pub(crate) async fn page<K: Kind>(self) -> Result<Page<Resource<K>>> {
        let client = self.client;
        let page: Page<Document> = self.read().await?;
        let items = page.items.into_iter().map(Document::typed);
        Ok(Page {
            items: items
                .collect::<kernel::Result<_>>()
                .map_err(|e| protocol(client, e.chain()))?,
            next: page.next,
        })
    }

    /// Sends it, again where that does no harm and may help.
    pub(crate) async fn send(self) -> Result<Response> {
        let begun = Instant::now();
        let mut request = self.request;
        if !self.streaming {
            request = request.timeout(CALL_TIMEOUT);
        }
        let patience = self.client.patience;
        let mut tries = 1;
        let mut refused = None;
        loop {
            let token = self.client.token.get(refused.as_ref()).await?;
            let mut attempt = request
                .try_clone()
                .expect("a body in memory can be sent again");
            if let Some(token) = token.as_ref().map(Secret::text).transpose()? {
                attempt = attempt.bearer_auth(token);
            }
            let error = match once(self.client, attempt).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if error.is_unauthenticated() && refused.is_none() && self.client.token.renews() {
                // Ended before its time, or a clock is wrong: once, with another.
                refused = token;
                if refused.is_some() {
                    continue;
                }
            }
            // Not before it says, nor at once with all who were told the same.
            let after = error.retry_after();
            let wait = after
                .unwrap_or_default()
                .saturating_add(BACKOFF.jittered(tries));
            let waited = begun.elapsed().saturating_add(wait);
            let again = match &error {
                Error::Unreachable { .. } => waited <= patience,
                // The try before broke on the way, and is not done yet.
                Error::Refused(problem) if problem.runs && tries > 1 => waited <= RUNNING,
                error if after.is_some() => error.may_pass() && waited <= patience.max(RUSH),
                error => error.may_pass() && tries < TRIES,
            };
            if !again {
                return Err(error);
            }
            tracing::debug!(%error, tries, "trying again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }
}

async fn once(client: &Client, request: reqwest::RequestBuilder) -> Result<Response> {
    let response = request.send().await.map_err(|error| {
        if error.is_connect() {
            Error::Unreachable {
                server: client.server().into(),
                source: error.without_url(),
            }
        } else {
            broken(client, error)
        }
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let code = status.as_u16();
    let retry_after = retry_after(response.headers());
    let problem = match refusal(client, response).await {
        // The status alone says enough.
        Err(_) if may_pass(code) => ProblemDocument {
            status: code,
            title: status.to_string(),
            ..ProblemDocument::default()
        },
        read => read?,
    };
    Err(Error::Refused(Box::new(ProblemDocument {
        retry_after,
        ..problem
    })))
}

/// When trying again may succeed, as an answer says: in seconds, as the platform does, or by a date, as a server
/// between here and the platform may (RFC 9110, section 10.2.3).
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let said = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(said).ok()?.timestamp();
    let left = then.duration_since(Timestamp::now());
    // Over by now, or a clock is wrong.
    Some(Duration::try_from(left).unwrap_or_default())
}

/// Reads the problem document of a refusal.
async fn refusal(client: &Client, mut response: Response) -> Result<ProblemDocument> {
    let status = response.status();
    let runs =
        status == StatusCode::CONFLICT && response.headers().contains_key(header::RETRY_AFTER);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(client, e))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_PROBLEM_BYTES {
            break;
        }
    }
    let problem: ProblemDocument = serde_json::from_slice(&body).map_err(|_| {
        protocol(
            client,
            format!("status {status} without a problem document; is it a Towpath platform?"),
        )
    })?;
    let problem = ProblemDocument {
        status: status.as_u16(),
        runs,
        ..problem
    };
    let mut rules = problem.problems.iter().map(|one| one.rule.as_str());
    Ok(if rules.any(|rule| rule == Idempotency::LOST) {
        lost(problem)
    } else {
        problem
    })
}

/// The refusal of a further try whose first one was done, in other words: the key is the call's own, and whoever
/// called knows of none.
fn lost(problem: ProblemDocument) -> ProblemDocument {
    ProblemDocument {
        detail: "the platform stopped while it did this: it is done, at least in part, and what it answered is \
                 lost"
            .into(),
        remedy: Some(
            "look at what there is now (`towpath status` shows what runs), and do again what is still missing"
                .into(),
        ),
        problems: vec![],
        ..problem
    }
}

pub(crate) fn broken(client: &Client, source: reqwest::Error) -> Error {
    Error::Broken {
        server: client.server().into(),
        source: source.without_url(),
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "called with what was just caught"
)]
pub(crate) fn protocol(client: &Client, reason: impl std::fmt::Display) -> Error {
    Error::Protocol {
        server: client.server().into(),
        reason: reason.to_string(),
    }
}
