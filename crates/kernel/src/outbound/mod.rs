//! Requests to servers of others: bounded, and to the public internet alone unless configured
//! otherwise.
//!
//! Where a request goes is somebody's choice who may not reach the platform's own network. So the
//! address that is *connected to* is what is judged: names are resolved by us, and only what may be
//! reached is handed to the connection; a name that leads elsewhere the next moment gains nothing.
//! Redirects are not followed, and proxies of the environment are not used.

mod limits;
mod network;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use url::{Host, ParseError, Url};

pub use self::{
    limits::Limits,
    network::{Network, Reach, is_public},
};
use crate::{Error, Result};

/// Why a text is no URL, for whoever wrote it.
pub fn why_no_url(error: ParseError) -> String {
    match error {
        ParseError::RelativeUrlWithoutBase => "begin it with http:// or https://".into(),
        other => other.to_string(),
    }
}

/// Speaks to servers of others; cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    /// To whatever may be reached.
    tls: Client,
    /// Without TLS: to what configuration allows beside the public internet, and no further.
    plain: Client,
    reach: Arc<Reach>,
}

/// An answer, whole.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within the limit that was given.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, read as JSON; `Unavailable` where `who` answered something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, who: &str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::unavailable(format!("{who} answered what is not understood")).caused_by(error)
        })
    }
}

impl Outbound {
    /// Requests that reach as far as `reach` says, and take `patience` at the most, each.
    pub fn new(reach: Reach, patience: Duration) -> Result<Self> {
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = Arc::new(reach);
        let client = |only: Only| {
            Client::builder()
                .timeout(patience)
                .connect_timeout(patience)
                // Where a secret is sent is what was configured, and nowhere else.
                .redirect(Policy::none())
                .user_agent("towpath")
                .no_proxy()
                .dns_resolver(Arc::new(only))
                .build()
                .map_err(|error| Error::internal("no HTTP client could be made", error))
        };
        Ok(Self {
            tls: client(Only {
                reach: reach.clone(),
                tls: true,
            })?,
            plain: client(Only {
                reach: reach.clone(),
                tls: false,
            })?,
            reach,
        })
    }

    /// Whether a server may be at this address, as far as can be told before its name is resolved.
    pub fn check(&self, url: &str) -> Result<Url> {
        let parsed = Url::parse(url).map_err(|error| {
            Error::invalid(format!("`{url}` is not a URL: {}", why_no_url(error)))
        })?;
        if self.may_reach(&parsed) {
            return Ok(parsed);
        }
        Err(Error::invalid(format!(
            "`{}` is not an https address of the public internet",
            shown(&parsed)
        ))
        .remedy(
            "give the server's public address; private ones must be allowed in the platform's \
             settings",
        ))
    }

    fn may_reach(&self, url: &Url) -> bool {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return false,
        };
        match url.host() {
            Some(Host::Ipv4(address)) => self.reach.allows(address.into(), tls),
            Some(Host::Ipv6(address)) => self.reach.allows(address.into(), tls),
            // What it leads to is judged when it is resolved.
            Some(Host::Domain(name)) => {
                let local = name == "localhost" || name.ends_with(".localhost");
                self.reach.is_open() || (tls && !local)
            }
            None => false,
        }
    }

    /// A request to `url`. Fails as [`Outbound::check`] does.
    pub fn request(&self, method: http::Method, url: &Url) -> Result<RequestBuilder> {
        self.check(url.as_str())?;
        let client = match url.scheme() {
            "https" => &self.tls,
            _ => &self.plain,
        };
        Ok(client.request(method, url.clone()))
    }

    /// Sends `request` to `who`, and reads `longest` bytes of the answer at the most. `Unavailable`
    /// where no whole answer comes.
    pub async fn send(who: &str, request: RequestBuilder, longest: usize) -> Result<Answer> {
        let away = |error: reqwest::Error| {
            // The address may have a secret in it.
            Error::unavailable(format!("{who} does not answer")).caused_by(error.without_url())
        };
        let mut response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > longest {
                return Err(Error::unavailable(format!("{who} answered without end")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// A URL for people: without what may be secret in it.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}"));
    format!(
        "{}://{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        port.unwrap_or_default()
    )
}

/// Finds the addresses of a name that may be reached, so that no name leads into the platform's own
/// network.
struct Only {
    reach: Arc<Reach>,
    tls: bool,
}

impl Resolve for Only {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, tls) = (self.reach.clone(), self.tls);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|a| reach.allows(a.ip(), tls)).collect();
            if allowed.is_empty() {
                return Err(
                    format!("{} leads to no address that may be reached", name.as_str()).into(),
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn outbound(reach: Reach) -> Outbound {
        Outbound::new(reach, Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn only_public_addresses_by_tls_are_spoken_to() {
        let outbound = outbound(Reach::public());
        for bad in [
            "http://gitlab.com",
            "https://127.0.0.1",
            "https://[::1]",
            "https://localhost:8443",
            "https://169.254.169.254/latest",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::ffff:127.0.0.1]/",
            "file:///etc/passwd",
            "no url",
        ] {
            assert!(outbound.check(bad).is_err(), "{bad}");
        }
        assert!(outbound.check("https://gitlab.com").is_ok());
    }

    #[test]
    fn what_is_allowed_is_allowed_and_no_more() {
        let allowed = vec!["127.0.0.0/8".parse().unwrap()];
        let outbound = outbound(Reach::public_and(allowed));
        for good in [
            "http://127.0.0.1:1/",
            "https://127.0.0.1",
            "http://localhost",
        ] {
            assert!(outbound.check(good).is_ok(), "{good}");
        }
        for bad in ["http://8.8.8.8/", "https://10.0.0.1/", "http://[::1]/"] {
            assert!(outbound.check(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        // As rebinding does: nothing about the name gives it away, only where it leads.
        let only = Only {
            reach: Arc::new(Reach::public()),
            tls: true,
        };
        let refused = only.resolve("localhost".parse().unwrap()).await;
        assert!(refused.is_err());
        let allowed = Reach::public_and(vec!["127.0.0.0/8".parse().unwrap()]);
        let plain = Only {
            reach: Arc::new(allowed),
            tls: false,
        };
        let found = plain.resolve("localhost".parse().unwrap()).await.unwrap();
        let found: Vec<_> = found.map(|address| address.ip()).collect();
        assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
        assert!(found.iter().all(std::net::IpAddr::is_ipv4), "{found:?}");
    }

    #[test]
    fn a_secret_in_an_address_is_not_shown() {
        let url = Url::parse("https://a:canary@h.example.com:8443/canary?canary=1").unwrap();
        assert_eq!(shown(&url), "https://h.example.com:8443");
    }
}
