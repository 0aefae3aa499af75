//! The heads of messages: what is refused, what ends at the gateway, and what it adds.

use std::borrow::Cow;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use crate::http::Refusal;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Names this gateway in `Via`.
const VIA_SELF: &str = "1.1 towpath";
/// A request that has passed this gateway so often goes in circles: a route leads back to it.
const MOST_PASSAGES: usize = 4;

/// The host of an authority: lower case, without port and final dot. `None`: it is no host.
pub(crate) fn host_name(authority: &str) -> Option<Cow<'_, str>> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        authority.split_at(end)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    let port_is_sound = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let allowed = |b: u8| match host.as_bytes().first() {
        Some(b'[') => b.is_ascii_hexdigit() || matches!(b, b'[' | b']' | b':' | b'.'),
        _ => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'),
    };
    let host_is_sound = !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed);
    if !port_is_sound || !host_is_sound {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    Some(if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

/// Whether a path has a `.` or `..` segment, plain or percent-encoded: the gateway and a backend
/// could disagree about where it leads.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    path.contains("/.") && path.split('/').any(|s| s == "." || s == "..")
        || path.contains('%')
            && path.split('/').any(|s| {
                let plain = s.to_ascii_lowercase().replace("%2e", ".");
                plain == "." || plain == ".."
            })
}

/// Refuses what a gateway and a backend could read in two ways, and brings the target to
/// origin-form. Gives the host to route by.
pub(crate) fn admit<B>(request: &mut Request<B>) -> Result<String, Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Malformed(
            "CONNECT is for forward proxies; this is a gateway",
        ));
    }
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        _ => return Err(Refusal::Coding),
    }
    let mut hosts = headers.get_all(HOST).iter();
    let claimed = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::Malformed("more than one Host field"));
    }
    // A target in absolute-form overrules Host (RFC 9112, 3.2.2).
    let host = match request.uri().authority() {
        Some(authority) if authority.as_str().contains('@') => None,
        Some(authority) => host_name(authority.as_str()),
        None => claimed
            .and_then(|value| value.to_str().ok())
            .and_then(host_name),
    };
    let host = host
        .ok_or(Refusal::Malformed("no usable Host field"))?
        .into_owned();
    if let Some(authority) = request.uri().authority() {
        let value = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::Malformed("no usable host in the request's target"))?;
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        request.headers_mut().insert(HOST, value);
    }
    if has_dot_segment(request.uri().path()) {
        return Err(Refusal::Malformed(
            "a path with `.` or `..` segments; send it resolved",
        ));
    }
    Ok(host)
}

/// The protocol that a request asks to change to, if it may. Not `h2c`: its later requests would
/// pass the gateway unseen.
pub(crate) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asked = names(headers, &CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    let plain = protocol.to_str().is_ok_and(|p| {
        !p.split(',')
            .any(|one| one.trim().to_ascii_lowercase().starts_with("h2c"))
    });
    (asked && plain).then(|| protocol.clone())
}

/// What the gateway adds about the client.
pub(crate) struct Sender<'a> {
    /// Its address.
    pub(crate) address: &'a HeaderValue,
    /// Whether its own `X-Forwarded-*` fields are believed.
    pub(crate) believed: bool,
}

/// Makes a client's head a backend's: hop-by-hop fields end, forwarding fields are set.
pub(crate) fn prepare_request<B>(
    request: &mut Request<B>,
    sender: &Sender<'_>,
) -> Result<(), Refusal> {
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    let host = headers.get(HOST).cloned();
    end_hop(headers);
    // The gateway itself says `100 Continue`, as soon as a backend takes the body.
    headers.remove(EXPECT);
    if sender.believed {
        let chain = match headers.get(&FORWARDED_FOR) {
            Some(earlier) => joined(earlier.as_bytes(), sender.address.as_bytes()),
            None => sender.address.clone(),
        };
        headers.insert(FORWARDED_FOR, chain);
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(FORWARDED_HOST).or_insert(host);
        }
    } else {
        headers.remove(FORWARDED);
        headers.insert(FORWARDED_FOR, sender.address.clone());
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.insert(FORWARDED_HOST, host);
        }
    }
    let via = if headers.contains_key(VIA) {
        if names(headers, &VIA).filter(|hop| *hop == VIA_SELF).count() >= MOST_PASSAGES {
            return Err(Refusal::Loop);
        }
        let hops: Vec<&[u8]> = headers
            .get_all(VIA)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        joined(&hops.join(&b", "[..]), VIA_SELF.as_bytes())
    } else {
        HeaderValue::from_static(VIA_SELF)
    };
    headers.insert(VIA, via);
    Ok(())
}

/// Removes the fields that concern one connection only (RFC 9110, 7.6.1), and those that
/// `Connection` names. `Host` and `Content-Length` stay whatever it names: they are the message's.
pub(crate) fn end_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = names(headers, &CONNECTION)
            .filter_map(|name| HeaderName::try_from(name).ok())
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// The members of a comma-separated field.
fn names<'a>(headers: &'a HeaderMap, field: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

fn joined(first: &[u8], second: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(&[first, b", ", second].concat())
        .expect("parts of header values and a comma are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_case_port_and_final_dot() {
        for (given, host) in [
            ("Notes.Dev.localhost", Some("notes.dev.localhost")),
            ("a.example:8080", Some("a.example")),
            ("a.example.", Some("a.example")),
            ("[::1]:80", Some("[::1]")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("", None),
            (".", None),
            ("a b", None),
            ("a/b", None),
            ("a:80:81", None),
            ("a:x", None),
            ("u@a", None),
            ("[::1", None),
        ] {
            assert_eq!(host_name(given).as_deref(), host, "{given}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for path in ["/..", "/a/../b", "/./a", "/%2e%2e/a", "/a/.%2E", "/%2E"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/",
            "/a..b/c",
            "/...",
            "/.well-known/x",
            "/a%20b",
            "/v1.2/x",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn connection_may_not_name_what_belongs_to_the_message() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONNECTION,
            HeaderValue::from_static("host, content-length, x-gone, close"),
        );
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        headers.insert("x-gone", HeaderValue::from_static("1"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        end_hop(&mut headers);
        assert!(headers.contains_key(HOST) && headers.contains_key(CONTENT_LENGTH));
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}
