//! RabbitMQ's management API over HTTP.

use std::time::Duration;

use delivery::provisioner::ProvisionError;
use kernel::SecretText;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(15);

/// An answer of the management API.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// The management API and our login.
#[derive(Clone)]
pub(super) struct Management {
    http: reqwest::Client,
    base: Url,
    user: String,
    password: SecretText,
}

impl Management {
    pub(super) fn new(base: Url, user: &str, password: SecretText) -> Result<Self, ProvisionError> {
        // Fails where a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(LIMIT)
            .pool_idle_timeout(Duration::from_mins(10))
            .build()
            .map_err(|error| ProvisionError::permanent(error.to_string()))?;
        Ok(Self {
            http,
            base,
            user: user.to_owned(),
            password,
        })
    }

    pub(super) fn local(
        port: u16,
        user: &str,
        password: SecretText,
    ) -> Result<Self, ProvisionError> {
        let base = format!("http://127.0.0.1:{port}");
        let base = Url::parse(&base).map_err(|e| ProvisionError::permanent(e.to_string()))?;
        Self::new(base, user, password)
    }

    pub(super) fn address(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or_default();
        format!("{host}:{port}")
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        self.http
            .request(method, format!("{base}/api/{path}"))
            .basic_auth(&self.user, Some(self.password.expose()))
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Answer { status, body })
    }

    /// Whether this login may make users; RabbitMQ's words where it may not.
    pub(super) async fn administers(&self) -> Result<(), String> {
        let answer = self
            .call(Method::GET, "whoami", None)
            .await
            .map_err(|error| error.without_url().to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("user `{}`: {}", self.user, answer.status));
        }
        // A list since 3.9, a text with commas before.
        let tags = &answer.body["tags"];
        let is_administrator = tags.as_str().is_some_and(|t| t.contains("administrator"))
            || tags
                .as_array()
                .is_some_and(|t| t.iter().any(|tag| tag == "administrator"));
        if is_administrator {
            Ok(())
        } else {
            Err(format!("user `{}` is not an administrator", self.user))
        }
    }
}
