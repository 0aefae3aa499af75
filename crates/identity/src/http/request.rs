//! What the standards' endpoints read: forms, client credentials, cookies, the caller's address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::{Secret, http::Whole};
use url::form_urlencoded;

use super::token::Refused;
use crate::{Identity, Refusal, RefusalCode, service::ClientCredentials};

/// The parameters of a query or a form. None is there twice (RFC 6749, section 3.1).
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, Refusal> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            // An empty parameter is one that was left out (section 3.1).
            if value.is_empty() {
                continue;
            }
            if all.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Refusal::request(format!(
                    "the parameter `{}` is there twice",
                    name.escape_debug()
                )));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .ok_or_else(|| Refusal::request(format!("the parameter `{name}` is missing")))
    }

    pub(super) fn secret(&self, name: &str) -> Result<Secret, Refusal> {
        self.need(name).map(Secret::from)
    }
}

/// A form, `application/x-www-form-urlencoded`.
pub(super) struct Form(pub(super) Parameters);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_form = kind
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| {
                kind.trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        if !is_form {
            return Err(Refusal::request(
                "the body must be a form: application/x-www-form-urlencoded",
            )
            .into());
        }
        let unreadable = |_: kernel::Error| {
            Refusal::request("the body could not be read in time, or is too large")
        };
        let body = Whole::from_request(request, state).await;
        let body = body.map_err(unreadable)?;
        let parameters = body.read(|body| Ok(Parameters::parse(body))).await;
        Ok(Self(parameters.map_err(unreadable)??))
    }
}

/// The parameters of the query.
pub(super) struct QueryParameters(pub(super) Parameters);

impl<S: Send + Sync> FromRequestParts<S> for QueryParameters {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(Parameters::parse(query.as_bytes())?))
    }
}

/// What the client says of itself: by HTTP Basic, or in the form, and not both (section 2.3).
pub(super) fn credentials(
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<ClientCredentials, Refusal> {
    let bad = |why: &str| Refusal::new(RefusalCode::InvalidClient, why);
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(ClientCredentials {
            id: form.need("client_id")?.to_owned(),
            secret: form.get("client_secret").map(Secret::from),
        });
    };
    if form.get("client_secret").is_some() {
        return Err(Refusal::request(
            "the client's secret is in the head and in the form",
        ));
    }
    let (id, secret) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let (id, secret) = text.split_once(':')?;
            Some((form_decoded(id)?, form_decoded(secret)?))
        })
        .ok_or_else(|| bad("the Authorization header holds no HTTP Basic credentials"))?;
    if form.get("client_id").is_some_and(|other| other != id) {
        return Err(Refusal::request("two clients are named"));
    }
    let secret = (!secret.is_empty()).then(|| Secret::from(secret));
    Ok(ClientCredentials { id, secret })
}

/// Identifier and secret are form-encoded before they go into HTTP Basic (section 2.3.1).
fn form_decoded(text: &str) -> Option<String> {
    let pair = format!("v={text}");
    // What has a `&` was not encoded, and would come apart.
    if text.contains('&') {
        return Some(text.to_owned());
    }
    form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

/// One address of `X-Forwarded-For`: some proxies add the port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Where a request comes from, as attempts are counted: an IPv4 address, or the /64 that one
/// subscriber has.
pub(super) struct Address(pub(super) String);

impl FromRequestParts<Arc<Identity>> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        identity: &Arc<Identity>,
    ) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| address.ip().to_canonical());
        let trusted = &identity.settings().trusted_proxies;
        Ok(Self(match origin(peer, &parts.headers, trusted) {
            Some(IpAddr::V6(address)) => {
                let mut segments = address.segments();
                segments[4..].fill(0);
                Ipv6Addr::from(segments).to_string()
            }
            Some(address) => address.to_string(),
            // A test without a network, or a socket that has no address.
            None => "local".into(),
        }))
    }
}

/// Where a request comes from that `peer` has sent: the last hop that no proxy of ours has written.
fn origin(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpAddr]) -> Option<IpAddr> {
    let peer = peer?;
    if !trusted.contains(&peer) {
        return Some(peer);
    }
    let hops: Vec<_> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .flat_map(|value| value.split(','))
        .map(hop)
        .collect();
    // What cannot be read ends the search: beyond it everything may be the client's own.
    let mut readable = hops.into_iter().rev().map_while(|hop| hop);
    readable.find(|hop| !trusted.contains(hop)).or(Some(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|ip| ip.parse().unwrap());
        let origin = origin(peer.parse().ok(), &headers, &trusted);
        origin.map_or_else(|| "nobody".into(), |origin| origin.to_string())
    }

    #[test]
    fn the_last_hop_that_no_proxy_of_ours_wrote_counts() {
        for (peer, forwarded, expected) in [
            ("198.51.100.7", &["192.0.2.1"][..], "198.51.100.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            // The client's own words come first.
            ("10.0.0.1", &["192.0.2.66, 192.0.2.1"], "192.0.2.1"),
            (
                "10.0.0.1",
                &["192.0.2.66", "192.0.2.1, 10.0.0.2"],
                "192.0.2.1",
            ),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            // Some proxies add the port, or write an IPv4 address as one of IPv6.
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.1, 10.0.0.2:80"], "192.0.2.1"),
        ] {
            assert_eq!(found(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_hop_that_cannot_be_read_ends_the_search() {
        for hop in [
            "unknown",
            "",
            "192.0.2.1:x",
            "_hidden",
            "192.0.2.1 10.0.0.2",
        ] {
            let forwarded = format!("192.0.2.66, {hop}, 10.0.0.2");
            assert_eq!(found("10.0.0.1", &[&forwarded]), "10.0.0.1", "{hop}");
        }
        assert_eq!(found("nobody", &["192.0.2.1"]), "nobody");
    }
}
