//! Requests to other providers: bounded, and to the public internet alone unless configured otherwise.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kernel::{Error, Result};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

use crate::Settings;

/// How long another provider may take: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer: a key set, a token, a page of teams.
const LONGEST: usize = 1024 * 1024;

/// Speaks to other providers.
#[derive(Clone)]
pub(crate) struct Outbound {
    client: Client,
    private: bool,
}

/// An answer, whole.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, who: &str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::unavailable(format!("{who} answered what is not understood")).caused_by(error)
        })
    }
}

impl Outbound {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let private = settings.allow_private_upstreams;
        let mut client = Client::builder()
            .timeout(PATIENCE)
            // Where a token is sent is what was configured, and nowhere else.
            .redirect(Policy::none())
            .user_agent("towpath");
        if !private {
            client = client
                .dns_resolver(Arc::new(PublicOnly))
                .https_only(true)
                .no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| Error::internal("no HTTP client could be made", error))?;
        Ok(Self { client, private })
    }

    /// Whether a provider may be at this address.
    pub(crate) fn check(&self, url: &str) -> Result<Url> {
        let parsed = Url::parse(url)
            .map_err(|error| Error::invalid(format!("`{url}` is not a URL: {error}")))?;
        if self.private {
            return Ok(parsed);
        }
        let public = match parsed.host() {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
            None => false,
        };
        if parsed.scheme() == "https" && public {
            return Ok(parsed);
        }
        Err(Error::invalid(format!("`{url}` is not an https address of the public internet"))
            .remedy("give the provider's public address; private ones must be allowed in the platform's settings"))
    }

    pub(crate) fn get(&self, url: &Url) -> reqwest::RequestBuilder {
        self.client.get(url.clone())
    }

    pub(crate) fn post(&self, url: &Url) -> reqwest::RequestBuilder {
        self.client.post(url.clone())
    }

    /// Sends a request to `who`; `Unavailable` where no whole answer comes, or a fault of theirs.
    pub(crate) async fn send(&self, who: &str, request: reqwest::RequestBuilder) -> Result<Answer> {
        let away = |error: reqwest::Error| {
            // The address may have a code in it.
            Error::unavailable(format!("{who} does not answer")).caused_by(error.without_url())
        };
        let mut response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Error::unavailable(format!("{who} answered without end")));
            }
            body.extend_from_slice(&chunk);
        }
        if status >= 500 || status == 429 {
            return Err(Error::unavailable(format!("{who} answered {status}")));
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// The same for `openidconnect`.
    pub(crate) async fn call(
        &self,
        who: &str,
        request: openidconnect::HttpRequest,
    ) -> std::result::Result<openidconnect::HttpResponse, Failed> {
        let (parts, body) = request.into_parts();
        let url = self.check(&parts.uri.to_string()).map_err(Failed)?;
        let request = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body);
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

/// Finds the public addresses of a name, so that no name leads into the platform's own network.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|a| is_public(a.ip())).collect();
            if public.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let benchmark = first == 198 && (18..20).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || first == 0
                || first >= 224
                || shared
                || benchmark)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Global unicast, without documentation, and without the ways back to IPv4.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && v6.segments()[..2] != [0x2001, 0xdb8]
                && v6.segments()[..2] != [0x2001, 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["140.82.121.4", "8.8.8.8", "2606:50c0:8000::153"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn only_public_addresses_by_tls_are_spoken_to() {
        let outbound = Outbound::new(&Settings::new("https://towpath.example.com")).unwrap();
        for bad in [
            "http://gitlab.com",
            "https://127.0.0.1",
            "https://[::1]",
            "https://localhost:8443",
            "https://169.254.169.254/latest",
            "file:///etc/passwd",
            "no url",
        ] {
            assert!(outbound.check(bad).is_err(), "{bad}");
        }
        assert!(outbound.check("https://gitlab.com").is_ok());
    }
}
