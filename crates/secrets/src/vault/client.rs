//! Calls of Vault's HTTP API: the token, and what a refusal means.

use std::{sync::Arc, time::Duration};

use kernel::{Error, Result, Secret};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use super::{Login, VaultConfig, wire::LoggedIn};

/// How long a call may take: a secret is asked for while somebody waits.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A token is drawn anew when so much of its time is left.
const SPARE: Duration = Duration::from_secs(30);

/// Vault's answer, as far as it is one to the question.
pub(super) enum Answer<T> {
    /// It did what it should.
    Done(T),
    /// There is no such thing.
    Absent,
    /// Another version is the newest.
    Moved,
}

/// A connection to Vault; cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    namespace: Option<String>,
    login: Login,
    drawn: Arc<Mutex<Option<Drawn>>>,
}

/// A token that a login gave.
struct Drawn {
    token: Secret,
    /// None: it does not end.
    good_until: Option<Instant>,
}

impl Client {
    pub(super) fn new(config: &VaultConfig) -> Result<Self> {
        // Whoever came first has installed it; both are the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(CALL_LIMIT)
            // The token must not follow to wherever an answer leads.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::internal("no HTTP client can be made", error))?;
        Ok(Self {
            http,
            base: config.address()?,
            namespace: config.namespace.clone(),
            login: config.login.clone(),
            drawn: Arc::default(),
        })
    }

    /// Calls `path` below `/v1`, with a new token where the old one has ended before its time.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Answer<T>> {
        let token = self.token().await?;
        let (status, text) = self
            .send(method.clone(), path, query, body, Some(&token))
            .await?;
        let again = status == 403 && matches!(self.login, Login::AppRole { .. });
        let (status, text) = if again {
            self.forget(&token).await;
            let token = self.token().await?;
            self.send(method, path, query, body, Some(&token)).await?
        } else {
            (status, text)
        };
        match status {
            200 => self.read(&text).map(Answer::Done),
            204 => self.read("null").map(Answer::Done),
            404 => Ok(Answer::Absent),
            400 if text.contains("check-and-set") => Ok(Answer::Moved),
            status => Err(self.refused(status, path, &text)),
        }
    }

    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| {
            // Not the error's own words: they may hold a value.
            let why = format!("{:?} error at line {}", error.classify(), error.line());
            Error::internal("an answer of Vault is not readable", why)
                .remedy(format!("see whether {} is Vault", self.base))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        token: Option<&Secret>,
    ) -> Result<(u16, String)> {
        let mut url = self.base.clone();
        {
            let mut segments = url
                .path_segments_mut()
                .map_err(|()| Error::invalid("Vault's address has no path"))?;
            segments.pop_if_empty().push("v1").extend(path.split('/'));
        }
        // Namespaces, and protection from requests that a browser was tricked into.
        let mut request = self
            .http
            .request(method, url)
            .query(query)
            .header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(token) = token.map(Secret::text).transpose()? {
            let mut value = reqwest::header::HeaderValue::from_str(token).map_err(|_| {
                Error::invalid("the token for Vault holds characters that no header may")
                    .remedy("give the token as Vault gave it, on one line")
            })?;
            value.set_sensitive(true);
            request = request.header("X-Vault-Token", value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let away = |error: reqwest::Error| {
            Error::unavailable(format!("Vault at {} does not answer", self.base))
                .remedy("see that it runs and can be reached from here, then try again")
                .caused_by(error.without_url())
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(away)?))
    }

    /// The token to call with.
    async fn token(&self) -> Result<Secret> {
        let (mount, role_id, secret_id) = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::AppRole {
                mount,
                role_id,
                secret_id,
            } => (mount, role_id, secret_id),
        };
        // Held over the login: of many who find none, one logs in.
        let mut drawn = self.drawn.lock().await;
        if let Some(drawn) = drawn.as_ref()
            && drawn.good_until.is_none_or(|end| end > Instant::now())
        {
            return Ok(drawn.token.clone());
        }
        let path = format!("auth/{mount}/login");
        let body = json!({
            "role_id": role_id,
            "secret_id": secret_id.text()?,
        });
        let (status, text) = self
            .send(Method::POST, &path, &[], Some(&body), None)
            .await?;
        if status != 200 {
            return Err(self.refused(status, &path, &text));
        }
        let LoggedIn { auth } = self.read(&text)?;
        let token = Secret::from(auth.client_token);
        let lasts = (auth.lease_duration > 0).then(|| Duration::from_secs(auth.lease_duration));
        *drawn = Some(Drawn {
            token: token.clone(),
            good_until: lasts.map(|lasts| Instant::now() + lasts.saturating_sub(SPARE)),
        });
        Ok(token)
    }

    /// Forgets the token, where no other has been drawn since.
    async fn forget(&self, token: &Secret) {
        let mut drawn = self.drawn.lock().await;
        if drawn.as_ref().is_some_and(|drawn| drawn.token == *token) {
            *drawn = None;
        }
    }

    /// What a refusal of Vault means: nearly all leave open whether a secret is there.
    fn refused(&self, status: u16, path: &str, text: &str) -> Error {
        let said = said(text);
        let base = &self.base;
        match status {
            // The login's own way of saying that the role's id or secret is wrong.
            400 | 403 if path.starts_with("auth/") => Error::unavailable(format!(
                "Vault at {base} does not let the platform in{said}"
            ))
            .remedy("give the platform a role id and a secret id that are good"),
            403 => Error::unavailable(format!(
                "Vault at {base} does not let the platform at {path}{said}"
            ))
            .remedy(
                "give the platform a token that has not ended, with a policy that allows create, read, \
                 update, delete and list there",
            ),
            503 => Error::unavailable(format!("Vault at {base} is sealed or starting{said}"))
                .remedy("unseal it, then try again"),
            429 | 472 | 473 | 300..=399 => {
                Error::unavailable(format!("Vault at {base} is a standby"))
                    .remedy("name the address of the active one, or of what leads to it")
            }
            412 | 500.. => Error::unavailable(format!("Vault at {base} failed{said}"))
                .remedy("see Vault's log, then try again"),
            _ => Error::internal("Vault refused a request", format!("{status} at {path}{said}")),
        }
    }
}

/// Vault's own words: they name paths and policies, never values.
fn said(text: &str) -> String {
    let errors: Vec<String> = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|answer| serde_json::from_value(answer.get("errors")?.clone()).ok())
        .unwrap_or_default();
    let words: String = errors.join("; ").chars().take(200).collect();
    if words.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", words.trim())
    }
}
