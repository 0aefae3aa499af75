//! Requests to other providers: see [`kernel::outbound`].

use std::time::Duration;

use kernel::{
    Error, Result,
    outbound::{self, Reach},
};
use reqwest::RequestBuilder;
use url::Url;

pub(crate) use kernel::outbound::Answer;

use crate::Settings;

/// How long another provider may take: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer: a key set, a token, a page of teams.
const LONGEST: usize = 1024 * 1024;

/// Speaks to other providers.
#[derive(Clone)]
pub(crate) struct Outbound(outbound::Outbound);

impl Outbound {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let reach = if settings.allow_private_upstreams {
            Reach::anywhere()
        } else {
            Reach::public()
        };
        outbound::Outbound::new(reach, PATIENCE).map(Self)
    }

    /// Whether a provider may be at this address.
    pub(crate) fn check(&self, url: &str) -> Result<Url> {
        self.0.check(url)
    }

    pub(crate) fn get(&self, url: &Url) -> Result<RequestBuilder> {
        self.0.request(axum::http::Method::GET, url)
    }

    pub(crate) fn post(&self, url: &Url) -> Result<RequestBuilder> {
        self.0.request(axum::http::Method::POST, url)
    }

    /// Sends a request to `who`, and gives their answer, whatever it says; `Unavailable` where no whole one comes.
    pub(crate) async fn whole(&self, who: &str, request: RequestBuilder) -> Result<Answer> {
        outbound::Outbound::send(who, request, LONGEST).await
    }

    /// Sends a request to `who`; `Unavailable` where no whole answer comes, or a fault of theirs.
    pub(crate) async fn send(&self, who: &str, request: RequestBuilder) -> Result<Answer> {
        let answer = self.whole(who, request).await?;
        if answer.status >= 500 || answer.status == 429 {
            let status = answer.status;
            return Err(Error::unavailable(format!("{who} answered {status}")));
        }
        Ok(answer)
    }

    /// The same for `openidconnect`.
    pub(crate) async fn call(
        &self,
        who: &str,
        request: openidconnect::HttpRequest,
    ) -> std::result::Result<openidconnect::HttpResponse, Failed> {
        let (parts, body) = request.into_parts();
        let url = self.check(&parts.uri.to_string()).map_err(Failed)?;
        let request = self.0.request(parts.method, &url).map_err(Failed)?;
        let request = request.headers(parts.headers).body(body);
        let answer = self.send(who, request).await.map_err(Failed)?;
        let mut response = axum::http::Response::builder()
            .status(answer.status)
            .body(answer.body)
            .map_err(|error| Failed(Error::internal("an answer has no status", error)))?;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// That a request of `openidconnect` came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub Error);
