//! The typed HTTP client of the Towpath API: one method for each operation.
//!
//! ```no_run
//! # async fn example() -> towpath_client::Result<()> {
//! use towpath_client::{Client, every};
//!
//! let client = Client::new("http://127.0.0.1:7070", None)?;
//! for environment in every(async |page| client.environments(&page).await).await? {
//!     println!("{}", environment.meta.name);
//! }
//! # Ok(()) }
//! ```
//!
//! Calls are retried where the connection or the platform failed on the way, or where there were too many at a
//! time, not before the platform's `Retry-After`: each that changes something carries an `Idempotency-Key`, so a
//! second try does nothing twice. Event streams resume where they broke off.
//!
//! # Writes
//!
//! A write is done when it returns, unless its method says that it *asks* for something or *begins* it: then
//! the platform goes on, and when it is done is seen by reading again, or by [`Client::events`]. With a
//! `revision` ([`kernel::Meta::revision`]) it is done only while what it writes is at that one; without, whatever
//! is there.
//!
//! # Errors
//!
//! A refusal by the platform is [`Error::Refused`] with its RFC 9457 problem document, whose
//! [`kind`](ProblemDocument::kind) says what sort it is. Any call may be refused as:
//!
//! - `Unauthenticated`: without a token, or with one that is no longer good.
//! - `Forbidden`: policy does not let the caller do this.
//! - `NotFound`: what the call names is not there, or the caller may not know of it.
//! - `Invalid`: the input is not as it should be, with every rule that it breaks in `problems`; `TooLarge`: it is
//!   longer than the platform takes.
//! - `Conflict`: what is there is at another revision than the one that the call names. Or an earlier try of the same
//!   call still runs ([`ProblemDocument::runs`]), or was carried out and its answer lost, which the words say: look
//!   before it is done again.
//! - `Unavailable`: a server that is needed for it is away, policy could not decide, or others were faster for ten
//!   seconds. Trying again may succeed: [`ProblemDocument::retry_after`].
//! - `Internal`: the platform failed, and its log says why, under the document's `correlation`.
//!
//! A method that has more reasons names them under its own *Errors*; one without gives these alone. After
//! [`Error::Unreachable`] nothing was done; after [`Error::Broken`] it may have been.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod catalog;
mod environments;
mod error;
mod fleet;
mod identity;
mod integrations;
mod machines;
mod oauth;
mod platform;
mod provider;
mod request;
mod secrets;
mod sessions;
mod sse;
mod subscriptions;
mod teams;
mod token;
mod tools;
mod users;
mod workloads;

pub use self::subscriptions::SubscriptionsOf;
pub use error::{Error, ProblemDocument, Result};
pub use identity::{
    AutomationReport, Departure, DepartureItem, DepartureRotation, Made, PersonalCredential,
    PersonalSession, SeenKey, SigningKey, SigningKeys, Told, Webhook,
};
pub use machines::DrawnKey;
pub use oauth::{CodeLogin, DeviceCode, DeviceState, Provider, Tokens};
pub use platform::{EventQuery, WhoAmI};
pub use provider::{ProgramSecret, UpstreamSecrets};
pub use sessions::EndedSessions;
pub use sse::{Events, Message, Parser};
pub use token::TokenSource;

use std::{future::Future, sync::Arc, time::Duration};

use kernel::{Page, Reason, Secret, http::PageQuery, outbound::why_no_url};
use reqwest::Url;

use token::Token;

/// A connection to a platform. Cheap to clone. What every call may be refused for, [the crate](crate#errors) says.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
    token: Token,
    patience: Duration,
    reason: Option<Reason>,
}

/// How long an ordinary call may take: the platform answers long work with 202 at once.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How long to wait for a connection: a host that does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// A client of the platform at `server` (`http://127.0.0.1:7070`), with a bearer token.
    ///
    /// # Errors
    /// [`Error::Address`] where `server` is no address of a platform.
    pub fn new(server: &str, token: Option<Secret>) -> Result<Self> {
        Self::open(server, Token::Fixed(token))
    }

    /// A client whose tokens come from `source`, anew for each call.
    ///
    /// # Errors
    /// As [`Client::new`]; where `source` has no token, each call is [`Error::Token`].
    pub fn with_tokens(server: &str, source: Arc<dyn TokenSource>) -> Result<Self> {
        Self::open(server, Token::Source(source))
    }

    /// A client of the platform that this `program` (`towpath-portal/0.1.0`) is part of, at an address of this
    /// very machine: whoever it calls for ([`Client::on_behalf`]), no proxy and no network sees it.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn beside(here: &str, program: &str) -> Result<Self> {
        let base = address_of(here)?;
        let http = local_http(program).map_err(|e| wrong_address(here, e))?;
        Ok(Self::over(http, base, Token::Fixed(None)))
    }

    fn open(server: &str, token: Token) -> Result<Self> {
        let base = address_of(server)?;
        let http = http_client(&base).map_err(|e| wrong_address(server, e))?;
        Ok(Self::over(http, base, token))
    }

    fn over(http: reqwest::Client, base: Url, token: Token) -> Self {
        Self {
            http,
            base: Arc::new(base),
            token,
            patience: Duration::ZERO,
            reason: None,
        }
    }

    /// The same client, which waits this long for a platform that does not accept connections, as
    /// while it restarts, or that says when to come again (`Retry-After`). Without it, a call fails at once where
    /// nothing listens, and where it would have to wait for more than a few seconds.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same client, which says why with each call: the platform keeps it with the events that come of it.
    #[must_use]
    pub fn because(mut self, reason: Option<Reason>) -> Self {
        self.reason = reason;
        self
    }

    /// The same client for another caller, whose tokens come from `source`: connections are shared.
    #[must_use]
    pub fn on_behalf(&self, source: Arc<dyn TokenSource>) -> Self {
        Self {
            token: Token::Source(source),
            ..self.clone()
        }
    }

    /// The address that it speaks to.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

fn wrong_address(server: &str, reason: impl std::fmt::Display) -> Error {
    Error::Address {
        server: server.into(),
        reason: reason.to_string(),
    }
}

fn address_of(server: &str) -> Result<Url> {
    let base = Url::parse(server).map_err(|e| wrong_address(server, why_no_url(e)))?;
    // Of `localhost:7070` the host is read as the scheme.
    if !matches!(base.scheme(), "http" | "https") {
        return Err(wrong_address(server, "begin it with http:// or https://"));
    }
    Ok(base)
}

fn http_client(base: &Url) -> reqwest::Result<reqwest::Client> {
    let mut http = http_builder(user_agent());
    if base.scheme() == "http" {
        // No redirect is followed, so it never speaks TLS: reading the system's roots would cost more than
        // the call.
        http = http.tls_certs_only([]);
    }
    if is_loopback(base) {
        // A company's proxy cannot reach this machine's loopback.
        http = http.no_proxy();
    }
    http.build()
}

/// For plain http to an address of this machine.
fn local_http(program: &str) -> reqwest::Result<reqwest::Client> {
    http_builder(program).tls_certs_only([]).no_proxy().build()
}

fn http_builder(program: &str) -> reqwest::ClientBuilder {
    // Whoever came first has installed it; both are the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(program)
}

/// Says which program calls, and, as the platform reports on automation that hangs on a person, whether
/// a CI system runs it: they all set `CI`.
fn user_agent() -> &'static str {
    let set = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if set {
        concat!("towpath/", env!("CARGO_PKG_VERSION"), " (ci)")
    } else {
        concat!("towpath/", env!("CARGO_PKG_VERSION"))
    }
}

/// Whether an address is of this machine, so that what is sent there stays here.
pub fn is_local(server: &str) -> bool {
    Url::parse(server).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// All items of a list, page after page.
pub async fn every<Q, T, F>(list: impl Fn(Q) -> F) -> Result<Vec<T>>
where
    Q: From<PageQuery>,
    F: Future<Output = Result<Page<T>>>,
{
    let mut all = Vec::new();
    let mut query = PageQuery::default();
    loop {
        let page = list(query.clone().into()).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}
